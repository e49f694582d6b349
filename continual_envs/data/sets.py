"""Every data set by name, whatever it is made of: where it is, fetched, verified."""

from __future__ import annotations

from typing import Protocol

from continual_envs.checks import one_of
from continual_envs.data import cifar, imagenet32, imagenet_arrays, store
from continual_envs.data.store import Location


class Source(Protocol):
    """What a module of one data set offers; the functions of `store` do it by name."""

    def locate(self) -> Location | None:
        """Return where its files are, or None; download nothing."""

    def fetch(self) -> Location:
        """Download the files unless they are somewhere already, verify, return where they are."""

    def verify(self) -> Location:
        """Verify the files and return where they are; download nothing."""


IMAGE_SETS: dict[str, Source] = {
    cifar.NAME: cifar,
    imagenet32.NAME: imagenet32,
    imagenet_arrays.NAME: imagenet_arrays,
}


def all_names() -> tuple[str, ...]:
    """Return the names of all data sets: those of `load`, then the sets of image classes."""
    return (*store.names(), *IMAGE_SETS)


def locate(name: str) -> Location | None:
    """Return where the files of a data set are, or None; downloads nothing.

    Raises:
        ValueError: if there is no such data set.
        DataNotFound: if `$CONTINUAL_ENVS_DATA` is set to something that is not a folder.
        DataCorrupt: if a file directly in `$CONTINUAL_ENVS_DATA` is damaged.
    """
    one_of("dataset", name, all_names())
    return IMAGE_SETS[name].locate() if name in IMAGE_SETS else store.locate(name)


def fetch(name: str) -> Location:
    """Download a data set into the cache folder unless it is somewhere already, and verify it.

    Raises:
        ValueError: if there is no such data set.
        DataNotFound: if its files are nowhere and cannot be downloaded.
        DataCorrupt: if a file, or what the mirror sent, is not the published one.
    """
    one_of("dataset", name, all_names())
    return IMAGE_SETS[name].fetch() if name in IMAGE_SETS else store.fetch(name)


def verify(name: str) -> Location:
    """Compare the files of a data set with what was published; downloads nothing.

    Raises:
        ValueError: if there is no such data set.
        DataNotFound: if the files are nowhere.
        DataCorrupt: if a file is damaged or is not the published one.
    """
    one_of("dataset", name, all_names())
    return IMAGE_SETS[name].verify() if name in IMAGE_SETS else store.verify(name)

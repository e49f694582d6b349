"""CIFAR-100 (Krizhevsky, 2009): its published pickles, or lossless WebP strips, to equal arrays.

Canonical order, whatever the files: by class, within a class by the images' original file names.
The pixels in that order must have the checksum known here, so both layouts are verified alike.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from continual_envs.data import pictures, store
from continual_envs.data.cifar_pickle import Split, parse
from continual_envs.data.errors import DataCorrupt, DataNotFound

NAME = "cifar100"
CLASSES = 100
IMAGES = {"train": 500, "test": 100}
"""Of one class."""
SHA256 = "944a71c3d7a2d560abfb7b57f093c6062a0dee7c53824c4b03b10acbc7de3d6f"

PICKLES = ("cifar-100-python", "cifar100/cifar-100-python")
STRIPS = ("cifar100",)
URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
MD5 = "eb9058c3a382ffc7106e4002c42a8d85"


@dataclass(frozen=True, eq=False)
class Cifar100:
    """CIFAR-100; both arrays are read-only.

    Attributes:
        train: uint8, shape (100, 500, 32, 32, 3): class, image, height, width, RGB; classes in
            the order of the fine labels.
        test: as `train`, shape (100, 100, 32, 32, 3).
        sha256: of the bytes of `train`, then `test`, in hexadecimal.
    """

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]
    sha256: str

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy as a name: there is one a process."""
        return cifar100, ()


@cache
def cifar100() -> Cifar100:
    """Return CIFAR-100; one call a process reads files, later ones return the same object.

    Raises:
        DataNotFound: if the files are nowhere and cannot be downloaded.
        DataCorrupt: if they are not the published images.
    """
    return _read(_obtain())


def locate() -> store.Location | None:
    """Return where the files are, or None; opens and downloads nothing.

    Pickles are taken before strips of the same origin: they are read faster.
    """
    for origin, folder in store.places((*PICKLES, *STRIPS)):
        pickles = tuple(folder / split for split in IMAGES)
        if all(path.is_file() for path in pickles):
            return store.Location(NAME, origin, pickles)
        strips = [sorted(folder.glob(f"{split}/*.webp")) for split in IMAGES]
        if all(len(paths) == CLASSES for paths in strips):
            return store.Location(NAME, origin, (*strips[0], *strips[1]))
    return None


def fetch() -> store.Location:
    """Download the pickles into the cache unless files are somewhere already, and verify them.

    Raises:
        DataNotFound: if they are nowhere and cannot be downloaded.
        DataCorrupt: if they, or what the mirror sent, are not the published images.
    """
    location = _obtain()
    _read(location)
    return location


def verify() -> store.Location:
    """Compare the images with the known checksum and return where they are; downloads nothing.

    Raises:
        DataNotFound: if the files are nowhere.
        DataCorrupt: if they are not the published images.
    """
    location = locate()
    if location is None:
        raise _not_found("nothing to verify")
    _read(location)
    return location


def arranged(split: Split, images: int) -> NDArray[np.uint8]:
    """Return a split in canonical order.

    Args:
        split: as the pickles have it.
        images: how many every class has.

    Returns:
        Shape (classes, images, 32, 32, 3).

    Raises:
        ValueError: if the classes are not 0, 1, ... with so many images each.
    """
    classes = len(split.labels) // images
    if sorted(split.labels) != [label for label in range(classes) for _ in range(images)]:
        raise ValueError(f"not {images} images of every class")
    order = sorted(range(len(split.labels)), key=lambda i: (split.labels[i], split.names[i]))
    channels_first = split.data.reshape(classes * images, 3, 32, 32)[order]
    last = np.ascontiguousarray(channels_first.transpose(0, 2, 3, 1))
    return last.reshape(classes, images, 32, 32, 3)


def _read(location: store.Location) -> Cifar100:
    n = len(location.files) // 2
    read = _pickle if n == 1 else _strips
    train = read(location.files[:n], IMAGES["train"])
    test = read(location.files[n:], IMAGES["test"])
    digest = hashlib.sha256(train.data)
    digest.update(test.data)
    if digest.hexdigest() != SHA256:
        raise DataCorrupt(
            f"{location.files[0].parent}: not the published images of CIFAR-100; sha256 of the "
            f"pixels expected {SHA256}, found {digest.hexdigest()}; delete the folder to have them "
            f"fetched again"
        )
    for array in (train, test):
        array.setflags(write=False)
    return Cifar100(train, test, SHA256)


def _pickle(paths: Sequence[Path], images: int) -> NDArray[np.uint8]:
    (path,) = paths
    try:
        return arranged(parse(path.read_bytes()), images)
    except ValueError as error:
        raise DataCorrupt(
            f"{path}: not the published file ({error}); delete it to have it fetched again"
        ) from error


def _strips(paths: Sequence[Path], images: int) -> NDArray[np.uint8]:
    stacked = np.empty((len(paths), images, 32, 32, 3), np.uint8)
    for label, path in enumerate(paths):
        stacked[label] = pictures.strip(path.read_bytes(), path, images)
    return stacked


def _obtain() -> store.Location:
    location = locate()
    if location:
        return location
    if store.offline():
        raise _not_found(f"{store.OFFLINE_VARIABLE} is set")
    folder = store.cache_folder() / PICKLES[-1]
    archive = folder.parent / "cifar-100-python.tar.gz"
    try:
        store.download(URL, MD5, archive)
        files = _unpack(archive, folder)
    except OSError as error:
        raise _not_found(str(error)) from error
    return store.Location(NAME, "cache", files)


def _unpack(archive: Path, folder: Path) -> tuple[Path, ...]:
    """Take the two files out of the archive and delete it; a file appears whole or not at all."""
    folder.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        for split in IMAGES:
            member = tar.extractfile(f"cifar-100-python/{split}")
            assert member is not None, f"{split} is a file of the archive whose checksum was right"
            part = folder / f"{split}.part"
            with member, open(part, "wb") as file:
                shutil.copyfileobj(member, file)
            part.replace(folder / split)
    archive.unlink()
    return tuple(folder / split for split in IMAGES)


def _not_found(why: str) -> DataNotFound:
    folders = ", ".join(str(folder) for _, folder in store.places((*PICKLES, *STRIPS)))
    return DataNotFound(
        f"{NAME}: train and test (the published pickles) or train/*.webp and test/*.webp not found "
        f"in {folders}; {why}; with a network run `continual-envs data fetch {NAME}`, or set "
        f"{store.DATA_VARIABLE} to a folder that has them"
    )

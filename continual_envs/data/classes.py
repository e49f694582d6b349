"""Images by class, loaded one class at a time: what tasks that pair classes are made of."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from continual_envs.checks import nearest

NAMED = ("imagenet32", "imagenet")
RECENT = 8
"""Classes kept in memory, 2 MB each."""


@dataclass(frozen=True, eq=False)
class ClassImages:
    """The images of one class; both arrays are read-only.

    Attributes:
        train: uint8, shape (n, 32, 32, 3), height x width x RGB.
        test: as `train`, shape (m, 32, 32, 3).
        sha256: of the files they were decoded from, in hexadecimal; never of pixels, which may
            differ by one between two JPEG decoders.
    """

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]
    sha256: str

    def __post_init__(self) -> None:
        for array in (self.train, self.test):
            array.setflags(write=False)


class ImageClasses:
    """A set of image classes; the latest few that were loaded are kept.

    Attributes:
        name: `imagenet32`, `imagenet` or the absolute path of a folder; `image_classes(name)` is
            this object.
        count: the number of classes.
        train_images: how many training images every class has at least.
        test_images: how many test images every class has at least.
    """

    def __init__(
        self,
        name: str,
        count: int,
        train_images: int,
        test_images: int,
        read: Callable[[int], ClassImages],
    ) -> None:
        self.name = name
        self.count = count
        self.train_images = train_images
        self.test_images = test_images
        self._read = lru_cache(RECENT)(read)

    def load(self, label: int) -> ClassImages:
        """Return the images of class `label`, 0..count-1.

        Raises:
            IndexError: if there is no such class.
            DataCorrupt: if a file of the class is not what it should be.
        """
        if not 0 <= label < self.count:
            raise IndexError(f"label: {label} is not one of the {self.count} of {self.name}")
        return self._read(int(label))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy as a name: an environment holds its images through this object."""
        return image_classes, (self.name,)


def image_classes(dataset: str) -> ImageClasses:
    """Return a set of image classes; one call a process looks for files, later ones share it.

    Args:
        dataset: `imagenet32` (200 classes, 500 + 50 images; see `imagenet32`), `imagenet` (1000
            classes, 600 + 100 images; see `imagenet_arrays`), or the path of a folder of class
            folders, recognised by a path separator, a leading "." or "~" (see `class_folders`).

    Raises:
        ValueError: if it is none of these, or the folder does not hold classes of images.
        DataNotFound: if the files are nowhere.
    """
    if isinstance(dataset, str) and _is_path(dataset):
        return _opened(os.path.realpath(os.path.expanduser(dataset)))
    if dataset in NAMED:
        return _opened(dataset)
    raise ValueError(
        f"dataset: {dataset!r} is not one of {', '.join(NAMED)} or the path of a folder of class "
        f"folders ('./{dataset}'){nearest(dataset, NAMED)}"
    )


def _is_path(dataset: str) -> bool:
    return dataset.startswith((".", "~")) or any(
        separator in dataset for separator in ("/", os.sep, os.altsep) if separator
    )


@cache
def _opened(dataset: str) -> ImageClasses:
    from continual_envs.data import class_folders, imagenet32, imagenet_arrays

    if dataset == "imagenet32":
        return imagenet32.classes()
    if dataset == "imagenet":
        return imagenet_arrays.classes()
    return class_folders.classes(Path(dataset))

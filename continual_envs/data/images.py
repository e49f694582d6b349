"""Labelled images as flat arrays that all environments of a process share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from continual_envs.data import idx, store


@dataclass(frozen=True, eq=False)
class Images:
    """The training images of one data set, in the published order; both arrays are read-only.

    Attributes:
        name: of the data set.
        inputs: grey levels 0..max_value, shape (N, d), uint8, rows flattened row by row.
        labels: classes 0..classes-1, shape (N,), int64.
        max_value: the largest possible grey level, 255 or 16.
        classes: the number of classes.
        shape: (height, width) of an image, in pixels; d = height * width.
        sha256: of the uncompressed files, one after the other, in hexadecimal.
    """

    name: str
    inputs: NDArray[np.uint8]
    labels: NDArray[np.int64]
    max_value: int
    classes: int
    shape: tuple[int, int]
    sha256: str


@cache
def load(name: str) -> Images:
    """Return a data set by name; one call a process reads files, later ones return the same object.

    `mnist` (LeCun, Cortes and Burges) and `fashion_mnist` (Xiao, Rasul and Vollgraf, 2017) have
    60,000 images of 28 x 28 pixels in 256 grey levels; `digits` (Alpaydin and Kaynak, 1998, part
    of this package) has 1,797 of 8 x 8 pixels in 17 grey levels. All have 10 classes.

    Raises:
        ValueError: if there is no such data set.
        DataNotFound: if its files are nowhere and cannot be downloaded.
        DataCorrupt: if a file is not the published one.
    """
    contents = store.read(store.obtain(name))
    decode, max_value = (_digits, 16) if name == "digits" else (_idx_pair, 255)
    images, classes = decode(*contents)
    inputs = np.ascontiguousarray(images.reshape(len(images), -1))
    labels = classes.astype(np.int64)
    for array in (inputs, labels):
        array.setflags(write=False)
    return Images(
        name=name,
        inputs=inputs,
        labels=labels,
        max_value=max_value,
        classes=int(labels.max()) + 1,
        shape=images.shape[1:],
        sha256=hashlib.sha256(b"".join(contents)).hexdigest(),
    )


def _idx_pair(images: bytes, labels: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return idx.parse(images), idx.parse(labels)


def _digits(table: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Split lines of 64 comma-separated grey levels and a class."""
    rows = np.loadtxt(table.decode("ascii").splitlines(), np.uint8, delimiter=",")
    return rows[:, :64].reshape(-1, 8, 8), rows[:, 64]

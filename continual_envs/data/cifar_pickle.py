"""The pickles of CIFAR-100, read without executing anything that stands in them.

A pickle may name any function to be called. The published files, written by Python 2, name three,
all to rebuild one array; they are replaced by harmless ones here and every other name is refused.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

VALUES = 3 * 32 * 32


class Split(NamedTuple):
    """The training or the test images.

    Attributes:
        data: uint8, shape (n, 3072): red, green, blue, each row by row.
        labels: fine labels, n of them.
        names: the images' original file names, n of them.
    """

    data: NDArray[np.uint8]
    labels: list[int]
    names: list[bytes]


def parse(content: bytes) -> Split:
    """Return what a pickle of CIFAR-100 holds.

    Raises:
        ValueError: one line, if it is damaged, names anything but the three functions, or holds
            something else.
    """
    try:
        entries = _Reader(io.BytesIO(content), encoding="bytes").load()
        array, labels, names = (entries[key] for key in (b"data", b"fine_labels", b"filenames"))
        data = array.rebuilt()
    except Exception as error:  # damaged pickles make Python's reader raise nearly anything
        line = " ".join(str(error).split()) or "no reason given"
        raise ValueError(f"a broken pickle: {type(error).__name__}, {line}") from error
    if not all(type(label) is int for label in labels) or not all(
        type(name) is bytes for name in names
    ):
        raise ValueError("labels that are not numbers, or names that are not strings")
    if data.shape != (len(labels), VALUES) or len(names) != len(labels):
        raise ValueError(
            f"data of shape {data.shape} with {len(labels)} labels and {len(names)} names"
        )
    return Split(data, list(labels), list(names))


class _Array:
    """Stands in for a numpy array while the pickle is read; nothing of numpy sees its state."""

    def __init__(self, *ignored: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def rebuilt(self) -> NDArray[np.uint8]:
        _, shape, kind, by_columns, content = self.state
        if kind.name != b"u1":
            raise ValueError(f"an array of {kind.name!r} instead of bytes")
        return np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_columns else "C")


class _Kind:
    """Stands in for a numpy dtype."""

    def __init__(self, name: bytes, *ignored: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass


class _Reader(pickle.Unpickler):
    # What a pickle gets hold of it may also change: functions made anew, never a class of ours.
    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "numpy.core.multiarray", "_reconstruct":
                return lambda *ignored: _Array()
            case "numpy", "ndarray":
                return None  # an argument of _reconstruct, which ignores it
            case "numpy", "dtype":
                return lambda kind, *ignored: _Kind(kind)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a data file")

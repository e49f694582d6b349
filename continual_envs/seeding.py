"""The only place of the environments where random numbers come from.

What defines a task is drawn as raw 64-bit words of a bit generator keyed by (seed, purpose, index).
numpy promises the streams of `SeedSequence` and of its bit generators across versions, not those of
`Generator` methods, so permutations are stable argsorts of raw words.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Purpose(IntEnum):
    """What a stream of words is for; the values are part of every content hash."""

    ORDER = 0
    PIXELS = 1
    LABELS = 2
    TARGET = 3
    DRIFT = 4
    NOISE = 5
    CLASSES = 6
    AUGMENTATION = 7
    IMAGES = 8
    SPLIT = 9
    SCHEDULE = 10
    EPISODES = 11
    ACTIONS = 12
    COPIES = 13


def words(seed: int, purpose: Purpose, index: int, n: int) -> NDArray[np.uint64]:
    """Return `n` raw 64-bit words, a pure function of (seed, purpose, index)."""
    sequence = np.random.SeedSequence(seed, spawn_key=(int(purpose), index))
    return np.random.PCG64(sequence).random_raw(n)


def uniforms(seed: int, purpose: Purpose, index: int, n: int) -> NDArray[np.float64]:
    """Return `n` numbers in [0, 1), each from the high 53 bits of a word."""
    return (words(seed, purpose, index, n) >> np.uint64(11)) * np.float64(2.0**-53)


def permutation(seed: int, purpose: Purpose, index: int, n: int) -> NDArray[np.int64]:
    """Return a uniform permutation of 0..n-1, a pure function of (seed, purpose, index)."""
    return np.argsort(words(seed, purpose, index, n), kind="stable")


def bits(seed: int, purpose: Purpose, index: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return fair bits of `shape` = (rows, at most 64 columns): the low bits of one word a row."""
    rows, columns = shape
    drawn = words(seed, purpose, index, rows)[:, None] >> np.arange(columns, dtype=np.uint64)
    return (drawn & np.uint64(1)).astype(np.uint8)

"""What a drift does to inputs: small frozen callables.

`Identity`, `Pixels` and `Scale` do the same to numpy arrays and torch tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 64  # images augmented at once: what that computes with stays in the processor's cache


@dataclass(frozen=True)
class Identity:
    """Show the inputs as they are."""

    def __call__(self, inputs: Any) -> Any:
        """Return `inputs`, whatever its shape."""
        return inputs


@dataclass(frozen=True)
class Pixels:
    """Permute the pixels of stored images and scale them to [0, 1].

    Attributes:
        columns: which stored pixel is shown at each place, shape (d,), int64.
        divisor: the largest grey level, so that 0..divisor becomes 0..1.
    """

    columns: NDArray[np.int64]
    divisor: int

    def __call__(self, inputs: Any) -> Any:
        """Map uint8 inputs of shape (..., d) to float32 of the same shape."""
        if isinstance(inputs, np.ndarray):  # `take` is as quick, and its rows are contiguous
            return inputs.take(self.columns, axis=-1) / np.float32(self.divisor)
        return inputs[..., self.columns] / np.float32(self.divisor)


@dataclass(frozen=True)
class Scale:
    """Scale stored images to [0, 1]."""

    def __call__(self, inputs: Any) -> Any:
        """Map uint8 inputs of any shape to float32 of the same shape."""
        return inputs / np.float32(255)


@dataclass(frozen=True)
class Standardise:
    """Scale stored images to [0, 1], then to mean 0 and standard deviation 1 of every channel.

    Attributes:
        mean: of each channel, after scaling, float32 (C,).
        std: of each channel, after scaling, float32 (C,).
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def __call__(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map uint8 inputs of shape (..., width, C) to float32 of the same shape."""
        width = inputs.shape[-2]
        rows: NDArray[Any] = inputs.reshape(*inputs.shape[:-2], -1)  # or numpy's inner loop is C
        shown: Any = (rows / np.float32(255) - np.tile(self.mean, width)) / np.tile(self.std, width)
        return shown.reshape(inputs.shape)


@dataclass(frozen=True)
class Augment:
    """Standardise, flip, crop and rotate as Dohare et al. (2024) do on CIFAR-100.

    In this order: a horizontal flip with probability 1/2; a crop of the image's own size after
    reflecting `padding` pixels at every side; a rotation counter-clockwise about the centre by an
    angle uniform in [0, `degrees`), to the nearest pixel, with 0 (the mean) where there is no
    image. All are one look-up of pixels. Each is drawn from parts of the one word of an example.

    Attributes:
        mean: see `Standardise`.
        std: see `Standardise`.
        padding: pixels.
        degrees: largest angle.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    padding: int = 4
    degrees: float = 15.0

    def __call__(self, inputs: NDArray[np.uint8], draws: NDArray[np.uint64]) -> NDArray[np.float32]:
        """Map uint8 images (n, S, S, C) and words (n,) to float32 images of the same shape."""
        shown = np.empty(inputs.shape, dtype=np.float32)
        for start in range(0, len(inputs), BLOCK):
            block = slice(start, start + BLOCK)
            shown[block] = self._block(inputs[block], draws[block])
        return shown

    def drawn(self, draws: NDArray[np.uint64]) -> tuple[NDArray[Any], ...]:
        """Return flips (bool), crop offsets down and right (0..2*padding) and angles (radians)."""
        places = np.uint64(2 * self.padding + 1)
        flip = (draws & np.uint64(1)).astype(bool)
        down = (draws >> np.uint64(1)) % (np.uint64(1) << np.uint64(20)) % places
        right = (draws >> np.uint64(21)) % (np.uint64(1) << np.uint64(20)) % places
        share = (draws >> np.uint64(41)).astype(np.float64) * 2.0**-23
        return flip, down.astype(np.int64), right.astype(np.int64), np.deg2rad(share * self.degrees)

    def _block(self, inputs: NDArray[np.uint8], draws: NDArray[np.uint64]) -> NDArray[np.float32]:
        n, size, _, channels = inputs.shape
        flip, down, right, angle = self.drawn(draws)
        # Where a pixel of the rotated image comes from: rows grow downwards, so that a positive
        # angle turns counter-clockwise. The last digits of a cosine differ between processors, but
        # in float64; rounded to float32 it is the same.
        middle = np.float32((size - 1) / 2)
        away = np.arange(size, dtype=np.float32) - middle
        cos, sin = (f(angle).astype(np.float32)[:, None] * away for f in (np.cos, np.sin))
        rows = np.rint(cos[:, :, None] + (sin + middle)[:, None, :])
        columns = np.rint((cos + middle)[:, None, :] - sin[:, :, None])
        # Tables, for every image and for rows and columns of the crop and just outside it, of the
        # stored pixel, counted along the rows; the pixel `nowhere` is that outside the crop.
        nowhere, margin = size * size, math.ceil(middle * 0.42)  # beyond a border: (sqrt 2 - 1) S/2
        place = np.arange(-margin, size + margin)
        outside = (place < 0) | (place >= size)
        down, right = (
            _reflected(place + part[:, None] - self.padding, size) for part in (down, right)
        )
        right = np.where(flip[:, None], size - 1 - right, right)
        first = (np.arange(n) * len(place) + margin).astype(np.float32)[:, None, None]
        pixels = np.where(outside, nowhere, size * down).take((rows + first).astype(np.intp))
        pixels += np.where(outside, nowhere, right).take((columns + first).astype(np.intp))
        np.minimum(pixels, nowhere, out=pixels)
        pixels += ((nowhere + 1) * np.arange(n))[:, None, None]
        stored = np.zeros((n, nowhere + 1, channels), dtype=np.float32)
        standard = Standardise(self.mean, self.std)(inputs)
        stored[:, :nowhere] = standard.reshape(n, nowhere, channels)
        return stored.reshape(-1, channels).take(pixels, axis=0)


def _reflected(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Mirror indices beyond 0..size-1 at the border pixel, which is not repeated."""
    index = np.abs(index)
    return np.where(index < size, index, 2 * (size - 1) - index)

"""What a drift does to inputs: small frozen callables, alike for numpy arrays and torch tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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

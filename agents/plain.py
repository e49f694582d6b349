"""States as torch's safe files hold them: arrays as tensors, and nothing that could execute."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

ARRAY = "numpy array"


def encode(value: Any) -> Any:
    """Return a nest of dicts, lists, tuples, tensors, arrays, numbers and strings, without arrays.

    Other lists and tuples become plain ones, but for tuples with names, which would lose them.

    Raises:
        TypeError: something else is in it, which could not be read again.
    """
    if isinstance(value, np.ndarray):
        return {ARRAY: torch.from_numpy(np.array(value))}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return (list if isinstance(value, list) else tuple)(map(encode, value))
    if value is None or isinstance(value, Tensor | bool | int | float | str | bytes):
        return value
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(f"state: {kind} cannot be saved; use tensors, arrays, numbers and strings")


def decode(value: Any) -> Any:
    """Return what `encode` was given."""
    if isinstance(value, dict):
        if set(value) == {ARRAY}:
            return value[ARRAY].cpu().numpy()
        return {key: decode(item) for key, item in value.items()}
    return type(value)(map(decode, value)) if isinstance(value, list | tuple) else value

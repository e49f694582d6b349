"""States as torch's safe files hold them: arrays as tensors, and nothing that could execute."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

ARRAY = "numpy array"
PLAIN = (type(None), bool, int, float, str, bytes)  # not what derives from them, such as an enum


def encode(value: Any) -> Any:
    """Return a nest of dicts, lists, tuples, tensors, arrays, numbers and strings, without arrays.

    Other dicts, lists and tuples become plain ones, but for tuples with names, which would lose
    them; numbers of numpy become Python's, as keys too.

    Raises:
        TypeError: something else is in it, which could not be read again.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
        with contextlib.suppress(TypeError, ValueError):  # of a kind that torch does not have
            return {ARRAY: torch.from_numpy(np.array(value))}
    if isinstance(value, dict):
        return {encode(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return (list if isinstance(value, list) else tuple)(map(encode, value))
    if isinstance(value, Tensor) or type(value) in PLAIN:
        return value
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, np.ndarray):
        kind += f" of {value.dtype}"
    raise TypeError(f"state: {kind} cannot be saved; use tensors, arrays, numbers and strings")


def decode(value: Any) -> Any:
    """Return what `encode` was given."""
    if isinstance(value, dict):
        if set(value) == {ARRAY}:
            return value[ARRAY].cpu().numpy()
        return {key: decode(item) for key, item in value.items()}
    return type(value)(map(decode, value)) if isinstance(value, list | tuple) else value

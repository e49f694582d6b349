"""One checkpoint file that loads without executing anything and is never half-written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

ARRAY = "numpy array"


def save(state: dict[str, Any], path: Path) -> None:
    """Write `state` beside `path`, sync it and rename it into place.

    Args:
        state: nested dicts, lists and tuples of tensors, arrays, numbers, strings, None.
        path: the checkpoint.
    """
    beside = path.with_name(path.name + ".new")
    with open(beside, "wb") as file:
        torch.save(_encode(state), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def load(path: Path, device: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        ValueError: it is damaged; one line names the file.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        decoded: dict[str, Any] = _decode(state)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises many kinds for a damaged file
        kind = type(error).__name__
        raise ValueError(
            f"{path}: damaged checkpoint ({kind}); remove the run folder to start over"
        ) from error
    return decoded


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {ARRAY: torch.from_numpy(np.array(value))}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_encode(item) for item in value)
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {ARRAY}:
            return value[ARRAY].cpu().numpy()
        return {key: _decode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_decode(item) for item in value)
    return value

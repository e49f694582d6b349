"""A state as a file gives it back."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch


def through_a_file(state: Any) -> Any:
    """Return `state` as a checkpoint gives it back, which executes nothing."""
    file = io.BytesIO()
    torch.save(_stored(state), file)
    file.seek(0)
    return _revived(torch.load(file, weights_only=True))


def _stored(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stored(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_stored(item) for item in value)
    if isinstance(value, np.generic):
        return value.item()
    return {"array": torch.from_numpy(np.array(value))} if isinstance(value, np.ndarray) else value


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"array"}:
            return value["array"].numpy()
        return {key: _revived(item) for key, item in value.items()}
    return type(value)(map(_revived, value)) if isinstance(value, list | tuple) else value

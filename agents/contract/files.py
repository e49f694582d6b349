"""A state as a file gives it back."""

from __future__ import annotations

import io
from typing import Any

import torch

from agents.plain import decode, encode


def through_a_file(state: Any) -> Any:
    """Return `state` as a checkpoint gives it back, which executes nothing."""
    file = io.BytesIO()
    torch.save(encode(state), file)
    file.seek(0)
    return decode(torch.load(file, weights_only=True))

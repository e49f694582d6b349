"""The global generators, which Stable-Baselines3 draws from, lent to one agent at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def read(device: torch.device) -> dict[str, Any]:
    """Return the states of torch's, numpy's and Python's global generators as plain data."""
    version, words, gauss = random.getstate()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(legacy=False),
        "python": [version, list(words), gauss],
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def write(states: dict[str, Any], device: torch.device) -> None:
    """Put the states back."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"].cpu())
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


@contextmanager
def lent(states: dict[str, Any], device: torch.device) -> Iterator[None]:
    """Let the global generators continue from `states`; afterwards all are as they were.

    Args:
        states: of one agent; brought up to date at the end.
        device: of the agent.
    """
    before = read(device)
    write(states, device)
    try:
        yield
    finally:
        states.update(read(device))
        write(before, device)

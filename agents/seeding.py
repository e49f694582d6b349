"""The only place of the agents where random numbers come from.

Initialisation, method noise and dropout draw from generators of their own, keyed by (seed,
purpose), so that switching one off leaves the others as they were.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor


class Purpose(IntEnum):
    """What a generator is for."""

    INIT = 0
    METHOD = 1
    DROPOUT = 2
    HEAD = 3
    HOST = 4
    RESTART = 5
    REDO = 6
    UPGD = 7
    REGRAMA = 8


def _words(seed: int, *path: int) -> np.uint64:
    words = np.random.SeedSequence(seed, spawn_key=path).generate_state(1, np.uint64)
    word: np.uint64 = words[0]
    return word


def generator(seed: int, *path: int, device: str = "cpu") -> torch.Generator:
    """Return a torch generator, a pure function of (seed, path)."""
    return torch.Generator(device).manual_seed(derived(seed, *path))


def restore(generator: torch.Generator, state: Tensor) -> None:
    """Put a generator where `state` was taken.

    Raises:
        ValueError: that was on another kind of device, which draws other numbers.
    """
    if state.numel() != generator.get_state().numel():
        raise ValueError(
            f"device: {generator.device.type} is not allowed; an agent that draws has to go on on "
            "the kind of device that it began on"
        )
    generator.set_state(state.cpu())


def derived(seed: int, *path: int) -> int:
    """Return a seed of 63 bits for a part of its own, a pure function of (seed, path)."""
    return int(_words(seed, *path)) >> 1


def key(seed: int, *path: int) -> Tensor:
    """Return an int64 scalar to key the counter-based draws, a pure function of (seed, path)."""
    return torch.from_numpy(np.asarray(_words(seed, *path)).view(np.int64))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _shift(x: Tensor, n: int) -> Tensor:
    """Shift int64 right as if unsigned."""
    return (x >> n) & ((1 << (64 - n)) - 1)


def splitmix64(x: Tensor) -> Tensor:
    """Return the splitmix64 output of states `x`, int64 holding 64 unsigned bits.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    x = x + _GOLDEN
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def uniform(keys: Tensor, counters: tuple[int | Tensor, ...], shape: tuple[int, ...]) -> Tensor:
    """Return float64 draws from [0, 1): a pure function of (key, counters, position).

    Args:
        keys: int64, shape (*lead): one key a member.
        counters: what else tells this draw from others, such as (layer, update); they broadcast
            against the keys, to what *lead then is.
        shape: shape of one member's draw.

    Returns:
        Shape (*lead, *shape).
    """
    state = keys
    for counter in counters:
        state = splitmix64(state + counter)
    positions = torch.arange(int(np.prod(shape)), device=keys.device)
    drawn = splitmix64(splitmix64(state)[..., None] + positions)
    return (_shift(drawn, 11).double() * 2.0**-53).reshape((*state.shape, *shape))

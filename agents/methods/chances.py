"""Chances that decide whether a unit is replaced, drawn for many updates at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from agents import seeding

AHEAD = 128  # updates; drawing for these takes as long as for one


class Chances:
    """Draws from [0, 1), one an update and layer.

    Args:
        keys: of the draws, (*lead), see `seeding.uniform`.
        purpose: a counter that tells them from other draws of an update.
        highest: float64 (layers,): a draw that is not below its layer's never hits.
    """

    def __init__(self, keys: Tensor, purpose: int, highest: Tensor) -> None:
        self._keys, self._purpose, self._highest = keys, purpose, highest
        self._block = -1

    def of(self, update: int) -> Tensor:
        """Return an update's draws, float64 (*lead, layers)."""
        self._draw(update // AHEAD)
        return self._drawn[..., update % AHEAD, :]

    def may_hit(self, update: int) -> bool:
        """Return whether one of an update's draws is below its layer's highest."""
        self._draw(update // AHEAD)
        return self._hits[update % AHEAD]

    def _draw(self, block: int) -> None:
        """Draw for a block of updates, unless it is the present one."""
        if block == self._block:
            return
        depth = torch.arange(len(self._highest), device=self._keys.device)
        updates = torch.arange(block * AHEAD, (block + 1) * AHEAD, device=depth.device)
        counters = (self._purpose, depth, updates[:, None])
        self._drawn = seeding.uniform(self._keys[..., None, None], counters, ())
        hits = (self._drawn < self._highest).movedim(-2, 0).reshape(AHEAD, -1).any(-1)
        self._block, self._hits = block, hits.tolist()

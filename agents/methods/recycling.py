"""What methods have in common that recycle units every so many updates."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from agents.network import Network
from agents.units import recycle
from continual_envs import checks


class Recycling:
    """Counts updates, and re-initialises the units of masks when it is time.

    Args:
        period: updates between two looks; 0 never looks.
        tau: threshold, at least 0.

    Attributes:
        name: of the method.
        purpose: what the draws are keyed by beside the seed.
    """

    name: str
    purpose: int

    def __init__(self, period: int, tau: float) -> None:
        self.period = checks.integer("period", period)
        self.tau = checks.number("tau", tau, 0)
        self._updates = 0  # never back to 0: a restarted network must not see the same draws again

    def attach(self, network: Network) -> None:
        """Take hold of the network.

        Raises:
            ValueError: it has no hidden layer.
        """
        network.need_hidden(self.name)
        self._network = network
        self._keys = network.keys(self.purpose)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates so far."""
        return {"updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._updates = int(state["updates"])

    def _due(self) -> bool:
        """Count an update, and return whether it is time to look."""
        self._updates += bool(self.period)
        return bool(self.period) and self._updates % self.period == 0

    def _recycle(self, masks: list[Tensor]) -> None:
        """Re-initialise the units of a mask a layer, bool (*lead, units)."""
        for depth, (layer, mask) in enumerate(zip(self._network.layers, masks, strict=True)):
            recycle(self._network, layer, mask, self._keys, (self._updates, depth))

"""ReGraMa: units that learn little are recycled now and then."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from agents import seeding
from agents.batch import Batch
from agents.network import HiddenLayer, Network
from agents.units import recycle
from continual_envs import checks

SMALL = 1e-8  # added to a layer's mean, as published


class ReGraMa:
    """Every `period` updates re-initialises the units whose incoming weights get little gradient.

    Unit i of a layer is inactive when G_i / (mean_k G_k + 1e-8) <= tau, G_i the mean |dL/dW| over
    its incoming weights in the batch of that update, k over its layer; for any activation, where
    `redo` needs one that can be silent. It is reset as `redo` does. A layer without any gradient is
    left alone, which differs from the published rule, by which all of it would be reset. Methods
    that add to gradients (`l2`) are to be named after this one.

    Source: Liu et al. 2025, "Measure gradients, not activations! Enhancing neuronal activity in
    deep reinforcement learning" (arXiv 2505.24061); period and tau are those of reimplementations.

    Args:
        period: updates between two looks; 0 never looks, which is plain backprop.
        tau: threshold, at least 0.
    """

    def __init__(self, *, period: int = 1000, tau: float = 0.01) -> None:
        self.period = checks.integer("period", period)
        self.tau = checks.number("tau", tau, 0)
        self._updates = 0  # never back to 0: a restarted network must not see the same draws again
        self._masks: list[Tensor] = []

    def attach(self, network: Network) -> None:
        """Take hold of the network.

        Raises:
            ValueError: it has no hidden layer.
        """
        network.need_hidden("regrama")
        self._network = network
        self._keys = network.keys(seeding.Purpose.REGRAMA)

    def before_step(self, batch: Batch) -> None:
        """Count, and look at the gradients when it is time."""
        if not self.period:
            return
        self._updates += 1
        due = self._updates % self.period == 0
        layers = self._network.layers if due else ()
        self._masks = [inactive(self._network, layer, self.tau) for layer in layers]

    def after_step(self, batch: Batch) -> None:
        """Recycle what was inactive before the step."""
        masks, self._masks = self._masks, []
        for depth, mask in enumerate(masks):
            layer = self._network.layers[depth]
            recycle(self._network, layer, mask, self._keys, (self._updates, depth))

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates so far."""
        return {"updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._updates = int(state["updates"])


def inactive(network: Network, layer: HiddenLayer, tau: float) -> Tensor:
    """Return which units of a layer have little gradient, bool (*lead, units)."""
    gradients = []
    for one in layer.incoming:
        weight = network.params[one.weight]
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
        gradients.append(gradient.abs().flatten(len(network.lead) + 1))
    size = torch.cat(gradients, -1).mean(-1)
    mean = size.mean(-1, keepdim=True)
    return (size <= tau * (mean + SMALL)) & (mean > 0)

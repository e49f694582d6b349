"""ReGraMa: units that learn little are recycled now and then."""

from __future__ import annotations

import torch
from torch import Tensor

from agents import seeding
from agents.batch import Batch
from agents.methods.recycling import Recycling
from agents.network import HiddenLayer, Network

SMALL = 1e-8  # added to a layer's mean, as published


class ReGraMa(Recycling):
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

    name, purpose = "regrama", seeding.Purpose.REGRAMA

    def __init__(self, *, period: int = 1000, tau: float = 0.01) -> None:
        super().__init__(period, tau)
        self._masks: list[Tensor] = []

    def before_step(self, batch: Batch) -> None:
        """Look at the gradients when it is time."""
        layers = self._network.layers if self._due() else ()
        self._masks = [inactive(self._network, layer, self.tau) for layer in layers]

    def after_step(self, batch: Batch) -> None:
        """Recycle what was inactive before the step."""
        if self._masks:
            self._recycle(self._masks)


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

"""Weight clipping: no weight grows beyond a multiple of the bound that torch draws it within."""

from __future__ import annotations

import math

from agents.batch import Batch
from agents.network import Network
from continual_envs import checks


class WeightClipping:
    """Clips weights and biases of every layer to +-kappa / sqrt(fan_in) after every step.

    1 / sqrt(fan_in) is the bound of torch's default initialisation; that of our multilayer
    perceptrons with ReLU is sqrt(6) times as wide, so that a smaller kappa clips it at the first
    step. The output layer is clipped too; gains and offsets of a normalisation are not, which
    differs from the published code, where a gain of 1 becomes kappa / sqrt(fan_in). Source: Elsayed
    et al. 2024 (arXiv 2407.01704): kappa 1 to 5, 10 to 20 in residual networks; with Adam 1 was
    best on permuted MNIST and 4 on EMNIST whose labels change, with SGD 2 and 1.

    Args:
        kappa: multiple of the bound, above 0; null never clips, which is plain backprop.
    """

    def __init__(self, *, kappa: float | None = 2.0) -> None:
        self.kappa = None if kappa is None else checks.number("kappa", kappa, above=0)

    def attach(self, network: Network) -> None:
        """Take hold of the layers."""
        axis = len(network.lead)
        self._bounded = []
        for weight, bias in network.maps():
            bound = 1 / math.sqrt(math.prod(network.params[weight].shape[axis + 1 :]))
            self._bounded += [(network.params[name], bound) for name in (weight, bias)]

    def after_step(self, batch: Batch) -> None:
        """Clip."""
        if self.kappa is not None:
            for one, bound in self._bounded:
                one.clamp_(-self.kappa * bound, self.kappa * bound)

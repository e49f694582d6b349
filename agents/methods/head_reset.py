"""Output layers drawn anew at every switch of task."""

from __future__ import annotations

import math
from typing import Any

import torch

from agents import seeding
from agents.network import Network
from agents.networks.parts import fresh_biases, fresh_weights


class HeadReset:
    """Draws weights and biases of the output layers by their initialisers at every switch of task.

    It needs the boundary. The optimizer's state of the layer stays as it is, as in the published
    code, so that momentum carries the first steps. Source: Dohare et al. 2024, class-incremental
    CIFAR-100 ("head resetting").
    """

    def __init__(self) -> None:
        self._switches = 0  # never back to 0: a restarted network must not see the same draws again

    def attach(self, network: Network) -> None:
        """Take hold of the output layers."""
        self._network = network
        self._keys = network.keys(seeding.Purpose.HEAD)

    @torch.no_grad()
    def on_task_switch(self) -> None:
        """Draw the layers anew."""
        for index, head in enumerate(self._network.heads):
            weight, bias = self._network.params[head.weight], self._network.params[head.bias]
            shape = tuple(weight.shape[len(self._network.lead) :])
            units, fan_in = shape[0], math.prod(shape[1:])
            drawn = seeding.uniform(self._keys, (self._switches, 2 * index), shape)
            weight.copy_(
                fresh_weights(head.initialiser, None, fan_in, drawn, units=units, gain=head.gain)
            )
            drawn = seeding.uniform(self._keys, (self._switches, 2 * index + 1), shape[:1])
            bias.copy_(fresh_biases(head.initialiser, fan_in, drawn))
        self._switches += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the number of switches so far."""
        return {"switches": self._switches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._switches = int(state["switches"])

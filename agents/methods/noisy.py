"""What methods have in common that add Gaussian noise to every parameter."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from agents import seeding
from agents.network import Network


class Noisy:
    """Draws from N(0, 1) for all parameters; one generator a member, which outlives a restart.

    Attributes:
        purpose: what the generators are keyed by beside the seed.
    """

    purpose = seeding.Purpose.METHOD

    def __init__(self) -> None:
        self._generators: list[torch.Generator] = []

    def attach(self, network: Network) -> None:
        """Take hold of the parameters."""
        self._network = network
        one = next(iter(network.params.values()))
        self._generators = self._generators or [
            seeding.generator(seed, self.purpose, device=str(one.device))
            for seed in network.seeds()
        ]
        lead = network.lead
        sizes = [math.prod(p.shape[len(lead) :]) for p in network.params.values()]
        self._drawn = torch.empty((*lead, sum(sizes)), dtype=one.dtype, device=one.device)
        self._parts = [
            part.view(parameter.shape)
            for part, parameter in zip(
                self._drawn.split_with_sizes(sizes, -1), network.params.values(), strict=True
            )
        ]

    def state_dict(self) -> dict[str, Any]:
        """Return the generators."""
        return {"generators": [generator.get_state() for generator in self._generators]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for generator, saved in zip(self._generators, state["generators"], strict=True):
            seeding.restore(generator, saved)

    def _noise(self) -> list[Tensor]:
        """Draw for all parameters at once; return each one's, views that the next draw changes."""
        members = self._drawn if self._network.lead else self._drawn[None]
        for member, generator in zip(members, self._generators, strict=True):
            member.normal_(generator=generator)
        return self._parts

"""Shrink and perturb in its per-step form: weight decay, and Gaussian noise on every parameter."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from agents import seeding
from agents.batch import Batch
from agents.methods.l2 import add_decay
from agents.network import Network
from continual_envs import checks


class ShrinkPerturb:
    """Coupled L2, then theta += N(0, noise_std^2) on all parameters after every step.

    Gains and offsets of a normalisation are included, as published; running statistics are not. In
    PPO the logarithm of the policy's standard deviation is included too, which differs from the
    published code.
    Source: Dohare et al. 2024 (weight_decay 1e-4, noise_std 1e-4 to 1e-6 on Online Permuted MNIST).
    Ash and Adams (2020), who named it, shrink and perturb once when new data arrive; at least five
    other forms go by the name.

    Args:
        weight_decay: strength of the shrinking, at least 0.
        noise_std: standard deviation of the noise of one step, at least 0.
    """

    def __init__(self, *, weight_decay: float = 1e-4, noise_std: float = 1e-5) -> None:
        self.weight_decay = checks.number("weight_decay", weight_decay, 0)
        self.noise_std = checks.number("noise_std", noise_std, 0)
        self._generators: list[torch.Generator] = []

    def attach(self, network: Network) -> None:
        """Take hold of the parameters; one generator a member, which outlives a restart."""
        self._network = network
        one = next(iter(network.params.values()))
        self._generators = self._generators or [
            seeding.generator(seed, seeding.Purpose.METHOD, device=str(one.device))
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

    def before_step(self, batch: Batch) -> None:
        """Add the penalty's gradient."""
        if self.weight_decay:
            add_decay(self._network.params.values(), self.weight_decay)

    def after_step(self, batch: Batch) -> None:
        """Add the noise."""
        if self.noise_std:
            parameters = list(self._network.params.values())
            torch._foreach_add_(parameters, self._noise(), alpha=self.noise_std)

    def state_dict(self) -> dict[str, Any]:
        """Return the generators."""
        return {"generators": [generator.get_state() for generator in self._generators]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for generator, saved in zip(self._generators, state["generators"], strict=True):
            seeding.restore(generator, saved)

    def _noise(self) -> list[Tensor]:
        """Draw from N(0, 1) for all parameters at once; return each one's, a view."""
        members = self._drawn if self._network.lead else self._drawn[None]
        for member, generator in zip(members, self._generators, strict=True):
            member.normal_(generator=generator)
        return self._parts

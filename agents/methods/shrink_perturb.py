"""Shrink and perturb in its per-step form: weight decay, and Gaussian noise on every parameter."""

from __future__ import annotations

import torch

from agents.batch import Batch
from agents.methods.l2 import add_decay
from agents.methods.noisy import Noisy
from continual_envs import checks


class ShrinkPerturb(Noisy):
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
        super().__init__()
        self.weight_decay = checks.number("weight_decay", weight_decay, 0)
        self.noise_std = checks.number("noise_std", noise_std, 0)

    def before_step(self, batch: Batch) -> None:
        """Add the penalty's gradient."""
        if self.weight_decay:
            add_decay(self._network.params.values(), self.weight_decay)

    def after_step(self, batch: Batch) -> None:
        """Add the noise."""
        if self.noise_std:
            parameters = list(self._network.params.values())
            torch._foreach_add_(parameters, self._noise(), alpha=self.noise_std)

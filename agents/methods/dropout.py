"""Dropout of hidden units."""

from __future__ import annotations

from dataclasses import replace

from agents.networks.spec import NetworkSpec
from continual_envs import checks


class Dropout:
    """Zeroes each hidden unit with probability `dropout_rate` in training, scaling up the others.

    A channel's positions are dropped one by one; resnet18, which is normalised, is refused.
    Predictions are made without dropping, and it is predictions that are scored. Source: Dohare et
    al. 2024 (0.03 best on Online Permuted MNIST, 0.1 shown), not in their published code.

    Args:
        dropout_rate: probability, in [0, 1); 0 is plain backprop.
    """

    def __init__(self, *, dropout_rate: float = 0.03) -> None:
        self.dropout_rate = checks.number("dropout_rate", dropout_rate, 0, below=1)

    def build(self, spec: NetworkSpec) -> NetworkSpec:
        """Put the dropout in."""
        return replace(spec, dropout_rate=self.dropout_rate)

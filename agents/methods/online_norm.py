"""Online Normalization of every hidden layer's pre-activations."""

from __future__ import annotations

from dataclasses import replace

from agents.networks.spec import NetworkSpec
from continual_envs import checks


class OnlineNorm:
    """Normalises every unit by running statistics of its own, where there are no batches.

    h = activation(y) with y of `agents.networks.online_norm.OnlineNorm`; multilayer perceptrons
    only. Predictions leave the statistics as they are. Source: Chiley et al. 2019 (arXiv
    1905.05894); as a remedy on Online Permuted MNIST Dohare et al. 2024, whose two decays are not
    known to us: the defaults are those of Chiley et al. Keep both near 1: the control grows without
    bound where (1 - backward_decay) n^2 is often above 2, n being a normalised value.

    Args:
        forward_decay: of the running mean and variance, in (0, 1).
        backward_decay: of the control of the gradient, in (0, 1).
    """

    def __init__(self, *, forward_decay: float = 0.999, backward_decay: float = 0.99) -> None:
        self.forward_decay = checks.number("forward_decay", forward_decay, above=0, below=1)
        self.backward_decay = checks.number("backward_decay", backward_decay, above=0, below=1)

    def build(self, spec: NetworkSpec) -> NetworkSpec:
        """Put the normalisation in."""
        return replace(spec, online_norm=(self.forward_decay, self.backward_decay))

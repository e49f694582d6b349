"""L2 regularisation, coupled: the penalty's gradient joins the loss's before the step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from agents.batch import Batch
from agents.network import Network
from continual_envs import checks


class L2:
    """Adds weight_decay * theta to every parameter's gradient.

    Biases, the output layer and the gains and offsets of a normalisation are included (Kumar et al.
    2023 leave the last out).

    With SGD every parameter shrinks by the factor 1 - step_size * weight_decay a step; inside Adam
    it is not a shrinkage. In float32 a decay of step_size * weight_decay below 6e-8 is lost in
    rounding on weights without another gradient; with plain SGD the fused engine, which keeps the
    shrinkage as one factor of all weights, does not lose it. Source: Dohare et al. 2024
    (weight_decay 1e-3 to 1e-5 on Online Permuted MNIST).

    Args:
        weight_decay: strength, at least 0; 0 is plain backprop.
    """

    def __init__(self, *, weight_decay: float = 1e-3) -> None:
        self.weight_decay = checks.number("weight_decay", weight_decay, 0)

    def attach(self, network: Network) -> None:
        """Take hold of the parameters."""
        self._network = network

    def before_step(self, batch: Batch) -> None:
        """Add the penalty's gradient."""
        if self.weight_decay:
            add_decay(self._network.params.values(), self.weight_decay)


def add_decay(parameters: Iterable[Tensor], weight_decay: float) -> None:
    """Add weight_decay * theta to each gradient in place, where there is one."""
    pairs = [(one.grad, one) for one in parameters if one.grad is not None]
    if pairs:
        gradients, moved = map(list, zip(*pairs, strict=True))
        torch._foreach_add_(gradients, moved, alpha=weight_decay)

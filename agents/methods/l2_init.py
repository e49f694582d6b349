"""L2 Init, or regenerative regularisation: L2 towards the initial weights instead of 0."""

from __future__ import annotations

from typing import Any

import torch

from agents.batch import Batch
from agents.network import Network
from continual_envs import checks


class L2Init:
    """Adds weight_decay * (theta - theta_0) to every parameter's gradient.

    theta_0 is what was drawn at the (latest) initialisation; a unit that another method replaces
    goes on being pulled to the weights it began with. Gains and offsets of a normalisation are left
    out, as published; biases and the output layer are not. Source: Kumar et al. 2023 (arXiv
    2308.11958): with Adam 1e-2 on permuted MNIST and four of their five problems, 1e-3 on Continual
    ImageNet. The strength is that of their code, whose penalty is weight_decay / 2 * ||theta -
    theta_0||^2; the text has twice as much for the same number.

    Args:
        weight_decay: strength, at least 0; 0 is plain backprop.
    """

    def __init__(self, *, weight_decay: float = 1e-2) -> None:
        self.weight_decay = checks.number("weight_decay", weight_decay, 0)

    def attach(self, network: Network) -> None:
        """Take hold of the parameters, and a copy of what they are."""
        left_out = network.norms()
        self._params = {n: p for n, p in network.params.items() if n not in left_out}
        self._initial = {name: one.detach().clone() for name, one in self._params.items()}

    def before_step(self, batch: Batch) -> None:
        """Add the penalty's gradient."""
        if not self.weight_decay:
            return
        triples = [
            (one.grad, one, self._initial[name])
            for name, one in self._params.items()
            if one.grad is not None
        ]
        if triples:
            gradients, present, initial = map(list, zip(*triples, strict=True))
            moved = torch._foreach_sub(present, initial)
            torch._foreach_add_(gradients, moved, alpha=self.weight_decay)

    def state_dict(self) -> dict[str, Any]:
        """Return the initial weights."""
        return {"initial": self._initial}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for name, one in self._initial.items():
            one.copy_(state["initial"][name])

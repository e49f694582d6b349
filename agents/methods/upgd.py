"""Utility-based perturbed gradient descent: weights of use are spared the step and the noise."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from agents import seeding
from agents.batch import Batch
from agents.methods.noisy import Noisy
from agents.network import Network
from continual_envs import checks

Profile = Literal["paper", "code"]


class UPGD(Noisy):
    """Gates gradient and noise of every weight by how little the loss would grow without it.

    Utility is a trace of -g * theta, u <- utility_decay * u + (1 - utility_decay) * (-g * theta),
    first order and corrected for its start: u' = u / (1 - utility_decay^t). With s = sigmoid(u' /
    eta), eta the largest u' of the network, the gradient becomes (g + xi) * (1 - s) if `protect`,
    else g + xi * (1 - s), xi from N(0, noise_std^2), and weight_decay * theta is added to it. With
    SGD that is the published update; inside Adam it is not, of which the authors have another form.

    Source: Elsayed and Mahmood 2024 (arXiv 2404.00781), global scaling. Profile "code" has eta the
    largest u, as the published experiments, which makes the gate of the first updates all but 0 or
    1. Their best on input-permuted MNIST, with step size 0.01, are the defaults. A utility of 0
    has s = 1/2 also where eta is 0, which differs from the published code (there it is nan).

    Args:
        noise_std: standard deviation of the noise of one step, before the step size; at least 0.
        weight_decay: strength of the decay, at least 0.
        utility_decay: of the trace, in [0, 1).
        protect: whether gradients are gated; else the noise alone, and with noise_std and
            weight_decay 0 it is plain backprop.
        profile: which eta.
    """

    purpose = seeding.Purpose.UPGD

    def __init__(
        self,
        *,
        noise_std: float = 0.1,
        weight_decay: float = 0.01,
        utility_decay: float = 0.9999,
        protect: bool = True,
        profile: Profile = "paper",
    ) -> None:
        super().__init__()
        self.noise_std = checks.number("noise_std", noise_std, 0)
        self.weight_decay = checks.number("weight_decay", weight_decay, 0)
        self.utility_decay = checks.number("utility_decay", utility_decay, 0, below=1)
        self.protect = checks.flag("protect", protect)
        self.profile = checks.one_of("profile", profile, ("paper", "code"))

    def attach(self, network: Network) -> None:
        """Take hold of the parameters; utilities begin at 0."""
        super().attach(network)
        self._updates = 0
        self._utility = [torch.zeros_like(one) for one in network.params.values()]

    def before_step(self, batch: Batch) -> None:
        """Gate the gradients, and add noise and decay to them."""
        parameters = list(self._network.params.values())
        gates = self._gates(parameters)
        noise = self._noise() if self.noise_std else [None] * len(parameters)
        for one, gate, drawn in zip(parameters, gates, noise, strict=True):
            if one.grad is None:
                continue
            if self.protect:
                one.grad.mul_(gate)
            if drawn is not None:
                one.grad.addcmul_(drawn, gate, value=self.noise_std)
            if self.weight_decay:
                one.grad.add_(one, alpha=self.weight_decay)

    def state_dict(self) -> dict[str, Any]:
        """Return utilities and generators."""
        return super().state_dict() | {"updates": self._updates, "utility": self._utility}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        super().load_state_dict(state)
        self._updates = int(state["updates"])
        for one, saved in zip(self._utility, state["utility"], strict=True):
            one.copy_(saved)

    def _gates(self, parameters: list[Tensor]) -> list[Tensor]:
        """Renew the utilities; return 1 - s of every parameter."""
        self._updates += 1
        axis = len(self._network.lead)
        for one, utility in zip(parameters, self._utility, strict=True):
            utility.mul_(self.utility_decay)
            if one.grad is not None:
                utility.addcmul_(one.grad, one, value=self.utility_decay - 1)
        correction = 1 - self.utility_decay**self._updates
        largest = torch.stack([u.flatten(axis).amax(-1) for u in self._utility]).amax(0)
        eta = largest / correction if self.profile == "paper" else largest
        gates = []
        for utility in self._utility:
            scaled = utility / correction / eta.reshape(*eta.shape, *[1] * (utility.ndim - axis))
            gates.append(torch.sigmoid(-torch.where(utility == 0, 0.0, scaled)))
        return gates

"""Optimizers by name: torch's own, and an Adam whose step count is kept for every element."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from continual_envs import checks

DECAY = 0.2


def build(
    name: str,
    parameters: Iterable[Tensor],
    *,
    step_size: float,
    momentum: float,
    betas: tuple[float, float],
) -> torch.optim.Optimizer:
    """Return plain or momentum SGD ("sgd") or Adam ("adam", epsilon 1e-8).

    Raises:
        ValueError: an unknown name, a step size not above 0, or momentum or betas not in [0, 1).
    """
    checks.one_of("optimizer", name, ("sgd", "adam"))
    checks.number("step_size", step_size, above=0)
    checks.number("momentum", momentum, 0, below=1)
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"betas: {betas!r} is not allowed; give two numbers like [0.9, 0.999]")
    first, second = (checks.number("betas", beta, 0, below=1) for beta in betas)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=step_size, momentum=momentum)
    if momentum:
        raise ValueError(f"momentum: {momentum!r} is not allowed with adam; set betas instead")
    return torch.optim.Adam(parameters, lr=step_size, betas=(first, second))


def checked_epochs(decay_epochs: tuple[int, ...]) -> tuple[int, ...]:
    """Return `decay_epochs` if they are whole numbers of at least 1, else raise a ValueError."""
    if not isinstance(decay_epochs, tuple | list):
        given = f"decay_epochs: {decay_epochs!r} is not allowed"
        raise ValueError(f"{given}; give a list like [60, 120, 160]")
    return tuple(checks.integer("decay_epochs", epoch, 1) for epoch in decay_epochs)


def decayed(step_size: float, decay_epochs: tuple[int, ...], epoch: int) -> float:
    """Return the step size after `epoch` passes: smaller by DECAY for each of `decay_epochs`."""
    return step_size * DECAY ** sum(epoch >= one for one in decay_epochs)


class ElementwiseAdam(torch.optim.Optimizer):
    """Adam with bias correction by a step count of each element, so that part can start anew.

    Textbook Adam otherwise: equal to torch's while nothing is reset. It is what the published code
    of continual backprop uses ("AdamGnT"), since torch's Adam keeps one count a tensor.

    Args:
        parameters: what to optimise.
        lr: step size.
        betas: decay of the two moments.
        eps: added to the root of the second moment.
    """

    def __init__(
        self,
        parameters: Any,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Take one step along the gradients."""
        for group in self.param_groups:
            first, second = group["betas"]
            parameters = [one for one in group["params"] if one.grad is not None]
            if not parameters:
                continue
            for parameter in parameters:
                if not self.state[parameter]:
                    # Not "step": torch loads a slot of that name without moving it to the device.
                    for slot in ("steps", "exp_avg", "exp_avg_sq"):
                        self.state[parameter][slot] = torch.zeros_like(parameter)
            gradients = [one.grad for one in parameters]
            steps, means, squares = (
                [self.state[one][slot] for one in parameters]
                for slot in ("steps", "exp_avg", "exp_avg_sq")
            )
            # All tensors in one call, as torch's own optimizers do: half of the time is the calls.
            torch._foreach_add_(steps, 1)
            torch._foreach_lerp_(means, gradients, 1 - first)
            torch._foreach_mul_(squares, second)
            torch._foreach_addcmul_(squares, gradients, gradients, value=1 - second)
            # mean / begun(first) over sqrt(square / begun(second)) + eps, but a division less.
            begun = _begun(second, steps)
            roots = torch._foreach_mul(squares, begun)
            torch._foreach_sqrt_(roots)
            torch._foreach_add_(roots, begun, alpha=group["eps"])
            if first != second:
                torch._foreach_div_(begun, _begun(first, steps))
                means = list(torch._foreach_mul(means, begun))
            torch._foreach_addcdiv_(parameters, means, roots, value=-group["lr"])


def _begun(beta: float, steps: list[Tensor]) -> list[Tensor]:
    """Return 1 - beta^steps, by exp: torch's power takes six times as long."""
    begun = torch._foreach_mul(steps, math.log(beta) if beta else -math.inf)
    torch._foreach_exp_(begun)
    torch._foreach_neg_(begun)
    torch._foreach_add_(begun, 1)
    return list(begun)

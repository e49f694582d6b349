"""What the networks are made of: activations, initialisers and dropout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
    "swish": F.silu,
}
# Of these the largest value has the largest activation, so that pooling may come first.
MONOTONE = ("relu", "leaky_relu", "tanh", "sigmoid", "elu")

# Kaiming gains of Dohare et al. 2024; swish and ELU are treated as ReLU.
GAINS = {
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "tanh": 5 / 3,
    "sigmoid": 1.0,
    "elu": math.sqrt(2),
    "swish": math.sqrt(2),
}

Layer = TypeVar("Layer", bound=nn.Module)
INITIALISERS = (
    "kaiming_uniform",
    "kaiming_normal",
    "lecun_uniform",
    "orthogonal",
    "torch_uniform",
)


def init_bound(activation: str | None, fan_in: int) -> float:
    """Return b of Kaiming-uniform U(-b, b) = gain * sqrt(3 / fan_in); None is the linear output."""
    return _gain(activation) * math.sqrt(3 / fan_in)


def fresh_weights(
    initialiser: str,
    activation: str | None,
    fan_in: int,
    uniform: Tensor,
    *,
    units: int = 1,
    gain: float | None = None,
) -> Tensor:
    """Return new weights as an initialiser draws them.

    "kaiming_uniform" is U(-b, b) of `init_bound`; "kaiming_normal" N(0, gain^2 / fan_in);
    "lecun_uniform" U(-b, b) with b = sqrt(3 / fan_in); "torch_uniform", what torch's layers have by
    default, U(-b, b) with b = 1 / sqrt(fan_in). "orthogonal" gives each unit a direction of its own
    and the length that the rows of gain times an orthogonal (units, fan_in) matrix have on average;
    that the rows of the whole matrix are at right angles is not kept.

    Args:
        initialiser: one of `INITIALISERS`.
        activation: of the units; None is the linear output.
        fan_in: inputs of a unit.
        uniform: float64 draws from [0, 1), (..., fan_in) for "orthogonal".
        units: of the layer; for "orthogonal".
        gain: for "orthogonal"; None is that of the activation.
    """
    if initialiser == "kaiming_normal":
        return _normal(uniform) * (_gain(activation) / math.sqrt(fan_in))
    if initialiser == "orthogonal":
        normal = _normal(uniform)
        length = _gain(activation) if gain is None else gain
        length *= min(1.0, math.sqrt(fan_in / units))
        return normal * (length / normal.norm(dim=-1, keepdim=True))
    if initialiser == "lecun_uniform":
        return (2 * uniform - 1) * math.sqrt(3 / fan_in)
    if initialiser == "torch_uniform":
        return (2 * uniform - 1) * (1 / math.sqrt(fan_in))
    return (2 * uniform - 1) * init_bound(activation, fan_in)


def fresh_biases(initialiser: str, fan_in: int, uniform: Tensor) -> Tensor:
    """Return new biases: those of torch's default are drawn like its weights, others are 0."""
    if initialiser == "torch_uniform":
        return fresh_weights(initialiser, None, fan_in, uniform)
    return torch.zeros_like(uniform)


@torch.no_grad()
def initialise(
    layer: nn.Linear | nn.Conv2d,
    initialiser: str,
    activation: str | None,
    generator: torch.Generator,
) -> None:
    """Draw weights and biases in place, in float64 whatever the dtype; see `fresh_weights`."""
    weight, bias = layer.weight, layer.bias
    assert bias is not None
    fan_in = weight[0].numel()
    drawn = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
    weight.copy_(fresh_weights(initialiser, activation, fan_in, drawn))
    bias.zero_()
    if initialiser == "torch_uniform":
        drawn = torch.rand(bias.shape, generator=generator, dtype=torch.float64)
        bias.copy_(fresh_biases(initialiser, fan_in, drawn))


def empty(kind: type[Layer], *sizes: Any, **settings: Any) -> Layer:
    """Return a linear map or convolution without initial values: torch would draw them globally.

    As `torch.nn.utils.skip_init`, which takes a third of a second the first time.
    """
    layer = kind(*sizes, device="meta", **settings)
    for name, parameter in list(layer.named_parameters()):
        setattr(layer, name, nn.Parameter(torch.empty(parameter.shape)))
    return layer


def drop(hidden: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Zero activations at random and scale the others up (inverted dropout)."""
    keep = 1 - rate
    drawn = torch.rand(hidden.shape, generator=generator, device=hidden.device)
    return hidden * (drawn < keep) / keep


def _normal(uniform: Tensor) -> Tensor:
    normal: Tensor = torch.special.ndtri(uniform.clamp(min=2.0**-54))
    return normal


def _gain(activation: str | None) -> float:
    return 1.0 if activation is None else GAINS[activation]

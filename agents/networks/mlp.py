"""The multilayer perceptron of the online problems, and its initialisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents.network import HiddenLayer
from continual_envs import checks

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
    "swish": F.silu,
}

# Kaiming gains of Dohare et al. 2024; swish and ELU are treated as ReLU.
GAINS = {
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "tanh": 5 / 3,
    "sigmoid": 1.0,
    "elu": math.sqrt(2),
    "swish": math.sqrt(2),
}


@dataclass(frozen=True)
class NetworkSpec:
    """Sizes and parts of a multilayer perceptron; methods change it before it is built.

    Attributes:
        inputs: number of inputs.
        outputs: number of outputs.
        hidden: units of each hidden layer; () is a linear map.
        activation: a key of `ACTIVATIONS`.
        layer_norm: normalise pre-activations of every hidden layer.
        dropout_rate: probability of dropping a hidden unit in training.
    """

    inputs: int
    outputs: int
    hidden: tuple[int, ...]
    activation: str
    layer_norm: bool = False
    dropout_rate: float = 0.0

    def __post_init__(self) -> None:
        """Refuse sizes and names that cannot be built."""
        if not isinstance(self.hidden, tuple | list):
            raise ValueError(f"hidden: {self.hidden!r} is not allowed; give a list like [100, 100]")
        for units in self.hidden:
            checks.integer("hidden", units, 1)
        checks.one_of("activation", self.activation, ACTIVATIONS)


def init_bound(activation: str | None, fan_in: int) -> float:
    """Return b of Kaiming-uniform U(-b, b) = gain * sqrt(3 / fan_in); None is the linear output."""
    gain = 1.0 if activation is None else GAINS[activation]
    return gain * math.sqrt(3 / fan_in)


class MLP(nn.Module):
    """Linear maps with an activation between them.

    `forward(inputs)` takes (n, inputs) and returns outputs (n, outputs) and the list of hidden
    activations (n, units), dropped units included as zeros in training mode.

    Args:
        spec: what to build.
        dropout: generator of the dropout masks.
    """

    def __init__(self, spec: NetworkSpec, dropout: torch.Generator) -> None:
        super().__init__()
        sizes = (spec.inputs, *spec.hidden, spec.outputs)
        self.spec = spec
        self.linears: Sequence[nn.Linear] = nn.ModuleList(  # type: ignore[assignment]
            nn.utils.skip_init(nn.Linear, a, b)  # type: ignore[no-untyped-call]
            for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.norms: Sequence[nn.LayerNorm] = nn.ModuleList(  # type: ignore[assignment]
            nn.LayerNorm(units) for units in spec.hidden if spec.layer_norm
        )
        self._activation = ACTIVATIONS[spec.activation]
        self._dropout = dropout

    def initialise(self, generator: torch.Generator) -> None:
        """Draw Kaiming-uniform weights and zero biases in place, in float64 whatever the dtype."""
        with torch.no_grad():
            for depth, linear in enumerate(self.linears):
                hidden = depth < len(self.spec.hidden)
                bound = init_bound(self.spec.activation if hidden else None, linear.in_features)
                drawn = torch.rand(linear.weight.shape, generator=generator, dtype=torch.float64)
                linear.weight.copy_((2 * drawn - 1) * bound)
                linear.bias.zero_()
            for norm in self.norms:
                norm.reset_parameters()

    def forward(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return outputs and hidden activations; see the class."""
        *linears, last = self.linears
        features = []
        hidden = inputs
        for depth, linear in enumerate(linears):
            hidden = linear(hidden)
            if self.norms:
                hidden = self.norms[depth](hidden)
            hidden = self._activation(hidden)
            if self.training and self.spec.dropout_rate:
                hidden = self._drop(hidden)
            features.append(hidden)
        return last(hidden), features

    def hidden_layers(self) -> tuple[HiddenLayer, ...]:
        """Describe every hidden layer by parameter names."""
        normed = len(self.norms) > 0
        return tuple(
            HiddenLayer(
                weight=f"linears.{i}.weight",
                bias=f"linears.{i}.bias",
                consumers=(f"linears.{i + 1}.weight",),
                consumer_biases=(f"linears.{i + 1}.bias",),
                activation=self.spec.activation,
                norm=(f"norms.{i}.weight", f"norms.{i}.bias") if normed else None,
            )
            for i in range(len(self.spec.hidden))
        )

    def _drop(self, hidden: Tensor) -> Tensor:
        """Zero units at random and scale the others up (inverted dropout)."""
        keep = 1 - self.spec.dropout_rate
        drawn = torch.rand(hidden.shape, generator=self._dropout, device=hidden.device)
        return hidden * (drawn < keep) / keep

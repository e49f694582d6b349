"""The multilayer perceptron of the online problems, and its initialisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from agents.network import Consumer, Head, HiddenLayer, Incoming
from agents.networks.online_norm import RUNNING, OnlineNorm
from agents.networks.parts import ACTIVATIONS, drop, empty, initialise
from agents.networks.spec import NetworkSpec

INITIALISER = "kaiming_uniform"


class MLP(nn.Module):
    """Linear maps with an activation between them.

    `forward(inputs)` takes (n, inputs), or images (n, H, W, C), and returns outputs (n, outputs)
    and the list of hidden activations (n, units), dropped units included as zeros in training mode.

    Args:
        spec: what to build.
        dropout: generator of the dropout masks.
    """

    def __init__(self, spec: NetworkSpec, dropout: torch.Generator) -> None:
        super().__init__()
        sizes = (spec.inputs, *spec.hidden, spec.outputs)
        self.spec = spec
        self.linears: Sequence[nn.Linear] = nn.ModuleList(  # type: ignore[assignment]
            empty(nn.Linear, a, b) for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.norms: Sequence[nn.LayerNorm | OnlineNorm] = nn.ModuleList(  # type: ignore[assignment]
            OnlineNorm(units, *spec.online_norm) if spec.online_norm else nn.LayerNorm(units)
            for units in spec.hidden
            if spec.normed
        )
        self._activation = ACTIVATIONS[spec.activation]
        self.dropout = dropout

    def initialise(self, generator: torch.Generator) -> None:
        """Draw Kaiming-uniform weights and zero biases in place, in float64 whatever the dtype."""
        for depth, linear in enumerate(self.linears):
            hidden = depth < len(self.spec.hidden)
            activation = self.spec.activation if hidden else None
            initialise(linear, INITIALISER, activation, generator)
        for norm in self.norms:
            norm.reset_parameters()

    def forward(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return outputs and hidden activations; see the class."""
        *linears, last = self.linears
        features = []
        hidden = inputs.flatten(1) if self.spec.image else inputs
        for depth, linear in enumerate(linears):
            hidden = linear(hidden)
            if self.norms:
                hidden = self.norms[depth](hidden)
            hidden = self._activation(hidden)
            if self.training and self.spec.dropout_rate:
                hidden = drop(hidden, self.spec.dropout_rate, self.dropout)
            features.append(hidden)
        return last(hidden), features

    def hidden_layers(self) -> tuple[HiddenLayer, ...]:
        """Describe every hidden layer by parameter names."""
        normed, online = self.spec.normed, self.spec.online_norm is not None
        return tuple(
            HiddenLayer(
                incoming=(
                    Incoming(
                        weight=f"linears.{i}.weight",
                        bias=f"linears.{i}.bias",
                        norm=(f"norms.{i}.weight", f"norms.{i}.bias") if normed else None,
                        statistics=tuple(f"norms.{i}.{n}" for n in RUNNING) if online else None,
                    ),
                ),
                consumers=(Consumer(f"linears.{i + 1}.weight", f"linears.{i + 1}.bias"),),
                activation=self.spec.activation,
                initialiser=INITIALISER,
            )
            for i in range(len(self.spec.hidden))
        )

    def head(self) -> Head:
        """Describe the output layer by parameter names."""
        last = f"linears.{len(self.spec.hidden)}"
        return Head(f"{last}.weight", f"{last}.bias", INITIALISER)

"""What a method may touch: named live tensors and a description of hidden layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from agents import seeding


@dataclass(frozen=True)
class Incoming:
    """One linear map or convolution that feeds the units of a layer, by names.

    Attributes:
        weight: (*lead, units, fan_in), or (*lead, units, channels, height, width).
        bias: (*lead, units).
        norm: a normalisation's scale and offset, (*lead, units) each, or None.
        statistics: buffers of a normalisation, (*lead, units) each: the running mean and variance
            and, of Online Normalization, its two controls; or None.
    """

    weight: str
    bias: str
    norm: tuple[str, str] | None = None
    statistics: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Consumer:
    """One linear map or convolution that reads the units of a layer, by names.

    Attributes:
        weight: (*lead, fan_out, units * spread), or (*lead, fan_out, units, height, width).
        bias: added to what it reads, (*lead, fan_out); None where no bias can stand for a constant
            activation (a padded convolution, batch normalisation behind it).
        spread: neighbouring columns that read one unit: the positions of a channel, if flattened.
    """

    weight: str
    bias: str | None
    spread: int = 1


@dataclass(frozen=True)
class HiddenLayer:
    """Which parameters feed and read the units of one hidden layer.

    The units of a residual stream have several incoming maps, which are added, and several readers.

    Attributes:
        incoming: what feeds the units.
        consumers: what reads them.
        activation: name of the non-linearity.
        initialiser: how incoming weights are drawn, of `agents.networks.parts.INITIALISERS`.
        gain: of an orthogonal initialiser; None is that of the activation.
    """

    incoming: tuple[Incoming, ...]
    consumers: tuple[Consumer, ...]
    activation: str
    initialiser: str
    gain: float | None = None


@dataclass(frozen=True)
class Head:
    """An output layer by names: weight (*lead, outputs, fan_in), bias (*lead, outputs)."""

    weight: str
    bias: str
    initialiser: str
    gain: float | None = None


@dataclass
class Network:
    """One network, or several members with a leading axis in every tensor.

    Attributes:
        params: live parameters by name; changed in place only.
        layers: hidden layers from input to output.
        optimizer: the optimizer whose state belongs to `params`.
        seed: what the methods' own generators are keyed by: one a member, or the first of
            consecutive ones.
        lead: () for one network, (P,) for P members.
        restart: draws all parameters anew, clears the optimizer and attaches every method again.
        captured: a step is recorded and repeated, so that a method must do the same operations
            every time and look at no value.
        buffers: live buffers by name, such as running statistics.
        heads: the output layers; actor and critic have one each.
    """

    params: dict[str, Tensor]
    layers: tuple[HiddenLayer, ...]
    optimizer: torch.optim.Optimizer
    seed: int | Sequence[int]
    lead: tuple[int, ...] = ()
    restart: Callable[[], None] | None = None
    captured: bool = False
    buffers: dict[str, Tensor] = field(default_factory=dict)
    heads: tuple[Head, ...] = ()

    def seeds(self) -> list[int]:
        """Return one seed a member."""
        if isinstance(self.seed, Sequence):
            return list(self.seed)
        return [self.seed + i for i in range(self.lead[0] if self.lead else 1)]

    def keys(self, purpose: int) -> Tensor:
        """Return what keys a method's draws, see `seeding.uniform`: (*lead), beside the params."""
        keys = [seeding.key(seed, purpose) for seed in self.seeds()]
        device = next(iter(self.params.values())).device
        return torch.stack(keys).reshape(self.lead).to(device)

    def need_hidden(self, method: str) -> None:
        """Refuse a method that would have nothing to act on, by a ValueError."""
        if not self.layers:
            raise ValueError(f"agent: {method} needs hidden layers, of which the network has none")

    def norms(self) -> set[str]:
        """Return the names of all scales and offsets of normalisations."""
        return {name for layer in self.layers for one in layer.incoming for name in one.norm or ()}

    def maps(self) -> list[tuple[str, str]]:
        """Return the names of weight and bias of every linear map and convolution, heads last."""
        hidden = [(one.weight, one.bias) for layer in self.layers for one in layer.incoming]
        return hidden + [(head.weight, head.bias) for head in self.heads]

    def incoming(self, layer: HiddenLayer) -> list[Tensor]:
        """Return the incoming weights of a layer's units, views (*lead, units, ...), one a map."""
        return [self.params[one.weight] for one in layer.incoming]

    def outgoing(self, layer: HiddenLayer) -> list[Tensor]:
        """Return the outgoing weights of a layer's units, views (*lead, units, ...), one a reader.

        After the units come fan_out and, of a convolution or a flattened channel, positions.
        """
        return [
            by_unit(self.params[one.weight], len(self.lead), one.spread) for one in layer.consumers
        ]


class Features(Sequence[Tensor]):
    """Activations of every hidden layer in one pass, without their graph, made when asked for.

    A layer's are (batch, units) or (batch, channels, height, width), as its readers see them. Where
    these see a stream at several points, the points follow one another along the batch axis.

    Args:
        layers: a tensor, or the points of a stream, for each layer.
    """

    def __init__(self, layers: Sequence[Tensor | Sequence[Tensor]]) -> None:
        self._layers = layers

    def __len__(self) -> int:
        """Return the number of hidden layers."""
        return len(self._layers)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        """Return one layer's activations."""
        layer = self._layers[index]
        if isinstance(layer, Tensor):
            return layer.detach()
        return torch.cat([point.detach() for point in layer])


def by_unit(weight: Tensor, axis: int, spread: int) -> Tensor:
    """Return a reader's weight, or a tensor of its shape, as a view with the units at `axis`."""
    if spread > 1:
        weight = torch.unflatten(weight, axis + 1, (-1, spread))
    return weight.transpose(axis, axis + 1)

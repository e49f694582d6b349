"""What a method may touch: named live tensors, a description of hidden layers, and unit resets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class HiddenLayer:
    """Which parameters feed and read the units of one hidden layer.

    Attributes:
        weight: name of the incoming weight, (*lead, units, fan_in).
        bias: name of the incoming bias, (*lead, units).
        consumers: names of the weights that read the units, each (*lead, fan_out, units), and
        consumer_biases: of the biases added to what they read, each (*lead, fan_out).
        activation: name of the non-linearity.
        norm: names of a normalisation's scale and offset, (*lead, units) each, or None.
    """

    weight: str
    bias: str
    consumers: tuple[str, ...]
    consumer_biases: tuple[str, ...]
    activation: str
    norm: tuple[str, str] | None = None


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
        restart: draws all parameters anew and clears the optimizer and every method.
        captured: a step is recorded and repeated, so that a method must do the same operations
            every time and look at no value.
    """

    params: dict[str, Tensor]
    layers: tuple[HiddenLayer, ...]
    optimizer: torch.optim.Optimizer
    seed: int | Sequence[int]
    lead: tuple[int, ...] = ()
    restart: Callable[[], None] | None = None
    captured: bool = False

    def seeds(self) -> list[int]:
        """Return one seed a member."""
        if isinstance(self.seed, Sequence):
            return list(self.seed)
        return [self.seed + i for i in range(self.lead[0] if self.lead else 1)]

    def incoming(self, layer: HiddenLayer) -> Tensor:
        """Return the incoming weights of a layer's units, a view (*lead, units, fan_in)."""
        return self.params[layer.weight]

    def outgoing(self, layer: HiddenLayer) -> list[Tensor]:
        """Return the outgoing weights of a layer's units, views (*lead, units, fan_out)."""
        return [self.params[name].mT for name in layer.consumers]


def reset_units(
    network: Network, layer: HiddenLayer, index: Tensor, active: Tensor, fresh: Tensor
) -> None:
    """Give units fresh incoming weights, bias 0, outgoing weights 0 and an empty optimizer state.

    In place, on any leading dimensions. A unit's own normalisation becomes scale 1, offset 0.

    Args:
        network: parameters and optimizer.
        layer: the layer.
        index: int64 (*lead, K), distinct units.
        active: bool (*lead, K), which of the K are reset; the others stay as they are.
        fresh: (*lead, K, fan_in), the new incoming weights.
    """
    optimizer = network.optimizer

    def write(name: str, value: Tensor | float, outgoing: bool = False) -> None:
        parameter = network.params[name]
        tensors = [(parameter, value)]
        for slot in optimizer.state.get(parameter, {}).values():
            if isinstance(slot, Tensor) and slot.shape == parameter.shape:
                tensors.append((slot, 0.0))
        for tensor, new in tensors:
            _write_units(tensor.mT if outgoing else tensor, index, active, new)

    write(layer.weight, fresh)
    write(layer.bias, 0.0)
    if layer.norm:
        write(layer.norm[0], 1.0)
        write(layer.norm[1], 0.0)
    for consumer in layer.consumers:
        write(consumer, 0.0, outgoing=True)


def _write_units(tensor: Tensor, index: Tensor, active: Tensor, value: Tensor | float) -> None:
    """Write `value` to the active units of `tensor`, (*lead, units) or (*lead, units, other)."""
    axis = index.ndim - 1
    if tensor.ndim > index.ndim:
        index = index[..., None].expand(*index.shape, tensor.shape[-1])
        active = active[..., None]
    tensor.scatter_(axis, index, torch.where(active, value, tensor.gather(axis, index)))

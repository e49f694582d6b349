"""New weights for units, and the one function through which a unit starts over."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from agents import seeding
from agents.network import HiddenLayer, Network, by_unit
from agents.networks.parts import fresh_weights


def draw_units(
    network: Network,
    layer: HiddenLayer,
    keys: Tensor,
    counters: tuple[int | Tensor, ...],
    units: int,
) -> list[Tensor]:
    """Return incoming weights of some units as the layer's initialiser draws them.

    Args:
        network: whose dtype and shapes count.
        layer: the layer.
        keys: of the draws, see `seeding.uniform`.
        counters: likewise.
        units: how many, K.

    Returns:
        (*lead, K, ...) of each incoming map.
    """
    drawn = seeding.uniform(keys, counters, (units * fans_of(network, layer),))
    return weights_of(network, layer, drawn, units)


def fans_of(network: Network, layer: HiddenLayer) -> int:
    """Return how many weights lead into a unit of the layer."""
    axis = len(network.lead)
    return sum(math.prod(weight.shape[axis + 1 :]) for weight in network.incoming(layer))


def weights_of(network: Network, layer: HiddenLayer, drawn: Tensor, units: int) -> list[Tensor]:
    """Return what `draw_units` does from what has been drawn, (*lead, K * fans_of or more)."""
    maps, axis = network.incoming(layer), len(network.lead)
    fans = [math.prod(weight.shape[axis + 1 :]) for weight in maps]
    table = drawn[..., : units * sum(fans)].reshape(*drawn.shape[:-1], units, sum(fans))
    return [
        fresh_weights(
            layer.initialiser,
            layer.activation,
            fan_in,
            part,
            units=weight.shape[axis],
            gain=layer.gain,
        )
        .reshape(*part.shape[:-1], *weight.shape[axis + 1 :])
        .to(weight.dtype)
        for weight, fan_in, part in zip(maps, fans, table.split_with_sizes(fans, -1), strict=True)
    ]


def reset_units(
    network: Network,
    layer: HiddenLayer,
    index: Tensor,
    active: Tensor,
    fresh: Sequence[Tensor],
) -> None:
    """Give units fresh incoming weights, bias 0, outgoing weights 0 and an empty optimizer state.

    In place, on any leading dimensions. A unit's own normalisation becomes scale 1, offset 0, its
    running statistics mean 0 and variance 1, its controls 0.

    Args:
        network: parameters and optimizer.
        layer: the layer.
        index: int64 (*lead, K), distinct units.
        active: bool (*lead, K), which of the K are reset; the others stay as they are.
        fresh: (*lead, K, ...) of each incoming map, the new weights.
    """
    axis = len(network.lead)

    def write(name: str, value: Tensor | float, spread: int | None = None) -> None:
        parameter = network.params[name]
        tensors = [(parameter, value)]
        for slot in network.optimizer.state.get(parameter, {}).values():
            if isinstance(slot, Tensor) and slot.shape == parameter.shape:
                tensors.append((slot, 0.0))
        for tensor, new in tensors:
            units = by_unit(tensor, axis, spread) if spread else tensor
            _write_units(units, index, active, new)

    for one, weights in zip(layer.incoming, fresh, strict=True):
        write(one.weight, weights)
        write(one.bias, 0.0)
        for name, value in zip(one.norm or (), (1.0, 0.0), strict=False):
            write(name, value)
        for name, value in zip(one.statistics or (), (0.0, 1.0, 0.0, 0.0), strict=False):
            _write_units(network.buffers[name], index, active, value)
    for consumer in layer.consumers:
        write(consumer.weight, 0.0, consumer.spread)


def recycle(
    network: Network, layer: HiddenLayer, mask: Tensor, keys: Tensor, counters: tuple[int, ...]
) -> None:
    """Reset the units of a mask, bool (*lead, units), with weights drawn as `draw_units` does."""
    places = int(mask.sum(-1).max())
    if not places:
        return
    index = mask.sort(dim=-1, descending=True, stable=True).indices[..., :places]
    fresh = draw_units(network, layer, keys, counters, places)
    reset_units(network, layer, index, mask.gather(-1, index), fresh)


def _write_units(tensor: Tensor, index: Tensor, active: Tensor, value: Tensor | float) -> None:
    """Write `value` to the active units of `tensor`, (*lead, units, ...)."""
    axis = index.ndim - 1
    others = tensor.shape[index.ndim :]
    if others:
        index = index.reshape(*index.shape, *(1 for _ in others)).expand(*index.shape, *others)
        active = active.reshape(*active.shape, *(1 for _ in others))
    tensor.scatter_(axis, index, torch.where(active, value, tensor.gather(axis, index)))

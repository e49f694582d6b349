"""What a unit is worth: utilities of continual backprop, and what is remembered of each unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from agents.network import HiddenLayer, Network

Utility = Literal[
    "contribution",
    "adaptable_contribution",
    "zero_contribution",
    "adaptation",
    "weight",
    "feature_by_input",
    "random",
]


@dataclass
class UnitState:
    """What is remembered of each unit of one layer; members lead.

    Attributes:
        age: updates since the unit was born, int64 (*lead, units).
        utility: running average of the instantaneous utility, (*lead, units).
        mean_feature: running average of the signed activation, (*lead, units).
        eligible: sum over updates of the number of mature units, int64 (*lead).
        replaced: units replaced so far, int64 (*lead).
    """

    age: Tensor
    utility: Tensor
    mean_feature: Tensor
    eligible: Tensor
    replaced: Tensor


def new_units(network: Network, layer: HiddenLayer) -> UnitState:
    """Return the state of units that have just been born."""
    bias = network.params[layer.incoming[0].bias].detach()
    count = torch.zeros(network.lead, dtype=torch.int64, device=bias.device)
    return UnitState(
        age=torch.zeros_like(bias, dtype=torch.int64),
        utility=torch.zeros_like(bias),
        mean_feature=torch.zeros_like(bias),
        eligible=count,
        replaced=count.clone(),
    )


def mean_over_examples(features: Tensor, axis: int) -> Tensor:
    """Return the mean over the batch and, of channels, positions: (*lead, units).

    Args:
        features: (*lead, batch, units, ...).
        axis: of the batch.
    """
    return features.mean((axis, *range(axis + 2, features.ndim)))


def mean_magnitude(weights: list[Tensor], axis: int) -> Tensor:
    """Return the mean |w| of each unit, (*lead, units), over the rest of all `weights`.

    Args:
        weights: (*lead, units, ...) each.
        axis: of the units.
    """
    others = [tuple(range(axis + 1, weight.ndim)) for weight in weights]
    if len(weights) == 1:
        return weights[0].abs().mean(others[0])
    sums = [weight.abs().sum(axes) for weight, axes in zip(weights, others, strict=True)]
    return torch.stack(sums).sum(0) / sum(w.shape[axis + 1 :].numel() for w in weights)


def instantaneous_utility(
    kind: str,
    *,
    size: Callable[[], Tensor],
    centred: Callable[[], Tensor],
    incoming: Callable[[], Tensor],
    outgoing: Callable[[], Tensor],
) -> Tensor:
    """Return the utility of each unit for one batch, (*lead, units).

    The arguments are called only where the kind needs them: they are most of the method's cost.

    Args:
        kind: a value of `Utility` other than "random".
        size: mean over the batch of |h|.
        centred: mean over the batch of |h - running mean of h|.
        incoming: mean |w_in|.
        outgoing: mean |w_out|.
    """
    match kind:
        case "contribution":
            return outgoing() * size()
        case "adaptable_contribution":
            return outgoing() * centred() / incoming()
        case "zero_contribution":
            return outgoing() * centred()
        case "adaptation":
            return 1 / incoming()
        case "weight":
            return outgoing()
        case "feature_by_input":
            return centred() / incoming()
    raise ValueError(f"utility: {kind!r} has no value for one batch")

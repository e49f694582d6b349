"""What the measures read of a network, gathered from passes over a probe."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from agents.base import Array, Inspection
from agents.network import Features
from agents.networks import DeepNetwork

PIECE = 100  # images passed at once; a deep network would need gigabytes for many more


def inspect(
    module: DeepNetwork,
    loss: Callable[[Tensor, Tensor], Tensor],
    initial: Iterable[Tensor],
    inputs: Tensor,
    targets: Tensor,
) -> Inspection:
    """Return what `Inspection` describes, in evaluation mode; changes nothing.

    A stream counts as a layer at each of the points where it is read, as in the published code: of
    ResNet-18 17 layers of 3,904 units, the last of which the output layer reads.

    Args:
        module: in training mode, in which it is left.
        loss: mean loss of outputs and targets.
        initial: parameters at the latest initialisation.
        inputs: the probe, (n, ...).
        targets: (n,).
    """
    parameters = list(module.parameters())
    size = len(inputs) if module.spec.network == "mlp" else PIECE
    gradients: list[Tensor] = []
    features: list[list[Tensor]] = []
    active: list[list[Tensor]] = []
    module.eval()
    for x, y in zip(torch.split(inputs, size), torch.split(targets, size), strict=True):
        share = len(x) / len(inputs)
        outputs, layers = module(x)
        pieces = [g * share for g in torch.autograd.grad(loss(outputs, y), parameters)]
        for total, piece in zip(gradients, pieces, strict=False):
            total += piece
        gradients = gradients or pieces
        hidden = [point for h in Features(layers) for point in torch.split(h, len(x))]
        features.append([_per_example(h) for h in hidden])
        active.append([_active(h) * share for h in hidden])
    module.train()
    return Inspection(
        features=[numpy(torch.cat(one)) for one in zip(*features, strict=True)],
        weights=[numpy(parameter) for parameter in parameters if parameter.ndim > 1],
        parameters=[numpy(parameter) for parameter in parameters],
        initial_parameters=[numpy(parameter) for parameter in initial],
        gradients=[numpy(gradient) for gradient in gradients],
        active=[numpy(torch.stack(one).sum(0)) for one in zip(*active, strict=True)],
    )


def numpy(tensor: Tensor) -> Array:
    """Return a copy as an array."""
    array: Array = np.array(tensor.detach().cpu().numpy())
    return array


def _per_example(hidden: Tensor) -> Tensor:
    """Return activations (n, units); of channels, the mean |h| over positions."""
    return hidden if hidden.ndim == 2 else hidden.abs().mean((2, 3))


def _active(hidden: Tensor) -> Tensor:
    """Return the share of examples, and positions of a channel, where h is not 0, (units,)."""
    others = [axis for axis in range(hidden.ndim) if axis != 1]
    return torch.count_nonzero(hidden, others).double() / hidden[:, :1].numel()

"""Online Normalization on a CPU, compiled: example by example, without a tensor for every step.

The rules, their letters and their source are those of `agents.networks.online_norm`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np

from agents.base import Array

COMPILE: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "nogil": True,
}


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile."""
    return cast(Callable[..., Any], numba.njit(**COMPILE)(function))


@jit
def forward(
    inputs: Array,
    weight: Array,
    bias: Array,
    mean: Array,
    variance: Array,
    decay: float,
    epsilon: float,
) -> tuple[Array, Array, Array, Array]:
    """Return outputs, n, its divisors and the factors of the layer's scaling; move the statistics.

    Args:
        inputs: z, (n, units).
        weight: (units,), as the next three.
        bias: see `weight`.
        mean: written to, as is `variance`.
        variance: see `mean`.
        decay: f.
        epsilon: e.
    """
    kind = inputs.dtype.type
    fade, share, e = kind(decay), kind(1 - decay), kind(epsilon)
    outputs, normal, roots = np.empty_like(inputs), np.empty_like(inputs), np.empty_like(inputs)
    factors = np.empty(len(inputs), inputs.dtype)
    for i in range(len(inputs)):
        total = kind(0)
        for j in range(inputs.shape[1]):
            roots[i, j] = math.sqrt(variance[j] + e)
            centred = inputs[i, j] - mean[j]
            normal[i, j] = centred / roots[i, j]
            variance[j] = fade * (variance[j] + share * centred * centred)
            mean[j] += share * centred
            scaled = weight[j] * normal[i, j] + bias[j]
            total += scaled * scaled
            outputs[i, j] = scaled
        factors[i] = 1 / math.sqrt(total / kind(inputs.shape[1]) + e)
        for j in range(inputs.shape[1]):
            outputs[i, j] *= factors[i]
    return outputs, normal, roots, factors


@jit
def backward(
    gradient: Array,
    outputs: Array,
    normal: Array,
    roots: Array,
    factors: Array,
    weight: Array,
    product: Array,
    shift: Array,
    decay: float,
) -> tuple[Array, Array, Array]:
    """Return the gradients by z, weight and bias; move the controls.

    Args:
        gradient: by the outputs, (n, units).
        outputs: as `forward` returned them, with the next three.
        normal: see `outputs`.
        roots: see `outputs`.
        factors: see `outputs`.
        weight: (units,), as the next two.
        product: written to, as is `shift`.
        shift: see `product`.
        decay: b.
    """
    kind = gradient.dtype.type
    share = kind(1 - decay)
    by_inputs = np.empty_like(gradient)
    by_weight, by_bias = np.zeros_like(weight), np.zeros_like(weight)
    for i in range(len(gradient)):
        along = kind(0)
        for j in range(gradient.shape[1]):
            along += gradient[i, j] * outputs[i, j]
        along /= kind(gradient.shape[1])
        for j in range(gradient.shape[1]):
            error = factors[i] * (gradient[i, j] - outputs[i, j] * along)
            by_weight[j] += error * normal[i, j]
            by_bias[j] += error
            error = weight[j] * error - share * product[j] * normal[i, j]
            product[j] += error * normal[i, j]
            error = error / roots[i, j] - share * shift[j]
            shift[j] += error
            by_inputs[i, j] = error
    return by_inputs, by_weight, by_bias

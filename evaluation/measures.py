"""Diagnostics of a network, one definition each. They describe; they never rank.

Several of these names stand for different quantities in the literature, so each docstring gives the
formula and its source. `features` are a hidden layer's outputs after the activation, not centred,
shape (..., examples, units); leading dimensions are kept. All-zero features have rank 0. Features
that are not finite (a diverged network) give nan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Inspection

Array = NDArray[np.floating[Any]]


def measure(inspection: Inspection, rare_at_most: bool = False) -> dict[str, float]:
    """Return every measure of one network.

    Unit fractions are taken over the units of all hidden layers together. Ranks are averaged over
    hidden layers (as published for Online Permuted MNIST), but for srank_99_last, of the last one
    (as published for class-incremental CIFAR-100); none is normalised by the number of units.
    Without a hidden layer these keys are absent, and without gradients gradient_norm is.

    A run measures when a task begins, after the agent has done what it does then: `fresh` is then
    the untrained network, and where the head has been zeroed only the head has a gradient. In a
    drifting environment it measures before: `fresh` is what the task that has ended left.

    Args:
        inspection: of the network.
        rare_at_most: see `rarely_active_units`.

    Returns:
        dead_units, rarely_active_units (below 1 %), tau_dormant_units (tau = 0.1), srank_99,
        srank_99_last, effective_rank, approximate_rank, true_stable_rank, mean_abs_weight,
        distance_from_init, gradient_norm.
    """
    result = _feature_measures(inspection.features) if inspection.features else {}
    if active := getattr(inspection, "active", None):  # which somebody else's need not have
        result["rarely_active_units"] = rarely_active_units(active, at_most=rare_at_most)
    result |= {
        "mean_abs_weight": mean_abs_weight(inspection.weights),
        "distance_from_init": distance_from_init(
            inspection.parameters, inspection.initial_parameters
        ),
    }
    if len(inspection.gradients):
        result["gradient_norm"] = gradient_norm(inspection.gradients)
    return result


def _feature_measures(layers: Sequence[Array]) -> dict[str, float]:
    spectra = _spectra(layers)  # the costly part, done once
    units = [features.shape[-1] for features in layers]
    dead = [dead_units(features) for features in layers]
    return {
        "dead_units": float(np.average(dead, weights=units)),
        "tau_dormant_units": float(tau_dormant_units(layers)),
        "srank_99": float(np.mean([srank(s) for s in spectra])),
        "srank_99_last": float(srank(spectra[-1])),
        "effective_rank": float(np.mean([effective_rank(s) for s in spectra])),
        "approximate_rank": float(np.mean([approximate_rank(s) for s in spectra])),
        "true_stable_rank": float(np.mean([true_stable_rank(s) for s in spectra])),
    }


def dead_units(features: Array) -> Array:
    """Return the fraction of units that are exactly 0 on every example, in [0, 1].

    Source: Dohare et al. (2024), Nature 632; there over 2,000 examples of the next task, before
    learning it. UPGD's code counts zeros in the current batch instead.
    """
    dead = np.mean(np.all(features == 0, axis=-2), axis=-1)
    return np.where(_finite(features), dead, np.nan)


def rarely_active_units(
    active: Sequence[Array], share: float = 0.01, at_most: bool = False
) -> float:
    """Return the fraction of units of all layers that are not 0 on less than `share`, in [0, 1].

    With `at_most` also those on just that share, as Dohare et al. (2024) count in reinforcement
    learning, over the latest 1,000 observations.

    Source: the published code of Dohare et al. (2024) for class-incremental CIFAR-100, which counts
    the positions of a channel as examples and calls such units dormant. There over 1,000 images of
    the next five classes alone, not augmented, in the training mode of batch normalisation; here
    over 2,000 examples of the next task as they come, all its classes, in evaluation mode.
    """
    shares = np.concatenate([np.asarray(layer).reshape(-1) for layer in active])
    return float(np.mean(shares <= share if at_most else shares < share))


def tau_dormant_units(layers: Sequence[Array], tau: float = 0.1) -> Array:
    """Return the fraction of tau-dormant units over all layers, in [0, 1].

    Unit i of a layer is dormant when s_i = E|h_i| / mean_k E|h_k| <= tau, k over its layer; a layer
    that is 0 throughout is dormant. Dormant units of all layers are divided by units of all layers
    (not: an average of the layers' fractions).

    Source: Sokar et al. (2023), "The dormant neuron phenomenon in deep RL".

    Args:
        layers: Features of each layer; the same leading dimensions.
        tau: Threshold, at least 0.
    """
    activity = [np.mean(np.abs(features), axis=-2, dtype=np.float64) for features in layers]
    # s_i <= tau without the division, which a silent layer does not allow.
    dormant = [np.sum(a <= tau * a.mean(axis=-1, keepdims=True), axis=-1) for a in activity]
    share = sum(dormant) / sum(a.shape[-1] for a in activity)
    finite = np.all([_finite(features) for features in layers], axis=0)
    return np.where(finite, share, np.nan)


def effective_rank(sigma: NDArray[np.float64]) -> Array:
    """Return exp(-sum_k p_k log p_k), p = sigma / sum(sigma): in [1, min(examples, units)] or 0.

    Source: Roy & Vetterli (2007), "The effective rank".
    """
    total = sigma.sum(axis=-1, keepdims=True)
    p = sigma / np.where(total == 0, 1, total)
    entropy = -np.sum(p * np.log(np.where(p == 0, 1, p)), axis=-1)
    return np.where(total[..., 0] == 0, 0.0, np.exp(entropy))


def srank(sigma: NDArray[np.float64], delta: float = 0.01) -> Array:
    """Return the least k with sum_{i<=k} sigma_i >= (1 - delta) sum_i sigma_i: an integer.

    Source: Kumar et al. (2021), "Implicit under-parameterization". The same quantity is called
    "stable rank" by Dohare et al. (2024), which is not the textbook's `true_stable_rank`.
    """
    return _count_to_share(sigma, 1 - delta)


def approximate_rank(sigma: NDArray[np.float64], share: float = 0.99) -> Array:
    """Return the least k with sum_{i<=k} sigma_i^2 >= share * sum_i sigma_i^2: an integer.

    Source: Yang et al. (2020), "Harnessing structures for value-based planning and RL", as in the
    code of Dohare et al. (2024).
    """
    return _count_to_share(sigma**2, share)


def true_stable_rank(sigma: NDArray[np.float64]) -> Array:
    """Return ||A||_F^2 / sigma_max^2: in [1, min(examples, units)] or 0.

    Source: Rudelson & Vershynin (2007), "Sampling from large matrices"; the textbook's stable rank.
    """
    largest = sigma[..., :1]
    return np.asarray(np.sum((sigma / np.where(largest == 0, 1, largest)) ** 2, axis=-1))


def mean_abs_weight(weights: Sequence[Array]) -> float:
    """Return sum |w| / number of w over all weight matrices, biases left out (Dohare et al. 2024).

    Raises:
        ValueError: If there are no weights.
    """
    if not weights:
        raise ValueError("weights: [] is not allowed; give at least one array")
    total = sum(float(np.abs(w).sum(dtype=np.float64)) for w in weights)
    return total / sum(w.size for w in weights)


def distance_from_init(parameters: Sequence[Array], initial: Sequence[Array]) -> float:
    """Return sqrt(mean((theta - theta_0)^2)) over all parameters together.

    The root mean square, so that networks of different sizes compare; the L2 distance is
    sqrt(number of parameters) times it.

    Raises:
        ValueError: If there are no parameters, or the two lists differ in length or shape.
    """
    shapes, initial_shapes = [p.shape for p in parameters], [p.shape for p in initial]
    if shapes != initial_shapes or not shapes:
        raise ValueError(f"initial: shapes {initial_shapes} are not allowed; need {shapes}")
    total = sum(_sum_of_squares(p - p0) for p, p0 in zip(parameters, initial, strict=True))
    return math.sqrt(total / sum(p.size for p in parameters))


def gradient_norm(gradients: Sequence[Array]) -> float:
    """Return the L2 norm of all gradients together, sqrt(sum g^2)."""
    return math.sqrt(sum(_sum_of_squares(g) for g in gradients))


def _sum_of_squares(values: Array) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _finite(features: Array) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(features).all(axis=(-2, -1)))


def singular_values(features: Array) -> NDArray[np.float64]:
    """Return singular values in float64, largest first; nan for features that are not finite."""
    finite = _finite(features)[..., None]
    # LAPACK raises on nan, so it gets zeros instead.
    safe = np.where(finite[..., None], features, 0).astype(np.float64)
    return np.where(finite, np.linalg.svd(safe, compute_uv=False), np.nan)


def _spectra(layers: Sequence[Array]) -> list[NDArray[np.float64]]:
    """Return the singular values of every layer; layers of one shape go together."""
    if len({features.shape for features in layers}) == 1:
        return list(singular_values(np.stack(layers)))
    return [singular_values(features) for features in layers]


def _count_to_share(values: NDArray[np.float64], share: float) -> Array:
    reached = np.cumsum(values, axis=-1)
    total = reached[..., -1]
    # The slack decides exact ties (an identity matrix) alike on every machine.
    short = np.sum(reached < (share - 1e-12) * total[..., None], axis=-1)
    count = np.where(total > 0, short + 1.0, 0.0)
    return np.where(np.isnan(total), np.nan, count)

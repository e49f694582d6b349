"""Curves over tasks as arrays: the mean over seeds of each arm with its band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.groups import Group
from evaluation.statistics import FEWEST_FOR_MEAN_BOOTSTRAP, FEWEST_FOR_T

Array = NDArray[np.float64]

SMOOTH_ABOVE = 100  # tasks
MOST_POINTS = 400
RESAMPLES = 1_000


@dataclass(frozen=True, eq=False)
class Curve:
    """A line over tasks.

    Attributes:
        tasks: Shape (points,).
        mean: Shape (points,), over seeds; nan where a seed was not finite.
        low: Shape (points,), lower end of the 95 % band; nan below 3 seeds.
        high: Shape (points,), upper end.
    """

    tasks: NDArray[np.int64]
    mean: Array
    low: Array
    high: Array


def smoothing_window(num_tasks: int) -> int:
    """Return how many tasks are averaged in a curve of this length: 1, or an odd number."""
    return 1 if num_tasks <= SMOOTH_ABOVE else 2 * (num_tasks // 100) + 1


def outcome_curve(group: Group, window: int) -> Curve:
    """Return a group's outcome over the tasks that its seeds share, each seed smoothed first."""
    values = np.array([run.outcome[: group.num_tasks] for run in group.started])
    return _curve(np.arange(group.num_tasks), smooth(values, window))


def anchor_curve(groups: Sequence[Group], window: int) -> Curve:
    """Return the mean anchor of the group with the most tasks, without a band."""
    longest = max(groups, key=lambda group: group.num_tasks)
    values = np.array([run.anchor[: longest.num_tasks] for run in longest.started])
    mean = smooth(values, window).mean(axis=0)
    nothing = np.full_like(mean, np.nan)
    return thin(Curve(np.arange(longest.num_tasks), mean, nothing, nothing))


def measure_curve(group: Group, name: str) -> Curve | None:
    """Return a measure at the tasks at which all seeds took it; None if there are none."""
    taken = [run.measures.get(name) for run in group.started]
    series = [dict(zip(*(a.tolist() for a in pair), strict=True)) for pair in taken if pair]
    if not series or len(series) < len(taken):
        return None
    tasks = sorted(set.intersection(*map(set, series)))
    if not tasks:
        return None
    return _curve(np.array(tasks), np.array([[one[task] for task in tasks] for one in series]))


def smooth(values: Array, window: int) -> Array:
    """Return the centred running mean along the last axis, over what there is at the ends."""
    if window == 1:
        return values
    ones = np.ones(window)
    counts = np.convolve(np.ones(values.shape[-1]), ones, "same")
    return np.array([np.convolve(row, ones, "same") / counts for row in values])


def band(values: Array) -> tuple[Array, Array]:
    """Return the ends of the 95 % interval of the mean over axis 0, one replication a row.

    Student t below 30 rows, a percentile bootstrap from 30 on, nan below 3: at each position what
    `statistics.mean_interval` gives, with fewer resamples.
    """
    n = len(values)
    mean = values.mean(axis=0)
    if n < FEWEST_FOR_T:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    if n < FEWEST_FOR_MEAN_BOOTSTRAP:
        from scipy.special import stdtrit

        half = stdtrit(n - 1, 0.975) * values.std(axis=0, ddof=1) / np.sqrt(n)
        return mean - half, mean + half
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    low, high = np.quantile(counts @ values / n, [0.025, 0.975], axis=0)
    return low, high


def thin(curve: Curve, most: int = MOST_POINTS) -> Curve:
    """Keep every k-th point and the last, about `most`: few enough for a small file."""
    count = len(curve.tasks)
    if count <= most:
        return curve
    step = -(-count // most)
    return select(curve, np.unique(np.append(np.arange(0, count, step), count - 1)))


def select(curve: Curve, kept: NDArray[Any]) -> Curve:
    """Return the points at these indices, or where this mask is true."""
    return Curve(*(array[kept] for array in (curve.tasks, curve.mean, curve.low, curve.high)))


def _curve(tasks: NDArray[np.int64], values: Array) -> Curve:
    with np.errstate(invalid="ignore"):
        return thin(Curve(tasks, values.mean(axis=0), *band(values)))

"""What changes in a drifting environment: the value of each task, a function of (seed, task).

Values are rounded to 12 significant digits, so that they are the same on all platforms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from continual_envs import checks
from continual_envs.seeding import Purpose, uniforms

Value = float | NDArray[np.float64]


MOST = 1e37  # of a scale: eight of them, a normal draw hardly has more, fit into float32


@dataclass(frozen=True)
class Unchanged:
    """The simulator as it is, in every task."""

    def value(self, seed: int, task: int, sensors: int) -> Value:
        """Return 1: the simulator's own physics."""
        return 1.0


@dataclass(frozen=True)
class LogUniform:
    """A physical parameter drawn anew for every task, the first too, uniform in its logarithm.

    Attributes:
        low: the least value, above 0.
        high: the largest value; equal to `low` it never changes.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        checks.number("low", self.low, above=0.0)
        checks.number("high", self.high, above=0.0)
        if self.low > self.high:
            raise ValueError(f"low: {self.low!r} is not allowed; give at most high={self.high!r}")
        if not math.isfinite(self.high / self.low):
            raise ValueError(
                f"low: {self.low!r} is not allowed; high={self.high!r} divided by it is infinite"
            )

    def value(self, seed: int, task: int, sensors: int) -> Value:
        """Return the parameter in a task of stream `seed`."""
        u = float(uniforms(seed, Purpose.DRIFT, task, 1)[0])
        return _rounded(self.low * (self.high / self.low) ** u)


@dataclass(frozen=True)
class Offset:
    """A fixed vector added to what the sensors show, drawn anew for every task but the first.

    Attributes:
        scale: standard deviation of each of its entries, which are normal with mean 0.
    """

    scale: float

    def __post_init__(self) -> None:
        checks.number("scale", self.scale, 0.0, below=MOST)

    def value(self, seed: int, task: int, sensors: int) -> Value:
        """Return the offsets in a task of stream `seed`, shape (sensors,); zeros in task 0."""
        if task == 0:
            return np.zeros(sensors)
        drawn = uniforms(seed, Purpose.DRIFT, task, sensors)
        return np.array([_rounded(self.scale * _normal(u)) for u in drawn])


Change = Unchanged | LogUniform | Offset


def adjusted(change: Change, drift: str, **given: Any) -> Change:
    """Return a change with those of its fields that are not None in `given`.

    Args:
        change: with the defaults of this drift.
        drift: its name, for the complaint.
        **given: "low", "high" and "scale".

    Raises:
        ValueError: a value is out of range, or of a field that this drift does not have.
    """
    given = {name: value for name, value in given.items() if value is not None}
    own = [field.name for field in fields(change)]
    for name, value in given.items():
        if name not in own:
            has = f"give {' and '.join(own)}" if own else "it has no range"
            raise ValueError(f"{name}: {value!r} is not allowed with drift={drift!r}; {has}")
    return replace(change, **given)


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")


def _normal(u: float) -> float:
    """Return the standard normal quantile of u in [0, 1); 0 counts as the least u above it."""
    return NormalDist().inv_cdf(max(u, 2.0**-53))

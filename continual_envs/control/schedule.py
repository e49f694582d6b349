"""When a drifting environment changes: the nominal length of each task, in steps of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from continual_envs import checks
from continual_envs.seeding import Purpose, uniforms

Kind = Literal["periodic", "random"]


@dataclass(frozen=True)
class Schedule:
    """The nominal lengths of tasks; a task really ends with the first episode to end after them.

    Attributes:
        kind: "periodic", every task is `period` steps; "random", each is a whole number drawn
            uniformly from [period / 2, 3 * period / 2].
        period: mean number of steps of a task.

    Raises:
        ValueError: `kind` is unknown or `period` is not a whole number of at least 1.
    """

    kind: Kind
    period: int

    def __post_init__(self) -> None:
        checks.one_of("schedule", self.kind, get_args(Kind))
        checks.integer("period", self.period, 1)

    def length(self, seed: int, task: int) -> int:
        """Return how many steps a task of stream `seed` nominally has."""
        return self.start(seed, task + 1) - self.start(seed, task)

    def start(self, seed: int, task: int) -> int:
        """Return the step of stream `seed` at which a task nominally starts."""
        if self.kind == "periodic":
            return task * self.period
        half = self.period // 2
        drawn = uniforms(seed, Purpose.SCHEDULE, 0, task) * (2 * half + 1)
        return task * (self.period - half) + int(np.floor(drawn).sum())

"""The endless sequence of tasks of a drifting environment, for one seed: no simulator, no agent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from continual_envs.control.body import Body
from continual_envs.control.changes import Change, LogUniform, Value
from continual_envs.control.schedule import Schedule
from continual_envs.core import Scored
from continual_envs.seeding import Purpose, uniforms, words

EPISODES = 20


@dataclass(frozen=True)
class DriftStream:
    """What changes and when, as the evaluation reads it; the names are those of `core.Stream`.

    Attributes:
        seed: of the stream.
        body: the simulator's class.
        drift: name of what changes.
        change: its values.
        schedule: its nominal moments; steps are counted over all copies of the stream.
        sensors: length of an observation.
    """

    outcome: ClassVar[Literal["return"]] = "return"
    scored: ClassVar[Scored] = "online"
    disclosed: ClassVar[tuple[str, ...]] = ()

    seed: int
    body: type[Body]
    drift: str
    change: Change
    schedule: Schedule
    sensors: int

    @property
    def examples_per_task(self) -> int:
        """Nominal steps of a task; their mean, where they differ."""
        return self.schedule.period

    def length(self, index: int) -> int:
        """Return how many steps task `index` nominally has."""
        return self.schedule.length(self.seed, index)

    def start(self, index: int) -> int:
        """Return the step at which task `index` nominally starts."""
        return self.schedule.start(self.seed, index)

    def value(self, index: int) -> Value:
        """Return what the drift is at in task `index`: a number, or an offset of every sensor."""
        return self.change.value(self.seed, index, self.sensors)

    def anchor(self, index: int) -> float:
        """Return the mean return of uniformly random actions in the physics of task `index`.

        `EPISODES` episodes in a simulator of its own.
        """
        body = self.body()
        if isinstance(self.change, LogUniform):
            body.apply(self.drift, float(self.value(index)))
        seeds = words(self.seed, Purpose.EPISODES, index, EPISODES) >> np.uint64(33)
        total = 0.0
        for episode, seed in enumerate(seeds):
            body.env.reset(seed=int(seed))
            for action in self._random_actions(body, index * EPISODES + episode):
                _, reward, terminated, truncated, _ = body.env.step(action)
                total += float(reward)
                if terminated or truncated:
                    break
        body.env.close()
        return total / EPISODES

    def content_hash(self, tasks: Iterable[int] = (0, 1)) -> str:
        """Return a SHA-256 over everything that defines these tasks but the simulator's version."""
        drifts = [
            (index, self.start(index), self.length(index), np.asarray(self.value(index)).tolist())
            for index in tasks
        ]
        values = {name: float(value) for name, value in asdict(self.change).items()}
        body = (self.body.name, self.body.episode_steps)
        settings = (*body, self.drift, values, asdict(self.schedule))
        return hashlib.sha256(json.dumps([settings, drifts], sort_keys=True).encode()).hexdigest()

    def _random_actions(self, body: Body, key: int) -> NDArray[Any]:
        """Return uniform actions for an episode up to the time limit, the first axis time."""
        space, steps = body.env.action_space, body.episode_steps
        n = int(np.prod(space.shape or (), dtype=int))
        drawn = uniforms(self.seed, Purpose.ACTIONS, key, steps * n)
        if isinstance(space, spaces.Discrete):
            return space.start + (drawn * int(space.n)).astype(np.int64)
        assert isinstance(space, spaces.Box)
        shares = drawn.reshape(steps, *space.shape)
        return (space.low + (space.high - space.low) * shares).astype(space.dtype)

"""The problem under check: how to make its streams and environments, and how to live in one."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from continual_envs import checks
from continual_envs.core import Stream
from continual_envs.environment import StreamEnv, StreamVectorEnv, parameters
from continual_envs.registration import is_drift, is_stream

SEED = 5
STEPS = 40  # on either side of the jump that `walk` makes


class Problem:
    """A registered id or a Stream subclass, with settings.

    Raises:
        ValueError: no such id, not a stream of tasks, or a setting that it does not have.
    """

    def __init__(self, problem: str | type[Stream], settings: dict[str, Any]) -> None:
        """Look the problem up; makes nothing."""
        self._id = problem if isinstance(problem, str) else None
        self._given, registered = settings, {}
        if self._id is not None:
            if self._id not in gym.registry:
                ours = [id for id, s in gym.registry.items() if is_stream(s) or is_drift(s)]
                checks.one_of("problem", self._id, ours)
            if not is_stream(gym.registry[self._id]):
                raise ValueError(f"problem: {self._id!r} is not a stream of tasks")
            registered = gym.registry[self._id].kwargs
        stream = registered.get("stream", problem)
        self._kind: type[Stream] = checks.loaded("stream", stream)
        for name in settings:
            checks.one_of("setting", name, parameters(stream))
        of_environments = inspect.signature(StreamEnv).parameters
        self._settings = {
            name: value
            for name, value in {**registered, **settings}.items()
            if name not in of_environments
        }

    def stream(self, seed: int = 0) -> Stream:
        """Return a new stream."""
        return self._kind(seed, **self._settings)

    def env(self, **settings: Any) -> Any:
        """Return a new environment, endless unless `settings` say otherwise."""
        settings = {**self._given, "num_tasks": None, **settings}
        if self._id is None:
            return StreamEnv(self._kind, **settings)
        return gym.make(self._id, disable_env_checker=True, **settings)

    def vector(self, members: int) -> Any:
        """Return a new native vector environment, or None if it has none."""
        settings = {**self._given, "num_tasks": None}
        if self._id is None:
            return StreamVectorEnv(self._kind, members, **settings)
        if gym.registry[self._id].vector_entry_point is None:
            return None
        return gym.make_vec(self._id, members, vectorization_mode="vector_entry_point", **settings)


@dataclass(frozen=True)
class Step:
    """One step; arrays are copies taken when they were returned.

    Attributes:
        position: of the first example predicted, in the stream.
        shown: the observation acted on.
        action: taken.
        result: what `step` returned.
    """

    position: int
    shown: Any
    action: Any
    result: tuple[Any, ...]


def walk(env: Any, seed: int | None = None, steps: int = STEPS) -> Iterator[Step]:
    """Take `steps` steps, jump to before the next switch of task, and take as many over it.

    Without a seed go on from where `env` stands. Actions are the same for equal spaces.
    """
    base = env.unwrapped
    shown = base.observe() if seed is None else env.reset(seed=seed)[0]
    batch = base.batch_size or 1
    generator = np.random.default_rng(0)
    for part in range(2):
        ahead = base.stream.length(base.clock.task) - base.clock.example - steps // 2 * batch
        if part == 1 and ahead > 0:
            base.read(ahead)
            shown = base.observe()
        shown = copy.deepcopy(shown)
        for _ in range(steps):
            position, action = base.clock.examples, draw(env.action_space, generator)
            result = env.step(copy.deepcopy(action))
            yield Step(position, shown, action, copy.deepcopy(result))
            shown = copy.deepcopy(result[0])


def draw(space: spaces.Space[Any], generator: np.random.Generator) -> Any:
    """Return a prediction, right now and then."""
    if isinstance(space, spaces.Box):
        return generator.uniform(-1, 1, space.shape).astype(np.float32)
    if isinstance(space, spaces.Discrete):
        return np.int64(generator.integers(space.n))
    assert isinstance(space, spaces.MultiDiscrete)
    return generator.integers(space.nvec)

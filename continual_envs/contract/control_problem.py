"""The drifting environment under check: how to make it, and how to live in it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from continual_envs import checks
from continual_envs.control.drift import parameters

PERIOD, LIMIT, STEPS = 30, 20, 150  # steps of a task, of an episode, of a life: a few switches


class ControlProblem:
    """A registered id with settings; tasks and episodes are made short.

    Raises:
        ValueError: a setting that it does not have.
    """

    def __init__(self, id: str, settings: dict[str, Any]) -> None:
        for name in settings:
            checks.one_of("setting", name, parameters())
        self.spec = gym.registry[id]
        self.settings = {**settings, "period": PERIOD}

    def env(self, **settings: Any) -> Any:
        """Return a new environment."""
        return gym.make(
            self.spec.id,
            disable_env_checker=True,
            max_episode_steps=LIMIT,
            **{**self.settings, **settings},
        )

    def stream(self, seed: int = 0) -> Any:
        """Return the stream of a new environment."""
        env = self.env()
        env.reset(seed=seed)
        return env.unwrapped.stream


@dataclass(frozen=True)
class Moment:
    """What one call gave; arrays are copies taken when they were returned.

    Attributes:
        reset: whether the call was `reset`, else `step`.
        result: what was returned.
        clock: after the call.
    """

    reset: bool
    result: tuple[Any, ...]
    clock: Any

    @property
    def info(self) -> dict[str, Any]:
        """What was told."""
        told: dict[str, Any] = self.result[-1]
        return told


def live(env: Any, steps: int = STEPS, seed: int | None = None) -> list[Moment]:
    """Take `steps` random steps and a reset after every episode; with a seed, reset first."""
    base, generator, moments = env.unwrapped, np.random.default_rng(0), []
    if seed is not None:
        moments.append(Moment(True, copy.deepcopy(env.reset(seed=seed)), base.clock))
    for _ in range(steps):
        result = copy.deepcopy(env.step(draw(env.action_space, generator)))
        moments.append(Moment(False, result, base.clock))
        if result[2] or result[3]:
            moments.append(Moment(True, copy.deepcopy(env.reset()), base.clock))
    return moments


def draw(space: spaces.Space[Any], generator: np.random.Generator) -> Any:
    """Return a random action."""
    if isinstance(space, spaces.Box):
        return generator.uniform(space.low, space.high).astype(space.dtype)
    assert isinstance(space, spaces.Discrete)
    return space.start + np.int64(generator.integers(space.n))


def results(moments: list[Moment]) -> list[Any]:
    """Return what the calls returned, in order."""
    return [moment.result for moment in moments]

"""Drifting environments that break the contract in one way each, and the sound one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from continual_envs.control.body import Body
from continual_envs.control.changes import Change, LogUniform
from continual_envs.control.drift import DriftEnv, Tally


class Block(gym.Env):
    """A block is pushed left and right on a table with friction."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    friction = 1.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1.0, 1.0, 2)
        return self.state.copy(), {}

    def step(self, action):
        place, speed = self.state
        speed += 0.1 * (float(action[0]) - self.friction * speed)
        speed += 0.01 * self.np_random.normal()
        self.state = np.array([place + 0.1 * speed, speed])
        return self.state.copy(), float(speed), bool(abs(place) > 3.0), False, {}


class SoundBlock(Body):
    name: ClassVar[str] = "Block-v0"
    episode_steps: ClassVar[int] = 60
    drifts: ClassVar[Mapping[str, Change]] = {"friction": LogUniform(0.1, 1.0)}
    kind: ClassVar[type[Block]] = Block

    def __init__(self, render_mode: str | None = None) -> None:
        self.env: Any = self.kind()
        self.env.state = np.zeros(2)

    def apply(self, drift: str, value: float) -> None:
        self.env.friction = value

    def state_dict(self) -> dict[str, Any]:
        return {
            "state": self.env.state.copy(),
            "np_random": self.env.np_random.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.env.state = state["state"].copy()
        self.env.np_random.bit_generator.state = state["np_random"]


@dataclass(frozen=True)
class SameForAllSeeds(LogUniform):
    def value(self, seed: int, task: int, sensors: int) -> float:
        return super().value(0, task, sensors)


COUNT = itertools.count()


@dataclass(frozen=True)
class ByCall(LogUniform):
    def value(self, seed: int, task: int, sensors: int) -> float:
        return super().value(seed, task, sensors) + 1e-3 * next(COUNT)


class IgnoresSeed(SoundBlock):
    drifts: ClassVar[Mapping[str, Change]] = {"friction": SameForAllSeeds(0.1, 1.0)}


class DriftsByCall(SoundBlock):
    drifts: ClassVar[Mapping[str, Change]] = {"friction": ByCall(0.1, 1.0)}


class DoesNotAct(SoundBlock):
    """As when only the floor's friction is set, and the block's is larger."""

    def apply(self, drift: str, value: float) -> None:
        self.env.floor = value


class AddsUp(SoundBlock):
    def apply(self, drift: str, value: float) -> None:
        self.env.friction = 0.5 * self.env.friction + value


class ForgetsItsGenerator(SoundBlock):
    def state_dict(self) -> dict[str, Any]:
        return {"state": self.env.state.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.env.state = state["state"].copy()


class HandsOutItsState(SoundBlock):
    class Steps(Block):
        def step(self, action):
            before = self.state
            result = super().step(action)
            before[...] = self.state
            self.state = before
            return result

    kind = Steps

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"state": self.env.state}


class ResetsItsPhysics(SoundBlock):
    class Resets(Block):
        def reset(self, *, seed=None, options=None):
            # the first episode is as it should be
            self.friction = self.friction if seed is not None else 0.3
            return super().reset(seed=seed)

    kind = Resets


class TellsItsFriction(SoundBlock):
    class Tells(Block):
        def step(self, action):
            *result, _ = super().step(action)
            return *result, {"mu": self.friction}

    kind = Tells


class DrawsGlobally(SoundBlock):
    class Draws(Block):
        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.state = np.random.uniform(-1.0, 1.0, 2)
            return self.state.copy(), {}

    kind = Draws


class ReusesItsObservation(SoundBlock):
    class Reuses(Block):
        shown = np.zeros(2)

        def step(self, action):
            observation, *result = super().step(action)
            self.shown[...] = observation
            return self.shown, *result

    kind = Reuses


class SharesItsState(SoundBlock):
    class Shares(Block):
        def step(self, action):
            _, *result = super().step(action)
            return self.state, *result

    kind = Shares


class EndsEarlier(SoundBlock):
    episode_steps: ClassVar[int] = 50


class SwitchesWithinEpisodes(DriftEnv):
    def step(self, action: Any) -> Any:
        if self.clock.examples >= self.stream.start(self.clock.task + 1):
            self._enter(self.clock.task + 1, self.clock.examples)
        return super().step(action)


class SwitchesTwice(DriftEnv):
    def reset(self, **given: Any) -> Any:
        if not given.get("seed") and self.clock.examples >= self.stream.start(self.clock.task + 1):
            self._enter(self.clock.task + 1, self.clock.examples)
        if not given.get("seed") and self.clock.example == 0:
            self._enter(self.clock.task + 1, self.clock.examples)
        return super().reset(**given)


class RestartsItsClock(DriftEnv):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=self.stream.seed if seed is None else seed)


class CountsAlone(DriftEnv):
    def share(self, tally: Tally, copy: int) -> None:
        super().share(Tally(), copy)


class TellsTheTask(DriftEnv):
    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        return *result, {**info, "task": self.clock.task}


class ForgetsTheTask(DriftEnv):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict({**state, "task": 0})


ENVIRONMENTS = (
    SwitchesWithinEpisodes,
    SwitchesTwice,
    RestartsItsClock,
    CountsAlone,
    TellsTheTask,
    ForgetsTheTask,
)
BODIES = (
    SoundBlock,
    IgnoresSeed,
    DriftsByCall,
    DoesNotAct,
    AddsUp,
    ForgetsItsGenerator,
    HandsOutItsState,
    ResetsItsPhysics,
    TellsItsFriction,
    DrawsGlobally,
    ReusesItsObservation,
    SharesItsState,
    EndsEarlier,
)


def register() -> list[str]:
    """Register all of them as broken/NAME-v0 and return the ids."""
    body = f"{__name__}:SoundBlock"
    for kind in ENVIRONMENTS:
        gym.register(
            id=f"broken/{kind.__name__}-v0",
            entry_point=f"{__name__}:{kind.__name__}",
            max_episode_steps=60,
            kwargs={"body": body, "drift": "friction", "period": 1000},
        )
    for one in BODIES:
        gym.register(
            id=f"broken/{one.__name__}-v0",
            entry_point="continual_envs.control.drift:DriftEnv",
            vector_entry_point="continual_envs.control.vector:DriftVectorEnv",
            max_episode_steps=60,
            kwargs={"body": f"{__name__}:{one.__name__}", "drift": "friction", "period": 1000},
        )
    return [f"broken/{kind.__name__}-v0" for kind in (*ENVIRONMENTS, *BODIES)]

"""Agents and a problem as a third party writes them, for tests to name as "module:attribute"."""

from __future__ import annotations

import json
from typing import Any, Literal

import numpy as np

from agents import registry
from agents.base import LearnerAgent
from continual_envs.core import Held, Stream, Task
from continual_envs.registration import register_control, register_stream
from continual_envs.transforms import Identity

HERE = __name__


class ByStep:
    """One of our learners without `update_many`, so that it must live by act and learn."""

    def __init__(self, learner: Any) -> None:
        self._learner = learner
        self.needs_boundary = learner.needs_boundary
        self.predict, self.update = learner.predict, learner.update
        self.inspect, self.on_task_switch = learner.inspect, learner.on_task_switch
        self.on_privileges = learner.on_privileges
        self.snapshot, self.rewind = learner.snapshot, learner.rewind


class ByStepAndBack(ByStep):
    """The same, that can be stopped and continued."""

    def state_dict(self) -> dict[str, Any]:
        return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._learner.load_state_dict(state)


def by_step(
    observation_space: Any,
    action_space: Any,
    *,
    seed: int,
    device: str = "cpu",
    inner: str = "backprop",
    inner_settings: str = "{}",  # JSON
    saves: bool = True,
) -> ByStep:
    settings = json.loads(inner_settings)
    made = registry.make(inner, observation_space, action_space, seed=seed, **settings)
    return (ByStepAndBack if saves else ByStep)(made)


def seedless(observation_space: Any, action_space: Any, *, device: str = "cpu") -> None:
    """Cannot be called as agents are."""


class Mute:
    """Has no protocol at all."""


def mute(observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu") -> Mute:
    return Mute()


class LastLabel:
    """Predicts the target that was shown last: an agent, not a learner, and not of torch."""

    def __init__(self, action_space: Any, needs_boundary: bool, first: int) -> None:
        self.needs_boundary = needs_boundary
        self.learner = _Trap()  # an attribute of its own, which is no business of the runner's
        self.switches = 0
        self._action = np.full(action_space.shape, first, dtype=np.int64)

    def act(self, observation: Any) -> Any:
        return self._action

    def learn(self, transition: Any) -> None:
        self._action = np.array(transition.info["target"])
        self.switches += bool(transition.info.get("task_switch"))

    def update_many(self, chunk: Any) -> Any:
        raise AssertionError("an agent lives by act and learn")


class _Trap:
    def update_many(self, chunk: Any) -> Any:
        raise AssertionError("the inside of an agent is its own")

    predict = update = inspect = state_dict = load_state_dict = update_many


def last_label(
    observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu", first: int = 0
) -> LastLabel:
    return LastLabel(action_space, False, first)


def boundary_user(
    observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu"
) -> LastLabel:
    return LastLabel(action_space, True, 0)


def odd_settings(
    observation_space: Any,
    action_space: Any,
    *,
    seed: int,
    device: str = "cpu",
    level: Literal[1, 2] = 1,
    either: int | str | None = None,
    sloppy: float = None,  # type: ignore[assignment]
    bare=3,
    sizes: list[int] = [1],  # noqa: B006
) -> LastLabel:
    return LastLabel(action_space, False, 0)


def unsavable(observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu") -> Any:
    agent = last_label(observation_space, action_space, seed=seed)
    agent.state_dict = lambda: {"generator": np.random.PCG64(seed)}  # type: ignore[attr-defined]
    agent.load_state_dict = lambda state: None  # type: ignore[attr-defined]
    return agent


def not_json(
    observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu", kind: Any = Stream
) -> Any:
    return last_label(observation_space, action_space, seed=seed)


class Signs(Stream):
    """Says whether the only input is positive; the sign's meaning turns at every task."""

    outcome = "accuracy"
    classes = 2
    inputs_shape = (1,)

    def __init__(self, seed: int, *, examples_per_task: int = 20) -> None:
        super().__init__(seed)
        self.examples_per_task = examples_per_task

    def task(self, index: int) -> Task:
        rows = np.arange(self.examples_per_task)
        inputs = np.where(rows % 3 == 0, 1, -1).astype(np.float32)[:, None]
        targets = ((inputs[:, 0] > 0) ^ bool(index % 2)).astype(np.int64)
        return Task(index, inputs, rows, Identity(), targets)


register_stream("mine/Signs-v0", f"{HERE}:Signs")


class HeldValues(Stream):
    """Values to be learned over three passes, with held-out sets; the best parameters come back."""

    outcome, scored, epochs, reloads = "error", "best test", 3, True
    disclosed = ("validation",)
    inputs_shape, limit = (3,), 10.0

    def __init__(self, seed: int, *, passes: int = 3) -> None:
        super().__init__(seed)
        self.epochs, self.examples_per_task = passes, 20 * passes

    def task(self, index: int) -> Task:
        x = np.random.default_rng([self.seed, index]).uniform(size=(40, 3)).astype(np.float32)
        y = x.sum(axis=1) + np.float32(index)
        rows = np.tile(np.arange(20), self.epochs)
        test, validation = (
            Held(x, held, Identity(), y[held]) for held in (np.arange(20, 30), np.arange(30, 40))
        )
        return Task(index, x, rows, Identity(), y[rows], test=test, validation=validation)


register_stream("mine/HeldValues-v0", f"{HERE}:HeldValues")


def actor(observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu") -> Any:
    """A factory that returns an agent made of a learner of ours."""
    return LearnerAgent(
        registry.make("linear", observation_space, action_space, seed=seed), action_space
    )


class ByState:
    """Pushes a pole to the side it leans to, but now and then learns to do the opposite."""

    def __init__(self, seed: int) -> None:
        self._generator, self._sign = np.random.default_rng(seed), 1.0

    def act(self, observation: Any) -> int:
        return int(self._sign * observation[2] > 0)

    def learn(self, transition: Any) -> None:
        if self._generator.random() < 0.02:
            self._sign = -self._sign

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self._generator.bit_generator.state, "sign": self._sign}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._generator.bit_generator.state = state["generator"]
        self._sign = state["sign"]


def by_state(
    observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu"
) -> ByState:
    return ByState(seed)


class Told(ByState):
    """Counts the switches of task that it is told of."""

    needs_boundary, switches = True, 0

    def begin(self, info: dict[str, Any]) -> None:
        self.switches += info["task_switch"]

    def inspect(self, inputs: Any, targets: Any) -> None:
        raise AssertionError("of supervised problems only")


def told(observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu") -> Told:
    return Told(seed)


register_control(
    "mine/Cart-v0",
    "continual_envs.control.classic:CartPole",
    drift="length",
    period=200,
    max_episode_steps=500,
)

register_control(
    "mine/WrongLimit-v0",
    "continual_envs.control.classic:CartPole",
    drift="length",
    period=200,
    max_episode_steps=300,
)
register_stream("mine/Missing-v0", f"{HERE}:NoSuchStream")


class Idle:
    """Owns its loop and takes no step."""

    copies = 1

    def __init__(self, a: Any, b: Any, *, seed: int, device: str = "cpu") -> None:
        self._seed = seed

    def enter(self, envs: Any) -> None:
        envs[0].reset(seed=self._seed)

    def cycle(self) -> None:
        """Think."""

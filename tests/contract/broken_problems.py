"""Problems that break the contract in one way each, and the sound one that they derive from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from continual_envs.core import Chunk, Stream, Task
from continual_envs.environment import StreamEnv
from continual_envs.transforms import Identity


class SoundStream(Stream):
    """Which of four linear functions of six inputs is the largest; the functions drift."""

    outcome: ClassVar[Any] = "accuracy"
    classes = 4
    inputs_shape = (6,)

    def __init__(self, seed: int, *, examples_per_task: int = 200) -> None:
        super().__init__(seed)
        self.examples_per_task = examples_per_task

    def generator(self, index: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, index, purpose))

    def weights(self, index: int) -> np.ndarray:
        return self.generator(index, 1).normal(size=(6, 4))

    def task(self, index: int) -> Task:
        n = self.examples_per_task
        inputs = self.generator(index, 0).random((n, 6), dtype=np.float32)
        targets = np.argmax((inputs - 0.5) @ self.weights(index), axis=1)
        return Task(index, self.shown(inputs, targets), np.arange(n), Identity(), targets)

    def shown(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return inputs


class LeaksScaled(SoundStream):
    def shown(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        inputs[:, 2] = targets / 3
        return inputs


class LeaksOneHot(SoundStream):
    inputs_shape = (10,)

    def shown(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.concatenate([inputs, np.eye(4, dtype=np.float32)[targets]], axis=1)


class LeaksPermuted(SoundStream):
    """As when the labels are a column of the table whose columns and labels are permuted."""

    def shown(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        column = int(inputs[0, 0] * 6)
        inputs[:, column] = np.array([0.2, 0.9, 0.0, 0.4])[targets]
        return inputs


class DriftsByCall(SoundStream):
    """Every call moves the functions on."""

    def __init__(self, seed: int, **settings: Any) -> None:
        super().__init__(seed, **settings)
        self.steps = self.generator(0, 2)
        self.present = np.zeros((6, 4))

    def weights(self, index: int) -> np.ndarray:
        self.present = self.present + self.steps.normal(size=(6, 4))
        return self.present


class NeedsOrder(SoundStream):
    """A task builds on those that were asked for before it, and is then remembered."""

    def __init__(self, seed: int, **settings: Any) -> None:
        super().__init__(seed, **settings)
        self.known: dict[int, np.ndarray] = {}

    def weights(self, index: int) -> np.ndarray:
        if index not in self.known:
            self.known[index] = sum(self.known.values()) + self.generator(index, 2).normal(
                size=(6, 4)
            )
        return self.known[index]


class CannotGoBack(SoundStream):
    """Redraws the drift up to a later task, but forgets to start anew for an earlier one."""

    def __init__(self, seed: int, **settings: Any) -> None:
        super().__init__(seed, **settings)
        self.present, self.done = np.zeros((6, 4)), -1

    def weights(self, index: int) -> np.ndarray:
        for step in range(self.done + 1, index + 1):
            self.present = self.present + self.generator(step, 2).normal(size=(6, 4))
        self.done = max(self.done, index)
        return self.present


class ReusesInputs(SoundStream):
    def shown(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        if not hasattr(self, "buffer"):
            self.buffer = np.empty_like(inputs)
        self.buffer[...] = inputs
        return self.buffer


class DrawsGlobally(SoundStream):
    def weights(self, index: int) -> np.ndarray:
        np.random.seed(self.seed + index)
        return np.random.normal(size=(6, 4))


class SameForAllSeeds(SoundStream):
    def generator(self, index: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng((index, purpose))


class HidesItsTransform(SoundStream):
    def task(self, index: int) -> Task:
        task = super().task(0)
        shift = self.generator(index, 3).integers(6)
        return Task(
            index, task.inputs, task.rows, lambda inputs: np.roll(inputs, shift, -1), task.targets
        )


class NeedsMoreClasses(SoundStream):
    classes = 3


class FailsLater(SoundStream):
    def task(self, index: int) -> Task:
        return super().task(index if index < 2 else ["no such task"][index])


class ChunksBySize(SoundStream):
    def chunk(self, start: int, n: int) -> Chunk:
        chunk = super().chunk(start, n)
        return replace(chunk, targets=np.sort(chunk.targets))


class LeaksIntoInfo(StreamEnv):
    """Tells with each observation what its target will be."""

    def _hint(self) -> Any:
        return self.stream.chunk(self.clock.examples, 1).targets[0]

    def reset(self, **keywords: Any) -> Any:
        observation, info = super().reset(**keywords)
        return observation, info | {"hint": self._hint()}

    def step(self, action: Any) -> Any:
        *results, info = super().step(action)
        return *results, info | {"hint": self._hint()}


class TellsTheNextTarget(StreamEnv):
    def step(self, action: Any) -> Any:
        *results, info = super().step(action)
        return *results, info | {"target": self.stream.chunk(self.clock.examples, 1).targets[0]}


class ReusesObservation(StreamEnv):
    def step(self, action: Any) -> Any:
        observation, *results = super().step(action)
        if not hasattr(self, "buffer"):
            self.buffer = np.empty_like(observation)
        self.buffer[...] = observation
        return self.buffer, *results


class Terminates(StreamEnv):
    def step(self, action: Any) -> Any:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, self.clock.example == 0, truncated, info


class ForgetsItsPlace(StreamEnv):
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state | {"position": 0})


class RestartsElsewhere(StreamEnv):
    resets = -1

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.resets += 1
        return super().reset(seed=None if seed is None else seed + self.resets)


class NeverEnds(StreamEnv):
    def __init__(self, stream: Any, *, num_tasks: int | None = None, **settings: Any) -> None:
        super().__init__(stream, **settings)


class HidesTheSwitch(StreamEnv):
    def step(self, action: Any) -> Any:
        *results, info = super().step(action)
        return *results, {**info, **dict.fromkeys({"task_switch"} & set(info), False)}


ENVIRONMENTS = (
    LeaksIntoInfo,
    TellsTheNextTarget,
    ReusesObservation,
    Terminates,
    ForgetsItsPlace,
    RestartsElsewhere,
    NeverEnds,
    HidesTheSwitch,
)


def register() -> list[str]:
    """Make the environments known to Gymnasium, for as long as a test needs them."""
    ids = []
    for kind in ENVIRONMENTS:
        ids.append(f"broken/{kind.__name__}-v0")
        stream = f"{__name__}:SoundStream"
        gym.register(ids[-1], f"{__name__}:{kind.__name__}", kwargs={"stream": stream})
    return ids

"""Agents that break the contract in one way each, and the sound ones that they derive from."""

from __future__ import annotations

import copy
import random
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from continual_envs.core import Chunk


class SoundLearner:
    """A hidden layer of tanh units, by hand: gradient steps with momentum on the squared error."""

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        *,
        seed: int,
        device: str = "cpu",
        step_size: float = 0.05,
        momentum: float = 0.9,
    ) -> None:
        shape = observation_space.shape
        self.batch = shape[0] if len(shape) == 2 else 1
        self.outputs = int(getattr(action_space, "nvec", [getattr(action_space, "n", 1)])[0])
        self.step_size, self.momentum, self.seed = step_size, momentum, seed
        self.random = self.generator()
        self.weights = [self.draw((shape[-1], 16)), self.draw((16, self.outputs))]
        self.speeds = [np.zeros_like(weight) for weight in self.weights]

    def generator(self) -> Any:
        return np.random.default_rng(self.seed)

    def draw(self, shape: tuple[int, int]) -> np.ndarray:
        return self.random.normal(0.0, 0.3, shape)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return np.tanh(inputs @ self.weights[0]) @ self.weights[1]

    def update(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        said, hidden = self.predict(inputs), np.tanh(inputs @ self.weights[0])
        classes = np.arange(self.outputs)
        wanted = targets[:, None] if self.outputs == 1 else targets[:, None] == classes
        error = (said - wanted) / len(inputs)
        back = (error @ self.weights[1].T) * (1 - hidden**2)
        gradients = inputs.T @ back, hidden.T @ error
        for weight, speed, gradient in zip(self.weights, self.speeds, gradients, strict=True):
            speed[:] = self.momentum * speed - self.step_size * gradient
            weight += speed
        return said

    def update_many(self, chunk: Chunk) -> np.ndarray:
        return np.concatenate([self.update(*batch) for batch in chunk.batches(self.batch)])

    def state_dict(self) -> dict[str, Any]:
        names = ("weights", "speeds")
        return {name: [array.copy() for array in getattr(self, name)] for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, arrays in state.items():
            setattr(self, name, [array.copy() for array in arrays])


class LearnsFirst(SoundLearner):
    def update(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        super().update(inputs, targets)
        return self.predict(inputs)


class LearnsChunksFirst(SoundLearner):
    def update_many(self, chunk: Chunk) -> np.ndarray:
        super().update_many(chunk)
        return self.predict(chunk.examples())


class SkipsInChunks(SoundLearner):
    def update_many(self, chunk: Chunk) -> np.ndarray:
        said = [
            self.update(*batch) if step % 2 else self.predict(batch[0])
            for step, batch in enumerate(chunk.batches(self.batch))
        ]
        return np.concatenate(said)


class ChangesInPredict(SoundLearner):
    """Keeps a running mean of the inputs it sees, also of those it is only asked about."""

    mean = 0.0

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        self.mean = 0.99 * self.mean + 0.01 * inputs.mean(axis=0)
        return super().predict(inputs - self.mean)


class IgnoresSeed(SoundLearner):
    def generator(self) -> Any:
        return np.random.default_rng(0)


class DrawsFromNumpy(SoundLearner):
    def generator(self) -> Any:
        return np.random


class SeedsPython(SoundLearner):
    def draw(self, shape: tuple[int, int]) -> np.ndarray:
        random.seed(self.seed)
        return np.array([random.gauss(0, 0.3) for _ in range(shape[0] * shape[1])]).reshape(shape)


class SeedsTorch(SoundLearner):
    def draw(self, shape: tuple[int, int]) -> np.ndarray:
        torch.manual_seed(self.seed)
        return (0.3 * torch.randn(shape)).double().numpy()


class MutatesInputs(SoundLearner):
    def predict(self, inputs: np.ndarray) -> np.ndarray:
        inputs -= 0.5
        return super().predict(inputs)


class ForgetsMomentum(SoundLearner):
    def state_dict(self) -> dict[str, Any]:
        return {"weights": super().state_dict()["weights"]}


class HandsOutItsState(SoundLearner):
    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights, "speeds": self.speeds}


class SavesAnObject(SoundLearner):
    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"generator": self.random}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.random = state.pop("generator")
        super().load_state_dict(state)


class SavesASet(SoundLearner):
    """Of a kind that a safe file holds, but that is no plain data and that no run can save."""

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"seen": {1, 2}}


class KeepsReferences(SoundLearner):
    """Learns again from what it saw before, which it did not copy."""

    latest: Any = None

    def update(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        said = super().update(inputs, targets)
        if self.latest is not None:
            super().update(*self.latest)
        self.latest = inputs, targets
        return said

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"latest": copy.deepcopy(self.latest)}


class NeedsTheTask(SoundLearner):
    needs_boundary = True  # but it cannot be told of it


class Fails(SoundLearner):
    def update(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        raise KeyError("no such\nweight")


class Quits(SoundLearner):
    def generator(self) -> Any:
        raise SystemExit(3)


class HasMoreOutputs(SoundLearner):
    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return np.full((len(inputs), 9), np.arange(9))


class SoundAgent:
    """Acts by the nearest mean of a class; knows nothing at first, and nothing in it is random."""

    def __init__(
        self, observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu"
    ) -> None:
        if not isinstance(action_space, gym.spaces.Discrete):
            raise ValueError(f"problem: actions {action_space} are not allowed; give one class")
        self.sums = np.zeros((int(action_space.n), *observation_space.shape))
        self.counts = np.zeros(int(action_space.n))

    def act(self, observation: np.ndarray) -> int:
        means = self.sums / np.maximum(self.counts, 1)[:, None]
        distances = np.where(self.counts > 0, ((means - observation) ** 2).sum(axis=1), np.inf)
        return int(np.argmin(distances))

    def learn(self, transition: Any) -> None:
        self.sums[transition.info["target"]] += transition.observation
        self.counts[transition.info["target"]] += 1


class AnswersOutside(SoundAgent):
    def act(self, observation: np.ndarray) -> int:
        return 8


class ChangesInAct(SoundAgent):
    """Believes its own answers."""

    def act(self, observation: np.ndarray) -> int:
        action = super().act(observation)
        self.sums[action] += observation
        self.counts[action] += 1
        return action


class HalfAnAgent(SoundAgent):
    learn = None


def hides_settings(observation_space: Any, action_space: Any, rate: float, *, seed: int) -> Any:
    return SoundLearner(observation_space, action_space, seed=seed, step_size=rate)


def only_batches(
    observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu"
) -> Any:
    if len(observation_space.shape) == 1:
        raise ValueError("problem: one example a step is not allowed; give batch_size")
    return SoundLearner(observation_space, action_space, seed=seed)


def refuses_everything(
    observation_space: Any, action_space: Any, *, seed: int, device: str = "cpu"
) -> Any:
    raise ValueError("problem: only images are allowed")

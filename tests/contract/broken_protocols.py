"""Problems that break the promises of their protocol, and the sound one that they derive from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from continual_envs.core import Held, Task
from continual_envs.transforms import Identity
from tests.contract.broken_problems import SoundStream


class SoundProtocol(SoundStream):
    """Pictures in passes, with noise drawn for each, two classes more a task, and some held out."""

    inputs_shape = (3, 2, 1)
    input_range = (-1.0, 2.0)
    classes = 10
    epochs = 2
    scored: Any = "last test"
    reloads = True
    disclosed: Any = ("epoch", "seen", "validation")

    def __init__(self, seed: int, *, images: int = 30) -> None:
        super().__init__(seed, examples_per_task=self.epochs * 2 * images)
        self.images = images  # of each class, half as many held out

    def count(self, index: int) -> int:
        return min(2 * index + 2, self.classes)

    def length(self, index: int) -> int:
        return self.count(index) * self.images * self.epochs

    def start(self, index: int) -> int:
        return sum(self.length(earlier) for earlier in range(index))

    def task(self, index: int) -> Task:
        per_class = self.images + self.images // 2
        inputs = np.random.default_rng(0).random((self.classes * per_class, 3, 2, 1), np.float32)
        rows = np.arange(self.count(index) * per_class).reshape(-1, per_class)
        generator = self.generator(index, 0)
        passes = [generator.permutation(rows[:, : self.images].ravel()) for _ in range(self.epochs)]
        held = [rows[:, self.images + i :: 2].ravel() for i in range(2)]
        shown = np.concatenate(passes)
        validation, test = (Held(inputs, part, Identity(), part // per_class) for part in held)
        return Task(
            index,
            inputs,
            shown,
            Noise(),
            shown // per_class,
            draws=generator.integers(2**63, size=len(shown), dtype=np.uint64),
            test=test,
            validation=validation,
        )

    def privileges(self, index: int, example: int) -> dict[str, Any]:
        epoch = example // (self.count(index) * self.images)
        return {"epoch": epoch, "seen": np.arange(self.classes) < self.count(index)}


class Noise:
    def __call__(self, inputs: np.ndarray, draws: np.ndarray) -> np.ndarray:
        return inputs + (draws / 2.0**64)[:, None, None, None].astype(np.float32)


class ShowsATestExample(SoundProtocol):
    def task(self, index: int) -> Task:
        task = super().task(index)
        test = replace(task.test, rows=np.append(task.test.rows[:-1], task.rows[0]))
        return replace(task, test=test)


class TestsOnACopy(SoundProtocol):
    def task(self, index: int) -> Task:
        task = super().task(index)
        shown = task.rows[:20]
        test = Held(task.inputs[shown], np.arange(20), Identity(), task.targets[:20])
        return replace(task, test=test)


class SelectsOnTest(SoundProtocol):
    def task(self, index: int) -> Task:
        task = super().task(index)
        return replace(task, validation=task.test)


class HoldsNothingOut(SoundProtocol):
    def task(self, index: int) -> Task:
        return replace(super().task(index), test=None)


class ShowsSomeTwice(SoundProtocol):
    def task(self, index: int) -> Task:
        task = super().task(index)
        half = len(task.rows) // 2
        task.rows[half:], task.targets[half:] = task.rows[half], task.targets[half]
        return task


class MiscountsTasks(SoundProtocol):
    def start(self, index: int) -> int:
        return index * self.examples_per_task


class LocatesByTheFirst(SoundProtocol):
    def locate(self, position: int) -> tuple[int, int]:
        return divmod(position, self.examples_per_task)


class DrawsFractions(SoundProtocol):
    def task(self, index: int) -> Task:
        task = super().task(index)
        return replace(task, draws=task.draws / 2.0**64)


class CountsItsCalls(SoundProtocol):
    calls = 0

    def privileges(self, index: int, example: int) -> dict[str, Any]:
        self.calls += 1
        return {"epoch": self.calls}


class TellsWhatItDoesNotSay(SoundProtocol):
    disclosed = ()


class TellsTheTarget(SoundProtocol):
    def privileges(self, index: int, example: int) -> dict[str, Any]:
        return {"epoch": int(self.task_at(index).targets[example])}

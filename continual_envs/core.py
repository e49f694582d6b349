"""The whole boundary of a supervised stream: Task, Chunk, Clock, Stream.

A *task* is a pure function of (stream seed, task index). A *chunk* declares consecutive examples
without copying the data they come from. The environment (`continual_envs.environment`) is defined
as reading that chunk one row at a time, so an engine that takes whole chunks and a script that
calls `step` see the same examples.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from continual_envs import checks

Transform = Callable[[Any], Any]


@dataclass(frozen=True)
class Task:
    """One stretch with one data distribution.

    Attributes:
        index: position in the stream, from 0.
        inputs: base inputs, shape (N, d); may be shared with other tasks, never written to.
        rows: the row of `inputs` shown at each example, shape (examples_per_task,), int64.
        transform: what is done to the shown rows.
        targets: the target of each example: int64 class labels (n,) or float32 values (n,).
    """

    index: int
    inputs: NDArray[Any]
    rows: NDArray[np.int64]
    transform: Transform
    targets: NDArray[Any]


@dataclass(frozen=True)
class Chunk:
    """Consecutive examples of a stream, declared rather than copied.

    Attributes:
        inputs: base inputs, shape (N, d).
        rows: the row of `inputs` shown at each step, shape (n,), int64.
        transforms: a small table of transforms.
        which: which transform applies at each step, shape (n,), int64.
        targets: the target of each step, shape (n,).
    """

    inputs: NDArray[Any]
    rows: NDArray[np.int64]
    transforms: tuple[Transform, ...]
    which: NDArray[np.int64]
    targets: NDArray[Any]

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.rows)

    def examples(self) -> NDArray[np.float32]:
        """Return the inputs as shown, shape (n, d), a new float32 array."""
        shown = self.inputs[self.rows]
        if len(self.transforms) == 1:
            return np.asarray(self.transforms[0](shown), dtype=np.float32)
        result = np.empty(shown.shape, dtype=np.float32)
        for index, transform in enumerate(self.transforms):
            mine = self.which == index
            result[mine] = transform(shown[mine])
        return result

    def batches(self, size: int) -> Iterator[tuple[NDArray[np.float32], NDArray[Any]]]:
        """Yield (inputs, targets) of `size` examples each; `len(self)` must be a multiple of it."""
        examples = self.examples()
        for start in range(0, len(self), size):
            yield examples[start : start + size], self.targets[start : start + size]


@dataclass(frozen=True)
class Clock:
    """Where a stream stands: what the recorder may know and an agent may not.

    Attributes:
        task: index of the task that the present observation belongs to.
        example: examples of that task already predicted.
        examples: examples predicted since the stream began.
    """

    task: int
    example: int
    examples: int


class Stream(ABC):
    """The endless sequence of tasks of one problem for one seed.

    A problem is a subclass that sets the class attributes, takes `seed` and keyword-only settings,
    sets `examples_per_task`, `inputs_shape`, and defines `task`.

    Attributes:
        outcome: "accuracy" for class labels, "error" (squared) for values.
        classes: number of classes; None for regression.
        limit: regression only: a bound on the absolute target, the range of the action space.
    """

    outcome: ClassVar[Literal["accuracy", "error"]]
    classes: int | None = None
    limit: float = 1.0
    input_range: tuple[float, float] = (0.0, 1.0)
    inputs_shape: tuple[int, ...]
    examples_per_task: int

    def __init__(self, seed: int) -> None:
        self.seed = checks.integer("seed", seed)
        self._latest: Task | None = None

    @abstractmethod
    def task(self, index: int) -> Task:
        """Return task `index`: the same answer whatever was asked before."""

    def anchor(self, index: int) -> float:
        """Return the outcome on task `index` of a learner that knows nothing of the inputs.

        Chance accuracy for classes, the squared error of the best constant for values.
        """
        if self.classes is not None:
            return 1.0 / self.classes
        return float(np.var(self._task(index).targets, dtype=np.float64))

    def chunk(self, start: int, n: int) -> Chunk:
        """Return the examples `start` .. `start + n - 1` of the stream; they may span tasks."""
        size = self.examples_per_task
        tasks = [self._task(i) for i in range(start // size, (start + n - 1) // size + 1)]
        spans = [
            slice(max(start - task.index * size, 0), min(start + n - task.index * size, size))
            for task in tasks
        ]
        shared = all(task.inputs is tasks[0].inputs for task in tasks)
        sizes = [0 if shared else len(task.inputs) for task in tasks]
        offsets = [sum(sizes[:i]) for i in range(len(tasks))]
        pieces = list(zip(tasks, spans, offsets, strict=True))
        lengths = [span.stop - span.start for span in spans]
        return Chunk(
            inputs=tasks[0].inputs if shared else np.concatenate([task.inputs for task in tasks]),
            rows=np.concatenate([task.rows[span] + offset for task, span, offset in pieces]),
            transforms=tuple(task.transform for task in tasks),
            which=np.repeat(np.arange(len(tasks)), lengths),
            targets=np.concatenate([task.targets[span] for task, span, _ in pieces]),
        )

    def content_hash(self, tasks: Iterable[int] = (0, 1)) -> str:
        """Return a SHA-256 over everything that defines these tasks, data included."""
        digest, seen = hashlib.sha256(), None
        for index in tasks:
            task = self.task(index)
            if task.inputs is not seen:
                digest.update(task.inputs.tobytes())
                seen = task.inputs
            digest.update(type(task.transform).__qualname__.encode())
            for array in (task.rows, task.targets, *vars(task.transform).values()):
                digest.update(np.asarray(array).tobytes())
        return digest.hexdigest()

    def _task(self, index: int) -> Task:
        """Return `task(index)`, remembering the latest: chunks are read in order."""
        if self._latest is None or self._latest.index != index:
            self._latest = self.task(index)
        return self._latest

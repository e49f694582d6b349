"""The whole boundary of a supervised stream: Task, Chunk, Clock, Stream.

A *task* is a pure function of (stream seed, task index). A *chunk* declares consecutive examples
without copying the data they come from. The environment (`continual_envs.environment`) is defined
as reading that chunk one row at a time, so an engine that takes whole chunks and a script that
calls `step` see the same examples.
"""

from __future__ import annotations

import bisect
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from continual_envs import checks

Transform = Callable[..., Any]
Scored = Literal["online", "last test", "best test"]


@dataclass(frozen=True)
class Held:
    """Examples held out of a task's stream: for the evaluation only, never for an agent.

    Attributes:
        inputs: base inputs, shape (N, *d).
        rows: the rows that are held out, shape (n,), int64.
        transform: what is done to them.
        targets: their targets, shape (n,).
    """

    inputs: NDArray[Any]
    rows: NDArray[np.int64]
    transform: Transform
    targets: NDArray[Any]

    def examples(self) -> NDArray[np.float32]:
        """Return the inputs as shown, shape (n, *d), a new float32 array."""
        return np.asarray(self.transform(self.inputs[self.rows]), dtype=np.float32)


@dataclass(frozen=True)
class Task:
    """One stretch with one data distribution.

    Attributes:
        index: position in the stream, from 0.
        inputs: base inputs, shape (N, *d); may be shared with other tasks, never written to.
        rows: the row of `inputs` shown at each example, int64, as many as the task is long.
        transform: what is done to the shown rows.
        targets: the target of each example: int64 class labels (n,) or float32 values (n,).
        draws: a random word for each example, uint64 (n,), which `transform` is then also given.
        source: SHA-256 of the files that `inputs` were decoded from; decoders may differ by one
            grey level, so that it takes the place of `inputs` in the content hash.
        test: held out to be tested on.
        validation: held out to select on, where the protocol has it.
    """

    index: int
    inputs: NDArray[Any]
    rows: NDArray[np.int64]
    transform: Transform
    targets: NDArray[Any]
    draws: NDArray[np.uint64] | None = None
    source: str = ""
    test: Held | None = None
    validation: Held | None = None


@dataclass(frozen=True)
class Chunk:
    """Consecutive examples of a stream, declared rather than copied.

    Attributes:
        inputs: base inputs, shape (N, *d).
        rows: the row of `inputs` shown at each step, shape (n,), int64.
        transforms: a small table of transforms.
        which: which transform applies at each step, shape (n,), int64.
        targets: the target of each step, shape (n,).
        draws: a random word for each step, uint64 (n,), for transforms that draw; or None.
    """

    inputs: NDArray[Any]
    rows: NDArray[np.int64]
    transforms: tuple[Transform, ...]
    which: NDArray[np.int64]
    targets: NDArray[Any]
    draws: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.rows)

    def examples(self) -> NDArray[np.float32]:
        """Return the inputs as shown, shape (n, *d), a new float32 array."""
        shown = self.inputs[self.rows]
        if len(self.transforms) == 1:
            return np.asarray(self._apply(0, shown, slice(None)), dtype=np.float32)
        result = np.empty(shown.shape, dtype=np.float32)
        for index in range(len(self.transforms)):
            mine = self.which == index
            result[mine] = self._apply(index, shown[mine], mine)
        return result

    def _apply(self, index: int, shown: NDArray[Any], steps: Any) -> Any:
        transform = self.transforms[index]
        return transform(shown) if self.draws is None else transform(shown, self.draws[steps])

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
    sets `examples_per_task`, `inputs_shape`, and defines `task`. One whose tasks differ in length
    also defines `length` and `start`.

    Attributes:
        outcome: "accuracy" for class labels, "error" (squared) for values.
        scored: what counts of a task: the outcome of its examples as they came ("online"), or on
            its test examples after the last pass ("last test") or the best ("best test").
        classes: number of classes; None for regression.
        limit: regression only: a bound on the absolute target, the range of the action space.
        input_range: bounds of the inputs.
        inputs_shape: of one example.
        examples_per_task: length of a task (of the first one, where they differ).
        epochs: passes over a task's data; held-out examples are looked at after each.
        reloads: when a task ends, a learner goes back to the parameters that did best on its
            validation examples.
        disclosed: what the protocol grants every agent beyond `disclosure`, in words.
    """

    outcome: ClassVar[Literal["accuracy", "error"]]
    scored: Scored = "online"
    classes: int | None = None
    limit: float = 1.0
    input_range: tuple[float, float] = (0.0, 1.0)
    inputs_shape: tuple[int, ...]
    examples_per_task: int
    epochs: int = 1
    reloads: bool = False
    disclosed: tuple[str, ...] = ()

    def __init__(self, seed: int) -> None:
        self.seed = checks.integer("seed", seed)
        self._latest: Task | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the remembered task out of pickles and copies."""
        return vars(self) | {"_latest": None}

    @abstractmethod
    def task(self, index: int) -> Task:
        """Return task `index`: the same answer whatever was asked before."""

    def length(self, index: int) -> int:
        """Return how many examples task `index` has."""
        return self.examples_per_task

    def start(self, index: int) -> int:
        """Return the position in the stream of the first example of task `index`."""
        return index * self.examples_per_task

    def locate(self, position: int) -> tuple[int, int]:
        """Return the task that holds a position of the stream, and the example within it."""
        if type(self).start is Stream.start:
            return divmod(position, self.examples_per_task)
        end = 1
        while self.start(end) <= position:
            end *= 2
        index = bisect.bisect_right(range(end), position, key=self.start) - 1
        return index, position - self.start(index)

    def privileges(self, index: int, example: int) -> dict[str, Any]:
        """Return what the protocol tells the agent when it is shown this example of a task.

        Keys that our learners know: "epoch", passes over the task's data before this one; "seen",
        bool (classes,), the classes there have been; "zero_head", the output layer is to be zero.
        """
        return {}

    def anchor(self, index: int) -> float:
        """Return the outcome on task `index` of a learner that knows nothing of the inputs.

        Chance accuracy for classes, the squared error of the best constant for values.
        """
        if self.classes is not None:
            return 1.0 / self.classes
        centred = self.task_at(index).targets.astype(np.float64)
        centred -= np.add.reduce(centred) / len(centred)
        return float(centred @ centred) / len(centred)  # half the time of np.var

    def chunk(self, start: int, n: int) -> Chunk:
        """Return the examples `start` .. `start + n - 1` of the stream; they may span tasks."""
        first, last = self.locate(start)[0], self.locate(start + n - 1)[0]
        tasks = [self.task_at(index) for index in range(first, last + 1)]
        begins = [self.start(task.index) for task in tasks]
        spans = [
            slice(max(start - begin, 0), min(start + n - begin, len(task.rows)))
            for task, begin in zip(tasks, begins, strict=True)
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
            draws=None
            if tasks[0].draws is None
            else np.concatenate([task.draws[span] for task, span, _ in pieces]),  # type: ignore[index]
        )

    def content_hash(self, tasks: Iterable[int] = (0, 1)) -> str:
        """Return a SHA-256 over everything that defines these tasks, data included."""
        digest, seen = hashlib.sha256(), None
        for index in tasks:
            task = self.task(index)
            if task.source:
                digest.update(task.source.encode())
            elif task.inputs is not seen:
                digest.update(task.inputs.tobytes())
                seen = task.inputs
            digest.update(type(task.transform).__qualname__.encode())
            for array in (task.rows, task.targets, *vars(task.transform).values()):
                digest.update(np.asarray(array).tobytes())
            held = [part for part in (task.test, task.validation) if part is not None]
            more = [] if task.draws is None else [task.draws]
            for array in (*more, *(array for part in held for array in (part.rows, part.targets))):
                digest.update(array.tobytes())
        return digest.hexdigest()

    def task_at(self, index: int) -> Task:
        """Return `task(index)`, remembering the latest: chunks are read in order."""
        if self._latest is None or self._latest.index != index:
            self._latest = self.task(index)
        return self._latest

"""A run folder's records.jsonl: one line a bin, and lines of what else was looked at.

A line is of a kind: "online" for the examples of a bin as they came, "test" and "validation" for
held-out examples looked at after a pass over a task's data, "measure" for the network. A bin in
which the loss was not finite says "diverged": an accuracy does not show it, and a loss that is null
may be of an agent that shows no outputs.
"""

from __future__ import annotations

import functools
import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from continual_envs.core import Stream

Array = NDArray[Any]
BINS = 10
ENCODE = json.JSONEncoder(allow_nan=False).encode
# A bin's line as ENCODE writes it, in half the time or less: fast engines end a bin in 0.2 ms.
LINE = (
    '{"kind": "online", "task": %d, "bin": %d, "updates": %d, "examples": %d, '
    '"%s": %s, "loss": %s, "anchor": %s, "seconds": %r%s}\n'
)
FLUSH_EVERY = 1.0  # seconds, for who reads along: what is resumed goes by its checkpoint


def bin_edges(examples: int, batch: int, bins: int = BINS) -> list[int]:
    """Return where a task's bins end, in examples: whole batches, nearly equal numbers of them."""
    edges = {round(i * examples / bins / batch) * batch for i in range(1, bins)}
    return sorted((edges | {examples}) - {0})


def bins_of(stream: Stream, batch: int) -> Callable[[int], list[int]]:
    """Return task -> where its bins end: after every pass, or ten a task where there is one.

    All tasks have as many bins as the first, which may have fewer steps than ten.
    """
    bins = stream.epochs if stream.epochs > 1 else min(BINS, stream.length(0) // batch)
    edges = functools.lru_cache(1)(lambda length: bin_edges(length, batch, bins))
    return lambda task: edges(stream.length(task))


def losses(outputs: Array, targets: Array, classes: int | None) -> NDArray[np.float64]:
    """Return the cross-entropy or squared error of outputs (n, k) against targets (n,)."""
    outputs = outputs.astype(np.float64)
    if classes is None:
        result: NDArray[np.float64] = (outputs[:, 0] - targets) ** 2
        return result
    with np.errstate(invalid="ignore"):  # infinite outputs give nan
        shifted = outputs - outputs.max(axis=1, keepdims=True)
        result = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(targets)), targets]
    return result


class Lines:
    """The file of a run's records, and where the run stands in it.

    Args:
        folder: the run folder, which exists.

    Attributes:
        path: of the file.
        task: index of the present task; how many are complete.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "records.jsonl"
        self.task = self._bin = self._examples = self._updates = self._begun = 0
        self._seconds, self._since = 0.0, time.perf_counter()
        self._flushed = self._since
        self._file = open(self.path, "ab")

    def measure(self, values: dict[str, float], took: float) -> None:
        """Write a line of measures, taken where the run stands.

        Args:
            values: by name.
            took: seconds that measuring took; they do not count for the present bin.
        """
        self._since += took
        line = {"kind": "measure", "task": self.task, "updates": self._updates}
        self._write({**line, "examples": self._examples, **values})
        self.flush()

    def sync(self) -> dict[str, Any]:
        """Force all lines to disk and return where the run stands."""
        self._seconds += self._lap()
        self._file.flush()
        os.fsync(self._file.fileno())
        return {
            "bytes": self._file.tell(),
            "position": [self.task, self._bin, self._examples, self._updates, self._begun],
            "seconds": self._seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; lines written after it are cut off."""
        self.task, self._bin, self._examples, self._updates, self._begun = state["position"]
        self._seconds, self._since = state["seconds"], time.perf_counter()
        self._file.truncate(state["bytes"])
        self._file.seek(state["bytes"])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _lap(self) -> float:
        """Return the seconds since the last lap."""
        before, self._since = self._since, time.perf_counter()
        return self._since - before

    def flush(self) -> None:
        """Let who reads along see all lines."""
        self._file.flush()
        self._flushed = self._since

    def _write(self, line: dict[str, Any]) -> None:
        try:
            text = ENCODE(line)
        except ValueError:  # a number that JSON does not have
            text = ENCODE({key: _finite(value) for key, value in line.items()})
        self._file.write(text.encode() + b"\n")


class Recorder(Lines):
    """Averages outcomes over bins and appends a line for each.

    Args:
        folder: the run folder, which exists.
        outcome: "accuracy" or "error".
        bins: task -> where its bins end, in examples.
        batch: examples a step.
        anchor: outcome on a task of a learner that knows nothing.
        classes: number of classes, None for values, whose loss is the error.
    """

    def __init__(
        self,
        folder: Path,
        outcome: str,
        bins: Callable[[int], list[int]],
        batch: int,
        anchor: Callable[[int], float | None],
        classes: int | None,
    ) -> None:
        super().__init__(folder)
        self._outcome, self._bins, self._batch = outcome, bins, batch
        self._edges = bins(0)
        self._anchor = functools.lru_cache(1)(lambda task: _number(anchor(task)))
        self._classes = classes
        self._rewards: list[Array] = []
        self._losses: list[Array] = []

    def add(self, rewards: Array, outputs: Array | None, targets: Array) -> None:
        """Take in steps that end no later than the present task; they took equally long.

        Args:
            rewards: one a step, 1/0 or minus the error.
            outputs: (examples, k) as predicted, or None if the agent does not show them; what the
                loss is of, but for values, whose loss is the error. A bin has a loss if they were
                shown at every step.
            targets: (examples,).
        """
        seconds, before = self._lap(), self._examples - self._begun
        self._rewards.append(rewards)
        if outputs is not None and self._classes is not None:
            self._losses.append(losses(outputs, targets, self._classes))
        self._examples += len(rewards) * self._batch
        self._updates += len(rewards)
        after = self._examples - self._begun
        ends = [edge for edge in self._edges[self._bin :] if edge <= after]
        if ends:
            self._end_bins(ends, before, seconds / len(rewards))
        else:
            self._seconds += seconds
        if self._since - self._flushed > FLUSH_EVERY:
            self.flush()

    def held_out(self, kind: str, outcome: float, loss: float | None) -> None:
        """Write a line of held-out examples, after the bin that has just ended.

        Args:
            kind: "test" or "validation".
            outcome: mean over the examples.
            loss: likewise; None if the agent does not show its outputs.
        """
        task = self.task if self._bin else self.task - 1
        bin = (self._bin or len(self._bins(task))) - 1
        line = {"kind": kind, "task": task, "bin": bin, "updates": self._updates}
        line |= {"examples": self._examples, self._outcome: outcome, "loss": loss}
        self._write(line)
        self.flush()

    def sync(self) -> dict[str, Any]:
        """Force all lines to disk and return the recorder's state."""
        return super().sync() | {"rewards": list(self._rewards), "losses": list(self._losses)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; lines written after it are cut off."""
        super().load_state_dict(state)
        self._edges = self._bins(self.task)
        self._rewards, self._losses = list(state["rewards"]), list(state["losses"])

    def _end_bins(self, ends: list[int], before: int, seconds: float) -> None:
        """Write a line for each of the bins that have ended.

        Args:
            ends: where they end, in examples of the task.
            before: examples of the task before those that ended them.
            seconds: that a step of these took.
        """
        after, size = self._examples - self._begun, self._batch
        start = self._edges[self._bin - 1] if self._bin else 0
        outcomes, self._rewards = _means(self._rewards, [(end - start) // size for end in ends])
        if self._outcome == "error":
            outcomes = [-outcome for outcome in outcomes]
        said = lost = [_number(outcome) for outcome in outcomes]  # of values the error is the loss
        shown = self._classes is None or sum(map(len, self._losses)) == after - start
        if self._classes is not None:
            parts = self._losses if shown else []
            means, self._losses = _means(parts, [end - start for end in ends])
            lost = [_number(mean) for mean in means]
        anchor, lines = self._anchor(self.task), ""
        for end, outcome, loss in zip(ends, said, lost, strict=True):
            took = self._seconds + (end - max(start, before)) // size * seconds
            diverged = ', "diverged": true' if shown and loss == "null" else ""
            updates, examples = self._updates - (after - end) // size, self._begun + end
            place = self.task, self._bin, updates, examples, self._outcome
            lines += LINE % (*place, outcome, loss, anchor, round(took, 6), diverged)
            start, self._seconds, self._bin = end, 0.0, self._bin + 1
        self._file.write(lines.encode())
        self._seconds = (after - start) // size * seconds
        if self._bin == len(self._edges):
            self.task, self._bin, self._begun = self.task + 1, 0, self._examples
            self._edges = self._bins(self.task)


def _number(value: float | None) -> str:
    """Return a number in JSON, which has no infinite ones."""
    return repr(float(value)) if value is not None and math.isfinite(value) else "null"


def _means(parts: list[Array], ends: list[int]) -> tuple[list[float], list[Array]]:
    """Return the means of arrays in a row between the ends, nan if none, and what comes after.

    One call for all bins: of ten bins of a thousand, one by one takes five times as long.
    """
    if not parts:
        return [math.nan] * len(ends), []
    joined = parts[0] if len(parts) == 1 else np.concatenate(parts)
    starts = [0, *ends[:-1]]
    sums = np.add.reduceat(joined[: ends[-1]], starts, dtype=np.float64).tolist()
    means = [sum / (end - start) for sum, start, end in zip(sums, starts, ends, strict=True)]
    return means, [joined[ends[-1] :]] if len(joined) > ends[-1] else []


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

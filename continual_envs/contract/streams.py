"""What a stream promises before it is an environment: pure tasks, honest chunks, hidden targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from continual_envs.contract.faults import same, scribble
from continual_envs.contract.problem import Problem
from continual_envs.core import Stream, Task

TASKS = range(4)
EDGE = 256  # examples looked at from either end of a task
STRETCH, SHORT = 512, 64  # examples in which a leak is looked for; tasks below SHORT are pooled
Array = NDArray[Any]


def tasks_have_their_form(problem: Problem) -> Iterator[str]:
    """Shapes, dtypes and ranges are those that the stream declares."""
    stream = problem.stream()
    if stream.outcome not in ("accuracy", "error"):
        yield f"outcome: {stream.outcome!r} is not accuracy or error"
        return
    if (stream.classes is None) != (stream.outcome == "error"):
        yield f"classes: {stream.classes!r} does not go with outcome {stream.outcome!r}"
        return
    for index in TASKS:
        task = stream.task(index)
        if task.index != index:
            yield f"task: task({index}) has index {task.index}"
            return
        found = [*_inputs_in_form(stream, task), *_targets_in_form(stream, task)]
        if not np.isfinite(stream.anchor(index)):
            found.append(f"anchor: of task {index} is {stream.anchor(index)}, not a finite number")
        if found:
            yield from found
            return


def _inputs_in_form(stream: Stream, task: Task) -> Iterator[str]:
    n, rows, draws = stream.length(task.index), np.asarray(task.rows), task.draws
    if rows.shape != (n,) or rows.dtype.kind not in "iu":
        found = f"shape {rows.shape} and dtype {rows.dtype}"
        yield f"rows: of task {task.index} have {found}, not {n} whole numbers"
        return
    if rows.min() < 0 or rows.max() >= len(task.inputs):
        yield f"rows: of task {task.index} are not within its {len(task.inputs)} inputs"
        return
    if (draws is None) != (stream.task(0).draws is None):
        yield f"draws: one of tasks 0 and {task.index} has draws and the other none"
        return
    if draws is not None and (draws.shape != (n,) or draws.dtype != np.uint64):
        found = f"shape {draws.shape} and dtype {draws.dtype}"
        yield f"draws: of task {task.index} have {found}, not {(n,)} and uint64"
        return
    shown = _shown(task)
    shape, (low, high) = tuple(stream.inputs_shape), stream.input_range
    if shown.shape[1:] != shape:
        yield f"inputs: of task {task.index} have shape {shown.shape[1:]}, not inputs_shape {shape}"
    elif not np.all((shown >= low) & (shown <= high)):
        span = f"{shown.min():g} to {shown.max():g}"
        yield f"inputs: of task {task.index} are {span}, not within input_range {low:g} to {high:g}"


def _targets_in_form(stream: Stream, task: Task) -> Iterator[str]:
    targets, n = np.asarray(task.targets), stream.length(task.index)
    dtype = np.float32 if stream.classes is None else np.int64
    if targets.shape != (n,) or targets.dtype != dtype:
        yield (
            f"targets: of task {task.index} have shape {targets.shape} and dtype {targets.dtype}, "
            f"not {(n,)} and {np.dtype(dtype)}"
        )
        return
    low, high = (-stream.limit, stream.limit) if stream.classes is None else (0, stream.classes - 1)
    if not np.all((targets >= low) & (targets <= high)):
        span = f"{targets.min():g} to {targets.max():g}"
        bound = "limit" if stream.classes is None else "classes"
        yield (
            f"targets: of task {task.index} are {span}, not within {low:g} to {high:g}, as {bound} "
            "says"
        )


def tasks_are_pure(problem: Problem) -> Iterator[str]:
    """A task depends on stream seed and task index, on nothing else."""
    stream = problem.stream()
    in_order = [_content(stream.task(index)) for index in TASKS]
    stream = problem.stream()
    if not same(_content(stream.task(0)), _content(stream.task(0))):
        yield "task: task(0) asked twice of one stream gives two answers"
        return
    stream = problem.stream()
    if not same(in_order, [_content(stream.task(index)) for index in TASKS]):
        yield "task: two streams of seed 0, both asked for tasks 0 to 3 in order, differ"
        return
    stream, last = problem.stream(), TASKS[-1]
    if not same(_content(stream.task(last)), in_order[last]):
        yield f"task: task({last}) asked first is not what it is after tasks 0, 1 and 2"
        return
    if not same(_content(stream.task(1)), in_order[1]):
        yield f"task: task(1) asked after task({last}) is not what it is after task 0"


def seeds_differ(problem: Problem) -> Iterator[str]:
    """Streams of two seeds are two streams."""
    first, second = ([_content(s.task(k)) for k in TASKS] for s in map(problem.stream, (0, 1)))
    if same(first, second):
        yield "seed: ignored: the streams of seeds 0 and 1 have the same tasks 0 to 3"


def content_hash_covers_tasks(problem: Problem) -> Iterator[str]:
    """Equal hashes mean equal tasks, and the other way round."""
    stream = problem.stream()
    hashes = [stream.content_hash((index,)) for index in TASKS]
    if hashes != [problem.stream().content_hash((index,)) for index in TASKS]:
        yield "content_hash: differs between two streams of one seed"
        return
    contents = [_content(stream.task(index)) for index in TASKS]
    for index in TASKS[1:]:
        if hashes[0] == hashes[index] and not same(contents[0], contents[index]):
            yield (
                f"content_hash: the same for tasks 0 and {index}, which differ; "
                "let the transform be a dataclass of arrays and numbers"
            )
            return


def chunks_agree(problem: Problem) -> Iterator[str]:
    """A span of the stream is the same in one chunk and in parts, whatever was read before."""
    start, n = max(problem.stream().length(0) - 40, 0), 80
    whole = problem.stream().chunk(start, n)
    parts = {"rows": whole.rows, "which": whole.which, "targets": whole.targets}
    for name, array in (parts if whole.draws is None else parts | {"draws": whole.draws}).items():
        if len(array) != n:
            yield f"chunk: chunk({start}, {n}) has {len(array)} {name}, not {n}"
            return
    examples = whole.examples()
    if examples.shape != (n, *problem.stream().inputs_shape) or examples.dtype != np.float32:
        yield f"chunk: its examples have shape {examples.shape} and dtype {examples.dtype}"
        return
    stream, edges = problem.stream(), (0, 1, 8, n)
    for low, high in reversed(list(zip(edges, edges[1:], strict=False))):
        part = stream.chunk(start + low, high - low)
        if not same(part.examples(), examples[low:high]):
            yield f"chunk: the inputs of chunk({start}, {n}) differ from those of its parts"
            return
        if not same(part.targets, np.asarray(whole.targets[low:high])):
            yield f"chunk: the targets of chunk({start}, {n}) differ from those of its parts"
            return


def chunks_are_their_own(problem: Problem) -> Iterator[str]:
    """A chunk outlives the next one, and writing to its arrays changes no later one."""
    stream = problem.stream()
    size = stream.length(0)
    n = min(size, EDGE)
    first = stream.chunk(0, n)
    if not same(first.examples(), stream.chunk(0, n).examples()):
        yield f"chunk: the inputs of chunk(0, {n}) asked twice differ"
        return
    examples, before = first.examples(), (first.examples(), np.array(first.targets))
    stream.chunk(size, n).examples()
    if not same((examples, first.targets), before) or not same(first.examples(), before[0]):
        yield "chunk: the arrays of a chunk changed when the next task was read: a buffer is reused"
        return
    first = stream.chunk(0, n)
    scribble(first.examples(), first.targets, first.rows, first.which, first.draws)
    again = stream.chunk(0, n)
    if not same((again.examples(), again.targets), before):
        yield "chunk: writing to the targets or rows of a chunk changes what is read later"


def targets_are_not_shown(problem: Problem) -> Iterator[str]:
    """No input tells the target: no copy of it, scaled, in another code or one-hot.

    A leak is a column that determines the target in every stretch of the first tasks. A problem
    whose target is meant to be one of its inputs is reported too.
    """
    stream = problem.stream()
    columns = []
    for examples, targets in _stretches(stream):
        if np.all(targets == targets[0]):
            continue  # says nothing
        found = _telling_columns(examples.reshape(len(examples), -1), targets, stream.classes)
        if not found:
            return
        columns.append(found)
    if columns:
        shown = ", ".join(map(str, columns[0][:10]))
        yield (
            f"leak: the target is among the inputs: input {shown} determines it exactly, "
            f"and so in each of {len(columns)} stretches of examples"
        )


def _stretches(stream: Stream) -> Iterator[tuple[Array, Array]]:
    """Yield (examples, targets): one stretch a task, or one over many tasks if they are short."""
    size = stream.length(0)
    for index in range(1 if size < SHORT else max(4, STRETCH // size)):
        n = STRETCH if size < SHORT else min(stream.length(index), STRETCH)
        chunk = stream.chunk(stream.start(index), n)
        yield chunk.examples(), np.asarray(chunk.targets)


def _telling_columns(inputs: Array, targets: Array, classes: int | None) -> list[int]:
    """Return the columns of (n, d) inputs that together or alone determine targets (n,)."""
    copies = np.flatnonzero(np.abs(_correlations(inputs, targets[:, None])[:, 0]) > 1 - 1e-6)
    if len(copies) or classes is None:
        return [int(column) for column in copies]
    labels, first, which = np.unique(targets, return_index=True, return_inverse=True)
    steady = np.flatnonzero((inputs == inputs[first[which]]).all(axis=0))  # within every class
    recoded = [int(c) for c in steady if len(np.unique(inputs[:, c])) == len(labels)]
    if recoded:
        return recoded
    indicators = targets[:, None] == labels
    found = np.abs(_correlations(inputs, indicators)) > 1 - 1e-6
    return [int(c) for c in np.argmax(found, axis=0)] if found.any(axis=0).all() else []


def _correlations(inputs: Array, others: Array) -> Array:
    """Return the correlation of each column of `inputs` with each of `others`; 0 for constants."""
    standard = []
    for array in (inputs, others):
        centred = array - array.mean(axis=0, dtype=np.float64)
        norm = np.linalg.norm(centred, axis=0)
        standard.append(centred / np.where(norm > 1e-9, norm, np.inf))
    result: Array = standard[0].T @ standard[1]
    return result


def _shown(task: Task) -> Array:
    """Return what a task shows at either end, a new float32 array."""
    ends = np.r_[0 : min(EDGE, len(task.rows)), max(len(task.rows) - EDGE, 0) : len(task.rows)]
    chosen = task.inputs[np.asarray(task.rows)[ends]]
    drawn = () if task.draws is None else (task.draws[ends],)
    return np.array(task.transform(chosen, *drawn), dtype=np.float32)


def _content(task: Task) -> list[Array]:
    """Return copies of what a task shows at either end, all its targets, and what is held out."""
    held = [part for part in (task.test, task.validation) if part is not None]
    parts = [part.examples() for part in held] + [np.array(part.targets) for part in held]
    return [_shown(task), np.array(task.targets), *parts]

"""What a stream promises of its protocol: lengths, passes, examples held out, privileges."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, get_args

import numpy as np

from continual_envs.contract.faults import same
from continual_envs.contract.problem import Problem
from continual_envs.core import Held, Scored, Stream, Task

TASKS = range(4)
POSITIONS = range(64)  # tasks whose place in the stream is asked for, without their data
RESERVED = ("target", "task", "task_switch")


def lengths_add_up(problem: Problem) -> Iterator[str]:
    """`start`, `length`, `locate` and `examples_per_task` say the same."""
    stream = problem.stream()
    if (stream.length(0), stream.start(0)) != (stream.examples_per_task, 0):
        yield (
            f"length, start: of task 0 are {stream.length(0)} and {stream.start(0)}, "
            f"not examples_per_task {stream.examples_per_task} and 0"
        )
        return
    for index in POSITIONS:
        start, length = stream.start(index), stream.length(index)
        if length < 1 or stream.start(index + 1) != start + length:
            found = f"starts at {start} and has {length} examples"
            yield f"start: of task {index + 1} is {stream.start(index + 1)}; task {index} {found}"
            return
        for example in (0, length - 1):
            if tuple(stream.locate(start + example)) != (index, example):
                found = f"task and example {stream.locate(start + example)}"
                yield f"locate: position {start + example} is {found}, not {(index, example)}"
                return


def passes_show_the_same(problem: Problem) -> Iterator[str]:
    """A task of several epochs shows each of its rows once a pass."""
    stream = problem.stream()
    if stream.epochs == 1:
        return
    for index in TASKS:
        rows = np.asarray(stream.task(index).rows)
        if len(rows) % stream.epochs:
            yield f"epochs: {stream.epochs} do not divide the {len(rows)} examples of task {index}"
            return
        passes = np.sort(rows.reshape(stream.epochs, -1), axis=1)
        if not np.all(np.diff(passes[0]) > 0):
            yield f"epochs: pass 0 of task {index} shows a row more than once"
            return
        if odd := np.flatnonzero((passes != passes[0]).any(axis=1)).tolist():
            yield f"epochs: pass {odd[0]} of task {index} does not show the rows of pass 0"
            return


def held_out_examples_have_their_form(problem: Problem) -> Iterator[str]:
    """There are test and validation examples where they are needed, such as the stream has."""
    stream = problem.stream()
    if stream.scored not in get_args(Scored):
        yield f"scored: {stream.scored!r} is not one of {', '.join(get_args(Scored))}"
        return
    for index in TASKS:
        task = stream.task(index)
        if stream.scored != "online" and task.test is None:
            yield f"scored: {stream.scored!r} needs test examples; task {index} has none"
        elif stream.reloads and task.validation is None:
            yield f"reloads: needs validation examples; task {index} has none"
        else:
            for name, held in _held(task).items():
                if odd := _odd_form(stream, held):
                    yield f"{name}: {odd} (task {index})"
                    return
            continue
        return


def held_out_examples_are_not_shown(problem: Problem) -> Iterator[str]:
    """What a learner is tested on, selected by and learns from is apart."""
    stream = problem.stream()
    for index in TASKS:
        task = stream.task(index)
        parts = {"the stream": (task.inputs, np.unique(task.rows))}
        parts |= {name: (held.inputs, held.rows) for name, held in _held(task).items()}
        for (one, first), (name, second) in combinations(parts.items(), 2):
            if shared := _shared(first, second):
                found = f"{shared} of {len(second[1])} examples of task {index}"
                yield f"{name}: {found} are also in {one}"
                return


def privileges_are_pure(problem: Problem) -> Iterator[str]:
    """What the protocol tells is named, plain, and a function of task and example."""
    stream = problem.stream()
    points = []
    for index in TASKS:
        length = stream.length(index)
        points += [(index, example) for example in {0, 1, length // stream.epochs, length - 1}]
    points = [(index, example) for index, example in points if example < stream.length(index)]
    told = [stream.privileges(*point) for point in points]
    for point, privileges in zip(points, told, strict=True):
        if odd := _odd_privileges(stream, privileges):
            yield f"privileges: {odd} (task and example {point})"
            return
    for fresh in (stream, problem.stream()):
        for point, privileges in reversed(list(zip(points, told, strict=True))):
            if not same(fresh.privileges(*point), privileges):
                yield f"privileges: of task and example {point} depend on what was asked before"
                return


def _held(task: Task) -> dict[str, Held]:
    parts = {"test": task.test, "validation": task.validation}
    return {name: held for name, held in parts.items() if held is not None}


def _odd_form(stream: Stream, held: Held) -> str | None:
    rows, targets = np.asarray(held.rows), np.asarray(held.targets)
    dtype = np.float32 if stream.classes is None else np.int64
    if rows.ndim != 1 or not len(rows) or rows.dtype.kind not in "iu":
        return f"rows have shape {rows.shape} and dtype {rows.dtype}, not whole numbers (n,)"
    if rows.min() < 0 or rows.max() >= len(held.inputs):
        return f"rows are not within its {len(held.inputs)} inputs"
    if targets.shape != rows.shape or targets.dtype != dtype:
        found = f"shape {targets.shape} and dtype {targets.dtype}"
        return f"targets have {found}, not {rows.shape} and {np.dtype(dtype)}"
    if stream.classes is not None and not np.all((targets >= 0) & (targets < stream.classes)):
        return f"targets are {targets.min()} to {targets.max()}, not within the classes"
    shown, (low, high) = held.examples(), stream.input_range
    if shown.shape != (len(rows), *stream.inputs_shape):
        return f"examples have shape {shown.shape}, not {(len(rows), *stream.inputs_shape)}"
    if not np.all((shown >= low) & (shown <= high)):
        return f"examples are {shown.min():g} to {shown.max():g}, not within input_range"
    return None


def _shared(one: tuple[Any, Any], other: tuple[Any, Any]) -> int:
    """Return how many of `other`'s rows are also `one`'s; each is (inputs, rows).

    Of two arrays it is none unless it is all: data sets do have some images twice.
    """
    (inputs, rows), (others, held) = one, other
    if inputs is others or _address(inputs) == _address(others):
        return int(np.isin(held, rows).sum())
    known = {row.tobytes() for row in inputs[rows]}
    return len(held) * all(row.tobytes() in known for row in others[held])


def _address(array: Any) -> tuple[Any, ...]:
    return array.ctypes.data, array.strides, array.shape[1:], array.dtype


def _odd_privileges(stream: Stream, told: Any) -> str | None:
    if not isinstance(told, dict):
        return f"are {type(told).__name__}, not a dict"
    for key, value in told.items():
        if not isinstance(key, str) or key in RESERVED or key.startswith("_"):
            return f"{key!r} is not a free name"
        if not isinstance(value, bool | int | float | np.ndarray):
            return f"{key!r} is a {type(value).__name__}; give a number or an array"
    if told and not stream.disclosed:
        return f"{', '.join(told)} told, but `disclosed` names nothing"
    return None

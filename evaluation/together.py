"""Runs that differ only in their seed, whose small networks learn as one stack on one device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from agents.engines.graph import GraphLearner
from agents.engines.support import stacks
from evaluation.config import RunConfig
from evaluation.executors import Cell
from evaluation.hold import held
from evaluation.loop import Run
from evaluation.resume import DONE, resumable

SMALL = 256  # units: a device is busy with one network that has a wider hidden layer
Progress = Callable[[int, float], None]


def shares(configs: Sequence[RunConfig]) -> list[list[int]]:
    """Return the runs, as indices, in lists of those that one process makes together.

    They have engine "graph", small networks and the same settings; others are alone. The networks
    for images, whose sizes are fixed, all count as small.
    """
    found: dict[str, list[int]] = {}
    for index, config in enumerate(configs):
        joins = config.engine == "graph" and _is_small(config.agent_settings.get("hidden", []))
        found.setdefault(repr(replace(config, seed=0)) if joins else str(index), []).append(index)
    return list(found.values())


def _is_small(hidden: Any) -> bool:
    return isinstance(hidden, list | tuple) and max(hidden, default=0) <= SMALL


def run_together(cells: Sequence[Cell], progress: Progress = lambda cell, tasks: None) -> None:
    """Run cells of one share, each into its own folder and with the records it has alone.

    Those that were left at the same place go on together, one such group after the other. The
    seconds of a run are those of all that learn with it.

    Args:
        cells: with their folders, made if need be.
        progress: told of the tasks that a cell, given by its place in `cells`, has done.

    Raises:
        ValueError: bad settings, or a damaged folder; nothing has then been written.
    """
    groups: dict[int, list[Run]] = {}
    for index, (config, folder) in enumerate(cells):
        state = resumable(config, folder)
        if state is not DONE:
            run = Run(config, folder, state, partial(progress, index))
            groups.setdefault(run.life.stream_env.clock.examples, []).append(run)
    for runs in groups.values():
        if len(runs) > 1 and stacks(runs[0].life.inside.learner) is None:
            _live(runs)
        else:
            for run in runs:
                run.live()


def _live(runs: Sequence[Run]) -> None:
    """Live all runs from the same place to the same horizon, step by step together."""
    learner = GraphLearner([run.life.inside.learner for run in runs])
    with contextlib.ExitStack() as folders:
        for run, member in zip(runs, learner.members, strict=True):
            run.life.inside = member
            folders.enter_context(held(run.folder))
            run.start()
        while not runs[0].over():
            runs[0].life.settle()  # tells them all
            for run in runs:
                run.measure_if_due()
            n, before = min(run.due() for run in runs), runs[0].life.clock
            chunks = [run.life.stream_env.read(n) for run in runs]
            for run, chunk, said in zip(runs, chunks, learner.update_many(chunks), strict=True):
                run.life.score(chunk, said, run.recorder)
            for run in runs:
                run.life.passed(before, run.recorder)
                run.done()
        for run in runs:
            run.finish()

"""Live progress: bars on a terminal, plain lines elsewhere, and a projection after two seconds."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from continual_envs.control.stream import DriftStream
from continual_envs.core import Stream
from evaluation.config import RunConfig, make_problem

Amount = Callable[[float], float]
REDRAWN = 2  # times a second: a bar for each of many arms takes its time to draw
LEAST = 4000  # weights whose update takes as long as what every update takes besides


class Bars:
    """One bar an arm, advanced by the tasks of its runs.

    Args:
        configs: the cells.
        console: where to write.
    """

    def __init__(self, configs: Sequence[RunConfig], console: Console) -> None:
        self._console = console
        self._configs = configs
        self._done: dict[int, float] = {}
        # Of each cell when, and at how many tasks, its first stretch was over, which may hold a
        # compilation; and the latest.
        self._begun: dict[int, tuple[float, float]] = {}
        self._latest: dict[int, tuple[float, float]] = {}
        self._projected = False
        self._line_due = 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            refresh_per_second=REDRAWN,
        )
        totals: dict[str, int] = {}
        for config in configs:
            totals[self._key(config)] = totals.get(self._key(config), 0) + config.tasks
        self._bars = {key: self._progress.add_task(key, total=n) for key, n in totals.items()}
        self._amounts = amounts(configs)

    def __enter__(self) -> Bars:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop drawing."""
        self._progress.stop()

    def update(self, cell: int, tasks: float) -> None:
        """Take note that `tasks` tasks of cell number `cell` are done.

        What it is told first of a cell was done before, and is left out of projections.
        """
        now = time.monotonic()
        config, before = self._configs[cell], self._done.get(cell)
        self._done[cell] = tasks
        self._progress.advance(self._bars[self._key(config)], tasks - (before or 0))
        if before is None or tasks <= before:
            return
        if cell not in self._begun:
            self._line_due = self._line_due or now + 30
            self._begun[cell] = now, tasks
            return
        self._latest[cell] = now, tasks
        spent = now - min(when for when, _ in self._begun.values())
        if len(self._latest) < len(self._begun):
            return  # of some that are at work it is not known yet how fast
        if spent >= 2 and not self._projected:
            if runs := sum(one > 0 for one in self._ahead()):
                self._projected = True
                text = f"about {self._to_go(spent)} more for {runs} run{'s' if runs > 1 else ''}"
                self._console.print(f"projected: {text}")
        elif now > self._line_due and not self._console.is_terminal:
            self._line_due = now + 30
            whole = self._seconds([amount(one.tasks) for one, amount in self._cells()])
            share = 1 - sum(self._ahead()) / sum(whole)
            self._console.print(f"{share:.0%} done, about {self._to_go(spent)} left")

    def _ahead(self) -> list[float]:
        """Return the seconds that every cell has before it, at the rates of now."""
        return self._seconds(
            [
                max(0.0, amount(one.tasks) - amount(self._done.get(i, 0)))
                for i, (one, amount) in enumerate(self._cells())
            ]
        )

    def _cells(self) -> Iterator[tuple[RunConfig, Amount]]:
        return zip(self._configs, self._amounts, strict=True)

    def _seconds(self, ahead: Sequence[float]) -> list[float]:
        """Return the seconds that an amount of work takes in every cell.

        An arm takes as long as it has taken so far, one that has not begun as long as the others.
        """
        spent: dict[str, float] = {}
        did: dict[str, float] = {}
        for cell, (when, tasks) in self._latest.items():
            begun, before = self._begun[cell]
            key, amount = self._key(self._configs[cell]), self._amounts[cell]
            spent[key] = spent.get(key, 0.0) + when - begun
            did[key] = did.get(key, 0.0) + amount(tasks) - amount(before)
        usual = sum(spent.values()) / sum(did.values())
        rates = {key: spent[key] / did[key] for key in did}
        keys = map(self._key, self._configs)
        return [n * rates.get(key, usual) for n, key in zip(ahead, keys, strict=True)]

    def _to_go(self, spent: float) -> str:
        """Return the time that is left, with as many cells at once as in the `spent` seconds."""
        busy = sum(when - self._begun[cell][0] for cell, (when, _) in self._latest.items())
        return _duration(sum(self._ahead()) * spent / busy)

    @staticmethod
    def _key(config: RunConfig) -> str:
        return f"{config.problem.rpartition('/')[2]}  {config.agent} {config.settings_hash[:4]}"


def amounts(configs: Sequence[RunConfig]) -> list[Amount]:
    """Return for every cell the work of its first tasks, in a unit of its own.

    That is examples times the weights of a perceptron; other networks of one problem count alike.
    """
    streams: dict[str, tuple[Stream | DriftStream, int]] = {}
    found: list[Amount] = []
    for one in configs:
        problem = f"{one.problem} {sorted(one.problem_settings.items())}"
        if problem not in streams:
            env: Any = make_problem(one, privileged=False)
            stream = env.unwrapped.stream
            shape = getattr(stream, "inputs_shape", env.observation_space.shape)
            streams[problem] = stream, math.prod(shape)
            env.close()
        stream, inputs = streams[problem]
        hidden = one.agent_settings.get("hidden")
        if not isinstance(hidden, list | tuple) or not all(type(n) is int for n in hidden):
            hidden = ()  # an agent of somebody else's may mean something else
        weights = sum(a * b for a, b in zip([inputs, *hidden], hidden, strict=False))
        found.append(functools.partial(_amount, stream, LEAST + weights))
    return found


def _amount(stream: Stream | DriftStream, weights: int, tasks: float) -> float:
    if isinstance(stream, DriftStream):
        return weights * tasks * stream.examples_per_task
    whole = int(tasks)
    begun = tasks - whole
    # A task that has not begun may be one behind the end, of which a stream need not know a length.
    return weights * (stream.start(whole) + (begun * stream.length(whole) if begun else 0))


def _duration(seconds: float) -> str:
    """Return seconds in words: "45 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"

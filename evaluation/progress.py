"""Live progress: bars on a terminal, plain lines elsewhere, and a projection after two seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evaluation.config import RunConfig


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
        self._started: float | None = None  # when start-up, with its compilation, was over
        self._now_done = 0.0  # tasks, since then
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
        )
        totals: dict[str, int] = {}
        for config in configs:
            totals[self._key(config)] = totals.get(self._key(config), 0) + config.tasks
        self._bars = {key: self._progress.add_task(key, total=n) for key, n in totals.items()}

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
        if self._started is None:
            self._started, self._line_due = now, now + 30
            return
        self._now_done += tasks - before
        if now - self._started >= 2 and not self._projected:
            if runs := sum(ahead > 0 for ahead in self._ahead()):
                self._projected = True
                text = f"about {self._to_go(now)} more for {runs} run{'s' if runs > 1 else ''}"
                self._console.print(f"projected: {text}")
        elif now > self._line_due and not self._console.is_terminal:
            self._line_due = now + 30
            share = 1 - sum(self._ahead()) / sum(config.tasks for config in self._configs)
            self._console.print(f"{share:.0%} done, about {self._to_go(now)} left")

    def _ahead(self) -> list[float]:
        """Return the tasks that every cell has before it."""
        return [max(0, one.tasks - self._done.get(i, 0)) for i, one in enumerate(self._configs)]

    def _to_go(self, now: float) -> str:
        spent = now - cast(float, self._started)
        return _duration(spent / self._now_done * sum(self._ahead()))

    @staticmethod
    def _key(config: RunConfig) -> str:
        return f"{config.problem.rpartition('/')[2]}  {config.agent} {config.settings_hash[:4]}"


def _duration(seconds: float) -> str:
    """Return seconds in words: "45 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"

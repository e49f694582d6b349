"""Live progress: bars on a terminal, plain lines elsewhere, and a projection after two seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence

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
        self._done = [0.0] * len(configs)
        self._resumed: float | None = None
        self._total = sum(config.tasks for config in configs)
        self._started = time.monotonic()
        self._projected = False
        self._line_due = self._started + 30
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, int] = {}
        self._sums: dict[str, float] = {}
        for config in configs:
            key = self._key(config)
            self._sums[key] = self._sums.get(key, 0) + config.tasks
        for key, total in self._sums.items():
            self._bars[key] = self._progress.add_task(key, total=total)

    def __enter__(self) -> Bars:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop drawing."""
        self._progress.stop()

    def update(self, cell: int, tasks: float) -> None:
        """Take note that `tasks` tasks of cell number `cell` are done."""
        config = self._configs[cell]
        self._progress.advance(self._bars[self._key(config)], tasks - self._done[cell])  # type: ignore[arg-type]
        self._done[cell] = tasks
        share, now = sum(self._done) / self._total, time.monotonic()
        spent = now - self._started
        if spent >= 2 and not self._projected and 0 < share < 1:
            self._projected = True
            text = f"projected: about {_duration(spent / share)} for {len(self._configs)} runs"
            self._console.print(text)
        if not self._console.is_terminal and now > self._line_due:
            self._line_due = now + 30
            self._console.print(f"{share:.0%} done, about {_duration(spent / share - spent)} left")

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

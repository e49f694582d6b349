"""Spreading runs over processes, one torch thread each, with live progress."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Any, Protocol

from evaluation.config import RunConfig

Cell = tuple[RunConfig, Path]


class Monitor(Protocol):
    """Is told how far every cell is."""

    def update(self, cell: int, tasks: float) -> None:
        """Take note that `tasks` tasks of cell number `cell` are done."""


class Silent:
    """Shows nothing."""

    def update(self, cell: int, tasks: float) -> None:
        """Do nothing."""


def execute(cells: Sequence[Cell], jobs: int = 1, monitor: Monitor | None = None) -> None:
    """Run every cell, `jobs` at a time; a cell that fails lets the others finish.

    Raises:
        RuntimeError: some cells failed; the line names the first, its cause is chained.
    """
    monitor = monitor or Silent()
    _tell_what_ended(cells, monitor)
    failures = (
        _in_this_process(cells, monitor) if jobs == 1 else _in_processes(cells, jobs, monitor)
    )
    if failures:
        index, error = failures[0]
        count = f"{len(failures)} of {len(cells)} runs failed"
        raise RuntimeError(f"{count}, first: {cells[index][1]}") from error


def _in_this_process(cells: Sequence[Cell], monitor: Monitor) -> list[tuple[int, BaseException]]:
    failures: list[tuple[int, BaseException]] = []
    with one_thread():
        for share in _shares(cells):
            try:
                _run(share, [cells[index] for index in share], monitor.update)
            except Exception as error:
                failures += [(index, error) for index in share]
            else:
                _tell_end(share, cells, monitor)
    return failures


def _in_processes(
    cells: Sequence[Cell], jobs: int, monitor: Monitor
) -> list[tuple[int, BaseException]]:
    context = multiprocessing.get_context("spawn")
    with _without_interrupts():
        manager = context.Manager()
    with manager:
        reports = manager.Queue()
        with ProcessPoolExecutor(jobs, context, _start_worker, (reports,)) as pool:
            try:
                with _without_interrupts():
                    futures = {
                        pool.submit(_work, share, [cells[index] for index in share]): share
                        for share in _shares(cells)
                    }
                return list(_collect(futures, reports, cells, monitor))
            except BaseException:
                # Else leaving the pool would wait until every run is done.
                for process in list(pool._processes.values()):
                    process.terminate()
                raise


def _collect(
    futures: dict[Future[None], list[int]], reports: Any, cells: Sequence[Cell], monitor: Monitor
) -> Iterator[tuple[int, BaseException]]:
    pending = set(futures)
    while pending:
        done, pending = wait_for(pending, timeout=0.2)
        with contextlib.suppress(queue.Empty):
            while True:
                monitor.update(*reports.get_nowait())
        for future in done:
            share, error = futures[future], future.exception()
            if error is None:
                _tell_end(share, cells, monitor)
            else:
                yield from ((index, error) for index in share)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C passes by, so that this one alone decides what happens."""
    if threading.current_thread() is not threading.main_thread():
        yield  # where no handler can be set
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_reports: Any = None


def _start_worker(reports: Any) -> None:
    global _reports
    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _single_threaded()


def _work(share: list[int], cells: Sequence[Cell]) -> None:
    told = dict.fromkeys(share, 0.0)

    def update(index: int, tasks: float) -> None:
        if time.monotonic() - told[index] > 0.2:
            told[index] = time.monotonic()
            _reports.put((index, tasks))

    _run(share, cells, update)


def _shares(cells: Sequence[Cell]) -> list[list[int]]:
    from evaluation.together import shares

    return shares([config for config, _ in cells])


def _run(share: list[int], cells: Sequence[Cell], update: Callable[[int, float], None]) -> None:
    """Run the cells whose numbers are in `share`."""
    from evaluation.loop import run_one
    from evaluation.together import run_together

    if len(cells) > 1:
        run_together(cells, lambda place, tasks: update(share[place], tasks))
    else:
        run_one(*cells[0], lambda tasks: update(share[0], tasks))


def _tell_what_ended(cells: Sequence[Cell], monitor: Monitor) -> None:
    """Tell of runs that ended before, so that a projection does not wait for their turn."""
    from evaluation.folder import ended

    for index, (config, folder) in enumerate(cells):
        with contextlib.suppress(ValueError):  # said when its turn comes
            if tasks := ended(folder):
                monitor.update(index, min(tasks, config.tasks))


def _tell_end(share: list[int], cells: Sequence[Cell], monitor: Monitor) -> None:
    for index in share:
        monitor.update(index, cells[index][0].tasks)


def _single_threaded() -> None:
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run with one torch thread and denormals flushed, as every worker does; undo it after."""
    import torch

    threads, flushed = torch.get_num_threads(), bool(torch.tensor(1e-38) * 0.1 == 0)
    _single_threaded()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)

"""Live progress: the projection is of the work that is left, from the work done now."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from evaluation import progress
from evaluation.executors import execute
from evaluation.progress import Bars
from tests.evaluation.helpers import NET, SMALL, cell


class _Clock:
    """A stand-in for the time module of `evaluation.progress`."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_the_projection_counts_only_what_is_done_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = _Clock()
    monkeypatch.setattr(progress, "time", clock)
    configs = [cell(tasks=100, seeds=[seed]) for seed in (0, 1, 2)]
    with Bars(configs, Console(stderr=True)) as bars:
        clock.now += 50  # starting processes is not work
        bars.update(0, 100)  # was done before
        bars.update(1, 60)  # was left there
        clock.now += 10
        bars.update(1, 61)  # nor is compiling, which the first stretch may hold
        clock.now += 1
        bars.update(1, 66)
        assert capsys.readouterr().err == ""
        clock.now += 1
        bars.update(1, 71)  # 10 tasks in 2 s; 129 are left
        assert capsys.readouterr().err == "projected: about 26 s more for 2 runs\n"
        bars.update(2, 0)
        clock.now += 29
        bars.update(1, 100)  # 39 tasks in 31 s; 100 are left
        assert capsys.readouterr().err == "67% done, about 1 min 19 s left\n"
        clock.now += 40
        bars.update(2, 100)
        bars.update(2, 120)
    assert "100% done, about 0 s left" in capsys.readouterr().err


def test_runs_that_ended_before_are_told_of_before_any_begins(tmp_path: Path) -> None:
    told: list[tuple[int, float]] = []

    class Noted:
        def update(self, cell: int, tasks: float) -> None:
            told.append((cell, tasks))

    cells = [(cell(tasks=3, seeds=[seed]), tmp_path / str(seed)) for seed in (0, 1, 2)]
    execute([(cell(tasks=5, seeds=[2]), tmp_path / "2")])
    execute([(cell(tasks=2, seeds=[1]), tmp_path / "1")])
    execute(cells, monitor=Noted())
    assert told[:3] == [(1, 2), (2, 3), (0, 0)]


def test_arms_that_have_not_begun_are_projected_by_examples_and_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = _Clock()
    monkeypatch.setattr(progress, "time", clock)
    small, wide = (cell(tasks=10, settings={**NET, "hidden": [n]}) for n in (8, 1000))
    few = cell(tasks=10, problem_settings={**SMALL, "examples_per_task": 32})
    one, more, less = (amount(1) for amount in progress.amounts([small, wide, few]))
    ratio = more / one
    assert ratio == (4000 + 64 * 1000) / (4000 + 64 * 8) and less / one == 0.5
    with Bars([small, wide], Console(stderr=True)) as bars:
        for tasks in (0, 1, 2, 3):
            bars.update(0, tasks)
            clock.now += 2
        said = progress._duration(2 * 8 + 2 * 10 * ratio)  # two seconds a task, eight tasks left
        assert capsys.readouterr().err == f"projected: about {said} more for 2 runs\n"
        bars.update(0, 10)  # the seven tasks in two seconds
        bars.update(1, 0), bars.update(1, 1)
        clock.now += 40
        bars.update(1, 2)  # what it takes itself counts from now on
        assert capsys.readouterr().err.startswith("21% done, about 5 min 20 s")


@pytest.mark.parametrize("hidden", [64, "ab", None, ["a"], [True]])
def test_an_agent_of_anothers_may_mean_something_else_by_hidden(hidden: Any) -> None:
    made = cell()
    other = replace(made, agent_settings={**made.agent_settings, "hidden": hidden})
    (amount,) = progress.amounts([other])
    assert amount(2) == 2 * amount(1) == 2 * 64 * progress.LEAST


def test_several_jobs_are_not_taken_for_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = _Clock()
    monkeypatch.setattr(progress, "time", clock)
    with Bars([cell(tasks=100, seeds=[seed]) for seed in range(8)], Console(stderr=True)) as bars:
        for tasks in range(4):  # four at once, a task every 2.5 s: half of 200 rounds of these
            for job in range(4):
                bars.update(job, tasks)
                clock.now += 0.001
            clock.now += 2.5
    assert capsys.readouterr().err.startswith("projected: about 8 min")


def test_tasks_that_grow_are_projected_by_their_examples() -> None:
    growing: Any = SimpleNamespace(start=lambda i: 5 * i * (i + 1), length=lambda i: 10 * (i + 1))
    done = [progress._amount(growing, 3, tasks) / 30 for tasks in (0, 0.5, 1, 1.5, 2, 4)]
    assert done == [0, 0.5, 1, 2, 3, 10]
    del growing.length  # whole tasks do without, the end of a finite stream among them
    assert progress._amount(growing, 3, 4) == 300


@pytest.mark.parametrize(
    "seconds, words", [(7.2, "7 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert progress._duration(seconds) == words


def test_to_be_told_the_same_again_is_no_work(monkeypatch, capsys):
    clock = _Clock()
    monkeypatch.setattr(progress, "time", clock)
    with Bars([cell(tasks=10)], Console(stderr=True)) as bars:
        for tasks in (0, 1, 1, 1):
            bars.update(0, tasks)
            clock.now += 3
        assert capsys.readouterr().err == ""
        bars.update(0, 2)
    assert capsys.readouterr().err == "projected: about 1 min 12 s more for 1 run\n"


def test_a_bar_is_of_all_seeds_of_an_arm():
    bars = Bars([cell(tasks=10, seeds=[seed]) for seed in (0, 1, 2)], Console(stderr=True))
    assert [bar.total for bar in bars._progress.tasks] == [30]

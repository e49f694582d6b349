"""Live progress: the projection is of the work that is left, from the work done now."""

import pytest
from rich.console import Console

from evaluation import progress
from evaluation.progress import Bars
from tests.evaluation.helpers import cell


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


@pytest.mark.parametrize("seconds, words", [(7.2, "7 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations(seconds: float, words: str) -> None:
    assert progress._duration(seconds) == words

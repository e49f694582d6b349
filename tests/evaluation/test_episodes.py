"""The recorder of episodes: when a bin ends, how long it took, and what is kept over a stop."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import continual_envs
from evaluation.episodes import EpisodeRecorder, Watch
from tests.evaluation.helpers import online


def test_the_seconds_of_a_bin_are_those_of_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def anchor(task: int) -> float:
        now[0] += 50
        return 1.0

    def steps(recorder: EpisodeRecorder, n: int) -> None:
        for _ in range(n):
            now[0] += 1
            recorder.step()

    stream: Any = SimpleNamespace(examples_per_task=20, start=lambda task: 20 * task, anchor=anchor)
    recorder = EpisodeRecorder(tmp_path, stream)
    steps(recorder, 5)
    state = recorder.sync()
    recorder.close()
    now[0] += 1000
    again = EpisodeRecorder(tmp_path, stream)
    again.load_state_dict(state)
    steps(again, 17)
    again.end_task()
    again.close()
    lines = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert [line["seconds"] for line in lines] == [2] * 9 + [4]
    assert [line["examples"] for line in lines] == [*range(2, 20, 2), 22]


def fake(folder: Path, anchor: Any = lambda task: 1.0, updates: Any = lambda: 0) -> EpisodeRecorder:
    stream: Any = SimpleNamespace(
        examples_per_task=20, start=lambda task: 20 * task, length=lambda task: 20, anchor=anchor
    )
    return EpisodeRecorder(folder, stream, updates)


def step(recorder: EpisodeRecorder, n: int) -> None:
    for _ in range(n):
        recorder.step()


def test_episodes_of_a_copy_that_is_ahead_survive_a_stop(tmp_path: Path) -> None:
    recorder = fake(tmp_path)
    recorder.episode(0, 1.0), recorder.episode(1, 5.0)
    state = recorder.sync()
    recorder.close()
    again = fake(tmp_path)
    again.load_state_dict(state)
    step(again, 20), again.end_task(), step(again, 20), again.end_task()
    again.close()
    said = [line["return"] for line in online(tmp_path) if line["episodes"]]
    assert said == [1.0, 5.0]


def test_a_task_that_begins_late_has_bins_up_to_its_nominal_end(tmp_path: Path) -> None:
    recorder = fake(tmp_path)
    step(recorder, 30), recorder.end_task()  # the last copy has moved on half a task late
    step(recorder, 12), recorder.end_task()
    recorder.close()
    ends = [line["examples"] for line in online(tmp_path) if line["task"] == 1]
    assert ends == [*range(31, 40), 42]


def test_an_episode_that_has_just_begun_counts_if_its_task_is_known() -> None:
    watch = Watch(continual_envs.copies("continual_envs/DriftingCartPole-v0", 3))
    watch.tell(0)
    watch._tasks, watch._counts = [1, 2, 1], [False, False, False]
    watch._running = [False, False, True]  # the last began when its task was not known
    watch.tell(1)
    assert watch._counts == [True, False, False]

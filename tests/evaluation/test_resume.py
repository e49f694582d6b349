"""Stopping and going on: a run that was killed at any moment ends as if nothing had happened."""

import json
import multiprocessing
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import evaluation
from agents import registry
from evaluation import loop
from evaluation.config import RunConfig
from evaluation.executors import execute
from evaluation.loop import run_one
from evaluation.resume import DONE, resumable
from tests.evaluation.helpers import (
    DIGITS,
    NET,
    SMALL,
    by_step,
    cell,
    finish,
    live,
    python,
    read,
    records,
    snapshot,
)

KILLS = 10
LONG: dict[str, Any] = {"tasks": 15, "measure_every": 4}
LONG["problem_settings"] = {"batch_size": 4, "examples_per_task": 160}  # four updates a bin
CELLS: dict[str, Callable[..., RunConfig]] = {
    "momentum": lambda **more: cell("backprop", settings={**NET, "momentum": 0.9}, **more),
    "continual-backprop": lambda **more: cell(
        "continual-backprop", settings={**NET, "replacement_rate": 0.05, "maturity": 5}, **more
    ),
    "shrink-perturb": lambda **more: cell("shrink-perturb", **more),
    "dropout": lambda **more: cell("dropout", settings={**NET, "dropout_rate": 0.3}, **more),
    "everything, fused": lambda **more: cell(
        "shrink-perturb+dropout+continual-backprop",
        settings={**NET, "replacement_rate": 0.05, "maturity": 5},
        engine="fused",
        **more,
    ),
    "a plugin by steps": lambda **more: by_step("adam", {"hidden": [8]}, **more),
}


@pytest.mark.parametrize("name", CELLS)
def test_a_longer_horizon_continues_and_equals_one_long_run(name: str, tmp_path: Path) -> None:
    want = live(CELLS[name](tasks=5), tmp_path / "long")
    for tasks in (1, 3, 5):
        got = live(CELLS[name](tasks=tasks), tmp_path / "grown")
        assert got == [line for line in want if line["task"] < tasks]
        assert read(tmp_path / "grown")["tasks"] == tasks
        assert read(tmp_path / "grown", "result.json")["tasks"] == tasks
    assert "resumed" not in read(tmp_path / "grown")


def test_what_is_done_is_left_untouched(tmp_path: Path) -> None:
    run_one(cell(), tmp_path)
    before = snapshot(tmp_path)
    for tasks in (3, 2):
        run_one(cell(tasks=tasks), tmp_path)
        assert resumable(cell(tasks=tasks), tmp_path) is DONE
    assert snapshot(tmp_path) == before


def _often(patch: pytest.MonkeyPatch | None = None) -> None:
    """Checkpoint after every task and every few milliseconds in it."""
    for name, value in (
        ("SAVE_AT_MOST_EVERY", 0.0),
        ("SAVE_AFTER", 0.005),
        ("SAVING", 1e9),
        ("STEPS", 2),
    ):
        if patch:
            patch.setattr(loop, name, value)
        else:
            setattr(loop, name, value)


def _work(config: RunConfig, folder: Path, pipe: Any) -> None:
    """Live, telling where it was left and every twentieth of a task; in a process of its own."""
    _often()
    told = -1.0

    def progress(tasks: float) -> None:
        nonlocal told
        if tasks >= told + 0.05:
            told = tasks
            pipe.send(tasks)

    execute_alone(config, folder, progress)


def execute_alone(config: RunConfig, folder: Path, progress: Callable[[float], None]) -> None:
    from evaluation.executors import one_thread

    with one_thread():
        run_one(config, folder, progress)


@pytest.fixture(scope="module")
def server() -> Any:
    """Processes that start at once, since torch is loaded already."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("no forkserver here")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "tests.evaluation.preloaded"])
    return context


def _start(server: Any, config: RunConfig, folder: Path) -> tuple[Any, Any]:
    """Return a process at work on the cell, and a pipe that says where it is, in tasks."""
    here, there = server.Pipe(duplex=False)
    process = server.Process(target=_work, args=(config, folder, there))
    process.start()
    there.close()
    return process, here


@pytest.mark.parametrize("name", CELLS)
def test_killed_ten_times_it_ends_as_if_undisturbed(name: str, server: Any, tmp_path: Path) -> None:
    config = CELLS[name](**LONG)
    process, _ = _start(server, config, tmp_path / "undisturbed")
    process.join()
    assert process.exitcode == 0
    moments = random.Random(name)
    folder, starts = tmp_path / "killed", []
    for _ in range(KILLS):
        process, pipe = _start(server, config, folder)
        starts.append(pipe.recv())
        further = moments.uniform(0, 1.5 * config.tasks / KILLS)
        while pipe.recv() < min(starts[-1] + further, 0.9 * config.tasks):
            pass
        process.kill()
        process.join()
        assert process.exitcode == -9, "it was too quick to be killed"
    assert max(starts) > 1, "it never went on from a checkpoint"
    process, _ = _start(server, config, folder)
    process.join()
    assert process.exitcode == 0
    assert records(folder) == records(tmp_path / "undisturbed")
    assert read(folder) == read(tmp_path / "undisturbed")
    names = {"config.json", "records.jsonl", "checkpoint.pt", "result.json"}
    assert {path.name for path in folder.iterdir()} == names


SLOWLY = """
import sys, time
from evaluation import loop
loop.SAVE_AFTER, loop.STEPS = 0.0, 1
add = loop.Recorder.add
loop.Recorder.add = lambda *arguments: (time.sleep(0.02), add(*arguments))
from continual_envs.__main__ import main
sys.argv = ["continual-envs", *sys.argv[1:]]
sys.exit(main())
"""


def test_killed_on_the_command_line_it_goes_on(tmp_path: Path) -> None:
    line = ["run", DIGITS, "--agent", "backprop", "--set", "hidden=[8]", "momentum=0.9"]
    line += ["--problem-set", "batch_size=16", "examples_per_task=64", "--tasks", "12"]
    config = cell(settings={"hidden": [8], "momentum": 0.9}, engine="auto")
    folder = config.folder(tmp_path)
    process = python("-c", SLOWLY, *line, "--out", str(tmp_path))
    deadline = time.monotonic() + 60
    while _lines(folder) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert (folder / "checkpoint.pt").exists() and not (folder / "result.json").exists()
    code, out, err = finish(python("-c", SLOWLY, *line, "--out", str(tmp_path)))
    assert code == 0 and str(folder) in out and "starts over" not in err
    assert records(folder) == live(replace(config, tasks=12), tmp_path / "whole")


def _lines(folder: Path) -> int:
    path = folder / "records.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_plugin_that_cannot_be_saved_starts_over_and_says_so(tmp_path: Path) -> None:
    config = by_step("backprop", NET | {"momentum": 0.5})
    settings = config.agent_settings | {"saves": False}
    arguments: dict[str, Any] = {"settings": settings, "problem_settings": SMALL, "out": tmp_path}
    (folder,) = evaluation.run(DIGITS, config.agent, tasks=2, **arguments)
    assert not (folder / "checkpoint.pt").exists()
    with pytest.warns(UserWarning, match="no checkpoint; starts over"):  # it has to, to go on
        evaluation.run(DIGITS, config.agent, tasks=3, **arguments)
    want = live(config, tmp_path / "saves")
    assert records(folder) == want
    (folder / "result.json").unlink()  # as if it had been killed
    with open(folder / "records.jsonl", "a") as file:
        file.write('{"kind": "online", "ta')
    with pytest.warns(UserWarning, match="no checkpoint; starts over"):
        evaluation.run(DIGITS, config.agent, tasks=3, **arguments)
    assert records(folder) == want
    before = snapshot(tmp_path)
    evaluation.run(DIGITS, config.agent, tasks=3, **arguments)  # without a warning
    assert snapshot(tmp_path) == before


def test_a_run_that_has_ended_is_not_begun_again_for_want_of_a_checkpoint(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"settings": NET, "problem_settings": SMALL, "out": tmp_path}
    (folder,) = evaluation.run(DIGITS, "backprop", tasks=2, **arguments)
    (folder / "checkpoint.pt").unlink()
    before = snapshot(tmp_path)
    evaluation.run(DIGITS, "backprop", tasks=2, **arguments)
    with pytest.raises(ValueError, match="has ended and has no checkpoint to go on from; [^\n]+$"):
        evaluation.run(DIGITS, "backprop", tasks=3, **arguments)
    assert snapshot(tmp_path) == before


def test_a_state_that_could_not_be_read_again_fails_the_run(tmp_path: Path) -> None:
    config = cell("tests.evaluation.plugins:unsavable")
    with pytest.raises(RuntimeError, match="1 of 1 runs failed") as caught:
        execute([(config, tmp_path / "run")])
    assert "PCG64 cannot be saved" in str(caught.value.__cause__)
    assert not (tmp_path / "run" / "result.json").exists()


def test_one_failed_run_lets_the_others_finish(tmp_path: Path) -> None:
    bad, good = cell("tests.evaluation.plugins:unsavable"), cell()
    with pytest.raises(RuntimeError, match="1 of 2 runs failed, first: .*bad"):
        execute([(bad, tmp_path / "bad"), (good, tmp_path / "good")])
    assert read(tmp_path / "good", "result.json")["finished"]


def test_a_smaller_horizon_ends_where_the_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _often(monkeypatch)
    _interrupted(cell(tasks=9), tmp_path, at=5.5)
    run_one(cell(tasks=2), tmp_path)
    assert read(tmp_path, "result.json")["tasks"] == read(tmp_path)["tasks"] == 5
    want = live(cell(tasks=6), tmp_path / "whole")
    run_one(cell(tasks=6), tmp_path)
    assert records(tmp_path) == want


def test_a_run_that_goes_on_is_not_done_until_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_one(cell(tasks=2), tmp_path)
    _often(monkeypatch)
    _interrupted(cell(tasks=6), tmp_path, at=4.2)
    assert not (tmp_path / "result.json").exists() and read(tmp_path)["tasks"] == 6
    assert records(tmp_path)[-1]["task"] == 4
    assert live(cell(tasks=6), tmp_path) == live(cell(tasks=6), tmp_path / "whole")
    assert read(tmp_path, "result.json")["tasks"] == 6


def _interrupted(config: RunConfig, folder: Path, at: float) -> None:
    def progress(tasks: float) -> None:
        if tasks >= at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_one(config, folder, progress)


def test_config_keeps_what_it_said_and_adds_what_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_one(cell(tasks=1), tmp_path)
    first = read(tmp_path)
    from evaluation import description

    newer = description.versions() | {"torch": "9.9"}
    monkeypatch.setattr(description, "versions", lambda more: newer)
    for tasks in (2, 3):
        run_one(cell(tasks=tasks), tmp_path)
        resumed = [{"task": 1, "versions": newer}]
        assert read(tmp_path) == first | {"tasks": tasks, "resumed": resumed}


def test_a_stream_that_shows_something_else_is_not_continued(tmp_path: Path) -> None:
    run_one(cell(tasks=1), tmp_path)
    config = read(tmp_path) | {"content_hash": "0" * 64}
    (tmp_path / "config.json").write_text(json.dumps(config))
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="no longer shows"):
        run_one(cell(tasks=2), tmp_path)
    assert snapshot(tmp_path) == before


METHOD = """
class Shrink:
    def __init__(self, *, by=0.9):
        self.by = by  # a comment
    def attach(self, network):
        self.network = network
    def after_step(self, batch):
        for one in self.network.params.values():
            one.mul_(self.by)
"""


def test_what_a_changed_plugin_has_run_is_neither_shown_as_its_own_nor_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    plugin, agent = tmp_path / "shrinking.py", "l2+shrinking:Shrink"

    def write(code: str) -> None:
        """Write the module as for another process, which imports it anew."""
        plugin.write_text(code)
        sys.modules.pop("shrinking", None)
        registry._code.cache_clear()

    write(METHOD)
    one, other = (cell(agent, tasks=2, seeds=[seed]) for seed in (0, 1))
    run_one(one, tmp_path / "0")
    ((name, code),) = read(tmp_path / "0")["plugins"].items()
    assert name == "shrinking:Shrink" and len(code) == 12
    write(METHOD.replace("a comment", "another"))
    assert resumable(one, tmp_path / "0") is DONE
    plugin.write_text(METHOD.replace("mul_", "add_"))
    assert resumable(one, tmp_path / "0") is DONE, "in this process it is still the old one"
    write(METHOD.replace("mul_", "add_"))
    for tasks in (2, 3):
        with pytest.raises(ValueError, match="the code of shrinking:Shrink has changed since"):
            run_one(cell(agent, tasks=tasks), tmp_path / "0")
    run_one(other, tmp_path / "1")
    (score,) = evaluation.score(evaluation.load(tmp_path))
    assert f"the code of {agent} changed between seeds" in score.notes


def test_checkpoints_that_take_long_are_rare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_AT_MOST_EVERY", 0.0)
    saves: list[float] = []
    save = loop.Run._save

    def slow(run: loop.Run) -> None:
        saves.append(time.perf_counter())
        time.sleep(0.5)  # fifty times as long have to lie between two
        save(run)

    monkeypatch.setattr(loop.Run, "_save", slow)
    run_one(cell(tasks=12), tmp_path / "slow")
    assert len(saves) == 2, "the first, and that of the end"
    monkeypatch.setattr(loop.Run, "_save", lambda run: saves.append(0.0) or save(run))
    monkeypatch.setattr(loop, "SAVING", 1e9)
    run_one(cell(tasks=12), tmp_path / "fast")
    assert len(saves) == 2 + 12 + 1


def test_code_that_cannot_be_read_has_no_hash() -> None:
    assert registry.sources("l2+time:sleep") == registry.sources("l2+redo") == {}
    assert set(registry.sources(f"l2+{__name__}:registry.load")) == {f"{__name__}:registry.load"}


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    run_one(cell(), tmp_path)
    before = snapshot(tmp_path)
    for other in (cell("l2"), cell(seeds=[1])):
        with pytest.raises(ValueError, match="holds another run"):
            run_one(other, tmp_path)
    assert snapshot(tmp_path) == before

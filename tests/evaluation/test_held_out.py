"""Held-out examples: looked at after every pass, scored as the problem says, never learned from."""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation import checkpoint, loop
from evaluation.export import export_rows
from evaluation.life import Life
from evaluation.loop import run_one
from evaluation.records import losses
from evaluation.runs import load
from evaluation.scores import score
from tests.evaluation.folders import write_run
from tests.evaluation.helpers import by_step, cell, live, read, records
from tests.evaluation.test_runs import one, refusal, rewrite
from tests.evaluation.test_scores import by_label
from tests.problems import SMALL

PLUGINS = "tests.evaluation.plugins"
NET = {"network": "mlp", "hidden": [8], "step_size": 0.05, "momentum": 0.9}


def image_cell(problem: str, agent: str = "backprop", **more: Any) -> Any:
    return cell(agent, **arguments(problem, **more))


def arguments(problem: str, **more: Any) -> dict[str, Any]:
    settings = {**SMALL[problem], "batch_size": 8, "disclosure": "signalled"}
    return {"problem": problem, "problem_settings": settings, "settings": NET, "tasks": 2} | more


def write_tests(folder: Path, rows: list[list[float]], scored: str) -> None:
    """Add a test line after every bin."""
    config = read(folder) | {"scored": scored}
    (folder / "config.json").write_text(json.dumps(config))
    lines = []
    for line in records(folder):
        lines.append(line)
        values = rows[line["task"]]
        if line["kind"] == "online" and line["bin"] < len(values):
            same = {key: line[key] for key in ("task", "bin", "updates", "examples")}
            lines.append({"kind": "test", "accuracy": values[line["bin"]], "loss": None, **same})
    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("problem", ["ProceduralPairs-v0", "IncrementalCIFAR100-v0"])
def test_a_test_after_every_pass_in_its_place(problem: str, tmp_path: Path) -> None:
    kinds = [record["kind"] for record in live(image_cell(problem), tmp_path)]
    looks = ["test", "validation"] if "CIFAR" in problem else ["test"]
    assert kinds == ["measure", *["online", *looks] * 3] * 2
    lines = records(tmp_path)
    for kind in ("online", *looks):
        places = [(line["task"], line["bin"]) for line in lines if line["kind"] == kind]
        assert places == [(task, bin) for task in range(2) for bin in range(3)]


def test_what_a_test_says_is_what_the_learner_predicts(tmp_path: Path) -> None:
    config = image_cell("ProceduralPairs-v0")
    run_one(config, tmp_path)
    twin = Life(config)
    held = twin.stream_env.stream.task(0).test
    assert held is not None
    for record in (line for line in records(tmp_path) if line["kind"] == "test"):
        if record["task"] == 0:
            twin.settle()
            twin.inside.update_many(twin.stream_env.read(16))
            said = twin.inside.predict(held.examples())
            assert record["accuracy"] == np.mean(said.argmax(1) == held.targets)
            assert record["loss"] == losses(said, held.targets, 2).mean()


@pytest.mark.parametrize("problem", ["ProceduralPairs-v0", "IncrementalCIFAR100-v0"])
@pytest.mark.parametrize("agent", ["backprop", "fresh", "head-reset"])
def test_both_ways_of_living_hold_out_alike(problem: str, agent: str, tmp_path: Path) -> None:
    more = arguments(problem)
    settings = more.pop("settings")
    chunks = cell(agent, settings=settings, **more)
    want = live(chunks, tmp_path / "chunks")
    assert live(by_step(agent, settings, **more), tmp_path / "steps") == want


@pytest.mark.parametrize("problem", ["ProceduralPairs-v0", "IncrementalCIFAR100-v0"])
def test_stopped_after_any_task_it_goes_on(problem: str, tmp_path: Path) -> None:
    whole = live(image_cell(problem, "fresh", tasks=3), tmp_path / "whole")
    for tasks in (1, 2, 3):
        run_one(image_cell(problem, "fresh", tasks=tasks), tmp_path / "parts")
    parts = [{k: v for k, v in r.items() if k != "seconds"} for r in records(tmp_path / "parts")]
    assert parts == [{k: v for k, v in record.items() if k != "seconds"} for record in whole]


@pytest.mark.parametrize("problem", ["ProceduralPairs-v0", "IncrementalCIFAR100-v0"])
def test_killed_anywhere_in_a_task_it_goes_on(
    problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best parameters so far, the pass and its step size are of the middle of a task."""
    settings = NET | {"step_size": 1.0, "momentum": 0.9, "decay_epochs": [1]}
    config = image_cell(problem, "backprop", tasks=2, settings=settings)
    want = live(config, tmp_path / "whole")
    for name, value in (("SAVE_AFTER", 0.0), ("SAVE_AT_MOST_EVERY", 0.0), ("STEPS", 1)):
        monkeypatch.setattr(loop, name, value)
    places = []
    while not (tmp_path / "parts" / "result.json").exists():
        told: list[float] = []

        def stop(tasks: float, told: list[float] = told) -> None:
            told.append(tasks)  # first where it was left
            if len(told) == 3:
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            run_one(config, tmp_path / "parts", stop)
        places.append(told[0] % 1)
    assert len({place for place in places if place}) >= 2
    parts = [{k: v for k, v in r.items() if k != "seconds"} for r in records(tmp_path / "parts")]
    assert parts == [{k: v for k, v in record.items() if k != "seconds"} for record in want]


def test_the_parameters_that_did_best_on_validation_come_back(tmp_path: Path) -> None:
    config = image_cell("IncrementalCIFAR100-v0", tasks=1, settings=NET | {"step_size": 2.0})
    life, recorded = Life(config), []

    class Recorder:
        def add(self, *_: Any) -> None:
            pass

        def held_out(self, kind: str, outcome: float, loss: float) -> None:
            recorded.append((kind, outcome, loss, life.inside.snapshot()))

    for _ in range(3):
        life.settle()
        life.advance(16, Recorder())  # type: ignore[arg-type]
    looks = [(outcome, state) for kind, outcome, _, state in recorded if kind == "validation"]
    best = max(looks, key=lambda look: look[0])[1]  # the first of equals
    now = life.inside.snapshot()
    assert same(now, best)
    assert any(not same(now, state) for _, state in looks)


def test_without_early_stopping_nothing_comes_back() -> None:
    config = image_cell("IncrementalCIFAR100-v0")
    config.problem_settings["early_stopping"] = False
    life = Life(config)
    assert not life.stream_env.stream.reloads
    assert life.unused() == []


def test_what_an_agent_cannot_take_is_written_down(tmp_path: Path) -> None:
    run_one(image_cell("IncrementalCIFAR100-v0"), tmp_path / "ours")
    assert read(tmp_path / "ours")["protocol"] == ["epoch", "seen", "validation"]
    assert read(tmp_path / "ours")["unused"] == []
    plugin = "tests.evaluation.plugins:last_label"
    run_one(cell(plugin, **arguments("IncrementalCIFAR100-v0", settings={})), tmp_path / "theirs")
    assert read(tmp_path / "theirs")["unused"] == ["validation"]
    assert "test" in [record["kind"] for record in records(tmp_path / "theirs")]


ENGINES = [
    ("ProceduralPairs-v0", "fused", "'torch' or 'graph'"),
    ("IncrementalCIFAR100-v0", "fused", "'torch'"),
    ("IncrementalCIFAR100-v0", "graph", "'torch'"),
]


@pytest.mark.parametrize(("problem", "engine", "needed"), ENGINES)
def test_not_every_engine_knows_these_protocols(problem: str, engine: str, needed: str) -> None:
    said = f"^engine: '{engine}' is not allowed; this problem needs {needed}$"
    with pytest.raises(ValueError, match=said):
        Life(image_cell(problem, engine=engine))


def test_outcome_is_of_the_examples_the_problem_scores(tmp_path: Path) -> None:
    rows = [[0.2, 0.9, 0.7], [0.5, 0.6, 0.4]]
    wanted = {"online": [0.1, 0.3], "last test": [0.7, 0.4], "best test": [0.9, 0.6]}
    for seed, (scored, outcome) in enumerate(wanted.items()):
        folder = write_run(tmp_path, [0.1, 0.3], bins=3, bins_per_task=3, seed=seed)
        write_tests(folder, rows, scored)
        (run,) = load(folder)
        assert (run.scored, run.outcome.tolist()) == (scored, pytest.approx(outcome))
        assert run.online.tolist() == pytest.approx([0.1, 0.3])
        assert run.test is not None and run.test.tolist() == rows
        row = export_rows([run])[1]
        assert (row["online_accuracy"], row["last_test_accuracy"]) == pytest.approx((0.3, 0.4))
        assert row["best_test_accuracy"] == 0.6


def test_a_task_that_was_stopped_before_its_last_test_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [0.1, 0.3], bins=3, bins_per_task=3, finished=False)
    write_tests(folder, [[0.2, 0.9, 0.7], [0.5, 0.6]], "last test")
    (run,) = load(folder)
    assert run.outcome.tolist() == [0.7]


def test_passes_until_as_good_as_fresh(tmp_path: Path) -> None:
    slow, never, quick = [0.5, 0.6, 0.8], [0.5, 0.5, 0.5], [0.8, 0.8, 0.8]
    for agent, rows in (("backprop", [slow] * 9 + [never]), ("fresh", [quick] * 10)):
        for seed in range(3):
            more: dict[str, Any] = {"reference": agent} if agent == "fresh" else {}
            rows = [[0.77] * 3] * 9 + [slow] if agent == "backprop" and seed == 2 else rows
            folder = write_run(
                tmp_path, [0.5] * 10, agent=agent, seed=seed, bins=3, bins_per_task=3, **more
            )
            write_tests(folder, rows, "last test")
    scores = {one.label: one for one in score(load(tmp_path))}
    own = scores["backprop"].passes_to_fresh
    assert own.estimate == pytest.approx(3.0)  # two never got there, one at the last pass
    assert own.note == "2 of 3 tasks never got there"
    assert scores["fresh"].passes_to_fresh.estimate == 1


def passes(root: Path, own: Any, fresh: Any, seeds: int = 3, of_fresh: int = 3) -> Any:
    """Return the passes to fresh of seeds that test the same in ten tasks of three passes."""
    for agent, rows, n in (("backprop", own, seeds), ("fresh", fresh, of_fresh)):
        for seed in range(n):
            more: dict[str, Any] = {"reference": agent} if agent == "fresh" else {}
            folder = write_run(
                root, [0.5] * 10, agent=agent, seed=seed, bins=3, bins_per_task=3, **more
            )
            write_tests(folder, [rows[seed] if isinstance(rows, dict) else rows] * 10, "last test")
    return {one.label: one for one in score(load(root))}["backprop"].passes_to_fresh


@pytest.mark.parametrize(
    ("own", "want"),
    [
        ([0.74, 0.76, 0.9], 2),  # 95 % of what fresh ends with, and that is enough
        ([0.5, 0.75, 0.9], 3),
        ([0.75, 0.75, 0.75], 3),  # never
    ],
)
def test_fresh_is_reached_at_95_percent_of_what_it_ends_with(
    own: list[float], want: float, tmp_path: Path
) -> None:
    own = [0.95 * 0.8 if one == 0.76 else one for one in own]
    assert passes(tmp_path, own, [0.9, 0.7, 0.8]).estimate == want


def test_passes_to_fresh_stay_within_the_passes_and_say_what_is_missing(tmp_path: Path) -> None:
    one, last = [0.8] * 3, [0.5, 0.5, 0.8]
    cut = passes(tmp_path / "cut", {0: one, 1: last, 2: last}, one)
    assert cut.estimate == pytest.approx(7 / 3) and (cut.low, cut.high) == (1.0, 3.0)
    few = passes(tmp_path / "few", one, one, seeds=5)
    assert few.n == 3 and few.note == "3 of 5 seeds are also in fresh"
    unknown = passes(tmp_path / "unknown", one, {0: one, 1: [0.5, 0.5, None], 2: one})
    assert unknown.estimate is None and unknown.note


HELD_VALUES = "tests.evaluation.plugins:mine/HeldValues-v0"


def looks_of(life: Life, outcomes: list[float], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Live through a pass for each outcome, which is what validation then says; return states."""
    states = []
    for outcome in outcomes:
        said = iter([(0.0, 0.0), (outcome, outcome)])  # test, validation
        monkeypatch.setattr(life, "_test", lambda held, said=said: next(said))
        monkeypatch.setattr(life.inside, "rewind", lambda state: None)
        life.settle()
        life.advance(20, Silent())  # type: ignore[arg-type]
        states.append(life.inside.snapshot())
    return states


class Silent:
    """A recorder that records nothing."""

    def add(self, *_: Any) -> None:
        pass

    held_out = add


@pytest.mark.parametrize(
    "outcomes, best", [([3.0, 1.0], 1), ([np.nan, 9.0], 1), ([2.0, np.nan], 0), ([1.0, 1.0], 0)]
)
def test_the_smallest_error_is_the_best_and_what_is_not_finite_never(
    outcomes: list[float], best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(cell(problem=HELD_VALUES, problem_settings={}, settings={"step_size": 0.003}))
    states = looks_of(life, outcomes, monkeypatch)
    assert life._best is not None and same(life._best[1], states[best])


def test_the_best_test_of_an_error_is_the_smallest(tmp_path: Path) -> None:
    config = cell(problem=HELD_VALUES, problem_settings={}, settings={"step_size": 0.003}, tasks=2)
    run_one(config, tmp_path)
    (run,) = load(tmp_path)
    assert run.test is not None and run.test.shape == (2, 3)
    assert run.outcome.tolist() == run.test.min(axis=1).tolist()


def test_a_task_that_diverged_keeps_its_place(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [0.1, 0.3, 0.2], bins=3, bins_per_task=3)
    write_tests(folder, [[0.2, 0.9, 0.7], [None] * 3, [0.5, 0.6, 0.4]], "best test")  # type: ignore[list-item]
    (run,) = load(folder)
    np.testing.assert_array_equal(run.outcome, [0.9, np.nan, 0.6])


def test_one_pass_is_one_test_whatever_the_bins(tmp_path: Path) -> None:
    config = cell(
        problem=HELD_VALUES, problem_settings={"passes": 1}, settings={"step_size": 0.003}, tasks=2
    )
    run_one(config, tmp_path)
    (run,) = load(tmp_path)
    assert run.test is not None and run.test.shape == (2, 1)
    assert len([r for r in records(tmp_path) if r["kind"] == "online"]) == 20


def test_tasks_have_as_many_bins_as_the_first(tmp_path: Path) -> None:
    config = image_cell("IncrementalCIFAR100-v0")
    config.problem_settings["epochs"] = 1  # 2 steps, then 4
    run_one(config, tmp_path)
    (run,) = load(tmp_path)
    assert run.config["bins_per_task"] == 2 and len(run.outcome) == 2


def test_runs_that_are_scored_otherwise_are_not_compared(tmp_path: Path) -> None:
    for agent, scored in (("backprop", "last test"), ("fresh", "online")):
        more: dict[str, Any] = {"reference": "fresh"} if agent == "fresh" else {}
        folder = write_run(tmp_path, [0.5] * 10, agent=agent, bins=3, bins_per_task=3, **more)
        write_tests(folder, [[0.8] * 3] * 10, scored)
    own = next(one for one in score(load(tmp_path)) if one.label == "backprop")
    assert own.plasticity.note == "no `fresh` runs among these"


def test_an_agent_made_of_a_learner_is_tested_too(tmp_path: Path) -> None:
    run_one(cell(f"{PLUGINS}:actor", **arguments("ProceduralPairs-v0", settings={})), tmp_path)
    assert [r["kind"] for r in records(tmp_path)].count("test") == 6


@pytest.mark.parametrize("engine", ["fused", "graph"])
def test_an_engine_that_cannot_go_back_is_refused(engine: str) -> None:
    with pytest.raises(ValueError, match=f"^engine: '{engine}' is not allowed"):
        Life(cell(problem=HELD_VALUES, problem_settings={}, settings={}, engine=engine))
    assert Life(cell(problem=HELD_VALUES, problem_settings={}, settings={})).engine == "torch"


def test_a_checkpoint_of_an_older_version_is_refused_in_one_line(tmp_path: Path) -> None:
    config = image_cell("ProceduralPairs-v0", tasks=1)
    run_one(config, tmp_path)
    state = checkpoint.load(tmp_path / "checkpoint.pt")
    del state["life"]["best"]
    checkpoint.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="of an older version, [^\n]+$"):
        run_one(image_cell("ProceduralPairs-v0", tasks=2), tmp_path)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[k].equal(other[k]) for k in one)


def test_a_pass_that_diverged_does_not_hide_the_best(tmp_path):
    folder = write_run(tmp_path, [0.1, 0.3], bins=3, bins_per_task=3)
    write_tests(folder, [[0.2, None, 0.7], [0.5, 0.6, None]], "best test")
    np.testing.assert_array_equal(one(folder).outcome, [0.7, 0.6])


def test_what_is_scored_on_tests_has_no_task_without_one(tmp_path):
    folder = write_run(tmp_path, [0.5, 0.6], bins=3, scored="last test", finished=False)
    assert len(one(folder).tasks) == 0


def test_a_pass_without_a_test_is_nan(tmp_path):
    folder = write_run(tmp_path, [0.5, 0.6], bins=3)
    write_tests(folder, [[0.2, 0.4, 0.7], [0.5, 0.6, 0.4]], "last test")
    rewrite(
        folder,
        lambda lines: [x for x in lines if (x["kind"], x["task"], x["bin"]) != ("test", 1, 1)],
    )
    np.testing.assert_array_equal(one(folder).test, [[0.2, 0.4, 0.7], [0.5, np.nan, 0.4]])


def test_a_task_tested_twice(tmp_path):
    folder = write_run(tmp_path, [0.5], bins=3)
    write_tests(folder, [[0.2, 0.4, 0.7]], "last test")
    rewrite(folder, lambda lines: [*lines, lines[-1]])
    assert refusal(folder).endswith("line 7: task 0 is already tested above")


def test_passes_to_fresh_are_of_the_tasks_that_both_have(tmp_path):
    for agent, rows in (
        ("backprop", [[0.5, 0.8]] * 10 + [[0.8, 0.8]] * 10),
        ("fresh", [[0.8] * 2] * 10),
    ):
        more: dict[str, Any] = {"reference": agent} if agent == "fresh" else {}
        folder = write_run(
            tmp_path, [0.5] * len(rows), agent=agent, bins=2, bins_per_task=2, **more
        )
        write_tests(folder, rows, "last test")
    assert by_label(tmp_path)["backprop"].passes_to_fresh.estimate == 2


def test_passes_to_fresh_are_not_of_errors(tmp_path):
    for agent in ("backprop", "fresh"):
        more: dict[str, Any] = {"reference": agent} if agent == "fresh" else {}
        folder = write_run(tmp_path, [0.5] * 10, agent=agent, bins=2, outcome="error", **more)
        write_tests(folder, [[0.8, 0.2]] * 10, "last test")
    own = by_label(tmp_path)["backprop"].passes_to_fresh
    assert (own.estimate, own.note) == (None, "only where higher is better")

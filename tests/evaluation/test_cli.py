"""The command line: what each command prints and writes."""

import csv
import json
import os
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from agents import registry
from evaluation import cli, loop
from evaluation.config import problem_ids
from evaluation.studies import load_study, names
from tests.evaluation.helpers import DIGITS, cell, finish, python, records, snapshot

TINY = ["--set", "hidden=[8]", "step_size=0.1"]
TINY += ["--problem-set", "batch_size=16", "examples_per_task=64"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(capsys: Capture, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run a command that must exit with the code; return what it printed."""
    capsys.readouterr()
    got = cli.main(arguments)
    out, err = capsys.readouterr()
    assert got == code, err
    return out, err


def run(capsys: Capture, agent: str, *more: str) -> tuple[str, str]:
    tasks = [] if "--tasks" in more else ["--tasks", "3"]
    return said(capsys, "run", DIGITS, "--agent", agent, *TINY, *tasks, *more)


def test_version_is_that_of_the_installed_package(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"continual-envs {metadata.version('continual-envs')}\n"


def test_list_names_everything(capsys: Capture) -> None:
    out, _ = said(capsys, "list")
    shown = {line.strip() for line in out.splitlines()}
    short = {id.removeprefix("continual_envs/") for id in problem_ids()}
    assert shown >= short | set(registry.names()) | set(registry.METHODS) | set(names())
    assert {"problems:", "agents:", "methods:", "studies:"} <= shown
    kinds = {"problems": DIGITS, "agents": "backprop", "methods": "l2", "studies": "quick"}
    for kind, example in kinds.items():
        out, _ = said(capsys, "list", kind)
        assert example in out.splitlines()
    out, _ = said(capsys, "list", "methods")
    assert out.splitlines() == list(registry.METHODS)


def test_list_shows_settings_with_their_defaults_and_choices(capsys: Capture) -> None:
    problems = said(capsys, "list", "problems", "-v")[0]
    assert "permute = 'pixels'  (pixels, labels, both)\n" in problems
    assert "flip = None  (one, all)\n" in problems and "num_tasks = None\n" in problems
    agents = said(capsys, "list", "agents", "-v")[0]
    assert "step_size = 0.01" in agents and "dropout_rate = 0.03" in agents
    methods = said(capsys, "list", "methods", "-v")[0]
    assert "weight_decay = 0.001" in methods and "step_size" not in methods
    assert "digits" in said(capsys, "list", "studies", "-v")[0]
    assert said(capsys, "list", "-v")[0].count("\n") > 50


def test_run_writes_folders_and_prints_scores_and_where_they_are(capsys: Capture) -> None:
    out, err = run(capsys, "backprop", "--seeds", "0,2", "--out", "here")
    folders = [cell(seeds=[seed]).folder("here") for seed in (0, 2)]
    assert out.splitlines()[-2:] == [str(folder) for folder in folders]
    assert "backprop" in out and "Plasticity" in out and err == ""
    assert all((folder / "result.json").exists() for folder in folders)
    before = snapshot(Path("here"))
    again, _ = run(capsys, "backprop", "--seeds", "0,2", "--out", "here")
    assert again == out and snapshot(Path("here")) == before
    run(capsys, "backprop", "--seeds", "0,2", "--out", "here", "--tasks", "4")
    assert records(folders[0])[-1]["task"] == 3


def test_a_plugin_that_starts_over_says_so(capsys: Capture) -> None:
    agent = "tests.evaluation.plugins:last_label"
    line = ["run", DIGITS, "--agent", agent, "--problem-set", "batch_size=16", "--set", "first=1"]
    out, err = said(capsys, *line, "--tasks", "1")
    assert err == ""
    folder = Path(out.splitlines()[-1])
    (folder / "result.json").unlink()
    for tasks in ("1", "2"):  # killed before its end, then asked for more
        assert f"{folder}: no checkpoint; starts over\n" == said(capsys, *line, "--tasks", tasks)[1]
    assert said(capsys, *line, "--tasks", "2")[1] == ""


def test_a_run_that_fails_gives_code_1_and_the_cause(capsys: Capture) -> None:
    agent = "tests.evaluation.plugins:unsavable"
    line = ["run", DIGITS, "--agent", agent, "--tasks", "1", "--problem-set", "batch_size=16"]
    _, err = said(capsys, *line, code=1)
    assert "PCG64 cannot be saved" in err and err.splitlines()[-1].startswith(
        "continual-envs: 1 of"
    )


def test_the_projection_is_printed_after_two_seconds_of_work(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    add = loop.Recorder.add

    def slowly(*arguments: Any) -> None:
        time.sleep(0.9)
        add(*arguments)

    monkeypatch.setattr(loop.Recorder, "add", slowly)
    _, err = run(capsys, "backprop", "--tasks", "5")
    assert err.startswith("projected: about ") and err.endswith(" s more for 1 run\n")


STUDY = """
title = "mine: a study"
description = "of a few seconds"
seeds = "0:2"
tuning_seeds = "100,101"
[[problems]]
problem = "PermutedDigits-v0"
settings = { batch_size = 16, examples_per_task = 64 }
tasks = 3
measure_every = 2
[[problems.arms]]
agent = "backprop"
settings = { hidden = [8], step_size = 0.1 }
tried = { step_size = [0.1, 0.2], momentum = [0.0, 0.9] }
[[problems.arms]]
agent = "fresh"
settings = { hidden = [8] }
[[problems.arms]]
agent = "backprop"
settings = { step_size = 0.1, hidden = [8], momentum = 0 }
"""


def test_study(capsys: Capture) -> None:
    Path("mine.toml").write_text(STUDY, encoding="utf-8")
    out, _ = said(capsys, "study", "mine.toml", "--dry-run", "--out", "o")
    lines = out.splitlines()
    assert lines[-1] == "4 runs; nothing done"  # the third arm is the first, spelt out
    want = [str(cell(seeds=[seed]).folder("o")) + " 3 tasks" for seed in (0, 1)]
    assert lines[:2] == want
    out, _ = said(capsys, "study", "mine.toml", "--tuning", "--dry-run", "--out", "o")
    assert "8 runs" in out and out.count("seed-100 3 tasks") == out.count("seed-101 ") == 4
    assert [path.name for path in Path().iterdir()] == ["mine.toml"]
    out, _ = said(capsys, "study", "mine.toml", "--out", "o")
    assert "fresh" in out and out.splitlines()[-1] == "report: o/mine.html".replace("/", os.sep)
    page = Path("o/mine.html").read_text(encoding="utf-8")
    assert "mine: a study" in page
    assert len(list(Path("o").rglob("result.json"))) == 4
    measured = [line["task"] for line in records(cell().folder("o")) if line["kind"] == "measure"]
    assert measured == [0, 2]
    before = snapshot(Path("o"))
    said(capsys, "study", "mine.toml", "--out", "o")
    after = snapshot(Path("o"))
    assert {name: content for name, (content, _) in before.items()} == {
        name: content for name, (content, _) in after.items()
    }


def test_tuning_needs_something_that_was_tried(capsys: Capture) -> None:
    Path("mine.toml").write_text(STUDY.replace("tried = {", "# {"))
    assert "tried nothing" in said(capsys, "study", "mine.toml", "--tuning", code=2)[1]


@pytest.mark.parametrize("name", names())
def test_our_own_studies_name_real_things(name: str) -> None:
    study = load_study(name)
    assert study.cells() and all(config.seed in study.seeds for config in study.cells())
    assert all(config.seed in study.tuning_seeds for config in study.tuning())


def test_an_agent_is_checked_with_settings(capsys: Capture) -> None:
    assert "keeps the contract" in said(capsys, "check-agent", "redo", "--set", "period=3")[0]


def test_score_report_and_export(capsys: Capture) -> None:
    for agent in ("backprop", "fresh"):
        run(capsys, agent, "--seeds", "0:3")
    diverging = ["--agent", "adam", "--set", "step_size=1e30", "--tasks", "3"]
    said(capsys, "run", DIGITS, *diverging, "--problem-set", "batch_size=16")
    table, _ = said(capsys, "score", "runs")
    assert "backprop" in table and "fresh" in table

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    scores = json.loads(said(capsys, "score", "runs", "--json")[0], parse_constant=refuse)
    by_agent = {score["agent"]: score for score in scores}
    assert set(by_agent) == {"backprop", "fresh", "adam"}
    assert by_agent["backprop"]["seeds"] == [0, 1, 2] and by_agent["fresh"]["is_reference"]
    assert by_agent["backprop"]["late"]["estimate"] > 0

    assert said(capsys, "report", "runs")[0] == "runs/report.html\n"
    assert said(capsys, "report", "runs", "--out", "deep/page.html")[0] == "deep/page.html\n"
    assert "backprop" in Path("deep/page.html").read_text(encoding="utf-8")

    said(capsys, "export", "runs", "--out", "deep/er/table.csv")
    with open("deep/er/table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 * 3
    want = ["problem", "agent", "settings_hash", "seed", "task", "updates", "accuracy", "loss"]
    assert {row["purpose"] for row in rows} == {"report"}
    assert json.loads(rows[0]["agent_settings"])["step_size"] == 1e30
    assert json.loads(rows[0]["problem_settings"])["permute"] == "pixels"
    want += ["seconds", "engine", "dead_units", "srank_99", "gradient_norm"]
    assert set(want) <= set(rows[0])
    (row,) = (r for r in rows if (r["agent"], r["seed"], r["task"]) == ("backprop", "2", "1"))
    lines = [line for line in records(cell(seeds=[2]).folder("runs")) if line["task"] == 1]
    assert float(row["dead_units"]) == lines[0]["dead_units"]
    assert float(row["accuracy"]) == pytest.approx(sum(x["accuracy"] for x in lines[1:]) / 4)
    assert (row["updates"], row["engine"]) == ("8", "fused")


def test_data(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CONTINUAL_ENVS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for line in ([], ["list"]):
        out, _ = said(capsys, "data", *line)
        assert "continual-envs data fetch mnist" in out and "digits" in out and "package" in out
    assert said(capsys, "data", "verify", "digits")[0].startswith("digits          ok, package")
    assert said(capsys, "data", "fetch", "digits")[0].startswith("digits          ok, package")


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [(["check-problem", "SlipperyHopper-v0"], "mujoco"), (["check-agent", "sb3/ppo"], "sb3")],
)
def test_what_a_check_needs_and_is_not_installed_is_one_line(
    arguments: list[str], needed: str
) -> None:
    code = (
        "import sys; sys.modules.update(mujoco=None, stable_baselines3=None); "
        "from evaluation.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    status, out, err = finish(python("-c", code, *arguments))
    assert (status, out) == (2, "") and len(err.splitlines()) == 1
    assert "not installed" in err and f"continual-envs[{needed}]" in err

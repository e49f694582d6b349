"""A study's frozen results: written, read, and shown beside runs."""

import csv
import gzip
import json
import re
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from benchmarks import freeze, published
from evaluation import cli
from evaluation.config import configure, parse_seeds
from evaluation.report import frozen as frozen_module
from evaluation.report import report, save_figures
from evaluation.report.arms import gather
from evaluation.report.backdrop import backdrop, caption, note
from evaluation.report.beside import beside, compare
from evaluation.report.drawing import INK
from evaluation.report.figures import panels
from evaluation.report.frozen import load_frozen, read_value
from evaluation.settings import parse_assignments
from evaluation.studies import load_study
from tests.evaluation.folders import write_run
from tests.evaluation.test_bad_input import complaint

STUDY = """
title = "mine"
seeds = "0:3"
[[problems]]
problem = "PermutedDigits-v0"
settings = { batch_size = 16, examples_per_task = 64 }
tasks = 12
measure_every = 4
arms = [
    { agent = "backprop", grid = { step_size = [0.1, 0.2], hidden = [[8]] } },
    { agent = "linear", settings = { step_size = 0.1 }, seeds = "0,2" },
]
published = [
{ agent = "backprop", settings = { step_size = 0.1 }, peak = 0.9, end = "<0.5", source = "Fig. 1" },
]
"""


def outcomes(seed: int, tasks: int = 12) -> list[float]:
    """Best over tasks 1 to 5, then worse."""
    levels = [0.5, *[0.8] * 5, *[0.6] * tasks][:tasks]
    return [float(v) for v in levels + np.random.default_rng(seed).normal(0, 0.001, tasks)]


def write_cells(cells, root, **changes):
    """Write the runs of cells as if they had been run."""
    for cell in cells:
        given = {
            "agent": cell.agent,
            "problem_settings": cell.problem_settings,
            "agent_settings": cell.agent_settings,
            "settings_hash": cell.settings_hash,
            "reference": "linear" if cell.agent == "linear" else None,
            "content_hash": f"{cell.seed:012d} and more",
            "measures": {"dead_units": {0: 0.1, 4: 0.2, 8: 0.3}},
        }
        write_run(root, outcomes(cell.seed, cell.tasks), seed=cell.seed, bins=1, **given | changes)


def mine(root, agent="backprop", *, tasks=12, problem=None, seeds=3, **settings):
    """Write runs of a user, whose settings are those of the study unless given; return them."""
    cells = configure(
        "PermutedDigits-v0",
        "backprop",
        settings={"hidden": [8], "step_size": 0.1} | settings,
        problem_settings={"batch_size": 16, "examples_per_task": 64} | (problem or {}),
        seeds=list(range(seeds)),
        tasks=tasks,
    )
    write_cells(cells, root, agent=agent)
    return root


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study file with its runs frozen beside it."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "mine.toml").write_text(STUDY)
    write_cells(load_study(folder / "mine.toml").cells(), folder / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(freeze, "RESULTS", folder)
        freeze.main(str(folder / "mine.toml"), str(folder / "runs"))
    return str(folder / "mine.toml")


def beside_of(study, root):
    problems = gather([root])
    return problems[0], beside(load_frozen(study), problems)[0]


def test_frozen_results_are_those_of_the_runs(study):
    (problem,) = load_frozen(study).problems
    assert [arm.label for arm in problem.arms] == [
        "backprop step_size=0.1",
        "backprop step_size=0.2",
        "linear",
    ]
    arm = problem.arms[0]
    values = np.array([outcomes(seed) for seed in range(3)])
    assert np.allclose(arm.curves["accuracy"].mean, values.mean(0), rtol=1e-4)
    assert np.isfinite(arm.curves["accuracy"].low).all()
    assert arm.curves["dead_units"].tasks.tolist() == [0, 4, 8]
    assert (arm.seeds, arm.tasks, arm.seconds) == (3, 12, 3 * 12 * 0.5)
    places = {place: (w.first, w.last) for place, w in arm.windows.items()}
    assert places == {"start": (0, 4), "peak": (1, 5), "end": (7, 11)}
    peak = arm.windows["peak"].mean
    assert peak.estimate == pytest.approx(values[:, 1:6].mean(), rel=1e-4) and peak.kind == "t"
    assert problem.arms[2].windows["peak"].mean.low is None  # two seeds
    assert problem.content == {str(seed): f"{seed:012d}" for seed in range(3)}


def test_every_command_runs_its_arm(study):
    cells = {(cell.settings_hash, cell.seed): cell.tasks for cell in load_study(study).cells()}
    parser, _ = cli.build_parser()
    found = {}
    for arm in load_frozen(study).problems[0].arms:
        parsed = parser.parse_args(shlex.split(arm.command)[1:])
        for cell in configure(
            parsed.problem,
            parsed.agent,
            settings=parse_assignments(parsed.set),
            problem_settings=parse_assignments(parsed.problem_set),
            seeds=parse_seeds(parsed.seeds),
            tasks=parsed.tasks,
        ):
            found[cell.settings_hash, cell.seed] = cell.tasks
    assert found == cells


def test_the_table_has_a_row_a_seed_and_task_or_window(study):
    with gzip.open(Path(study).parent / "mine.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (3 + 3 + 2) * 12
    exported = freeze.export_rows(freeze.load(Path(study).parent / "runs"))
    assert set(rows[0]) == {*exported[0], "problem_label", "arm", "first_task"}
    assert all(str(exported[0][name]) == rows[0][name] for name in ("agent_settings", "updates"))
    assert float(rows[3]["accuracy"]) == pytest.approx(outcomes(0)[3], rel=1e-5)
    assert [row["dead_units"] for row in rows[:5]] == ["0.1", "", "", "", "0.2"]
    groups = freeze.group(freeze.load(Path(study).parent / "runs"))
    windows = freeze.rows(groups, whole=False)[:10]
    assert [(w["first_task"], w["task"]) for w in windows[:3]] == [(0, 1), (2, 3), (4, 4)]
    assert float(windows[0]["accuracy"]) == pytest.approx(np.mean(outcomes(0)[:2]), rel=1e-5)


def test_arms_may_be_frozen_one_by_one(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(freeze, "RESULTS", tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(STUDY)
    cells = load_study(path).cells()
    write_cells(cells[:4], tmp_path / "first")  # one arm, and a run of the next
    freeze.main(str(path), str(tmp_path / "first"))
    (problem,) = load_frozen(str(path)).problems
    assert [arm.label for arm in problem.arms] == ["backprop step_size=0.1"]
    assert "left out, since not done: backprop" in capsys.readouterr().out
    write_cells(cells[3:], tmp_path / "second")
    freeze.main(str(path), str(tmp_path / "second"))
    for name in ("mine.json", "mine.csv.gz"):
        at_once = Path(study).parent / name
        assert (tmp_path / name).read_bytes() == at_once.read_bytes()


def test_an_arm_that_is_not_done_is_of_the_problem_of_those_that_are(study, tmp_path):
    loaded = load_study(study)
    write_cells(loaded.cells()[:3], tmp_path)
    tested = [
        replace(run, config={**run.config, "scored": "last test"}) for run in freeze.load(tmp_path)
    ]
    (done,) = freeze.finished(loaded, tested)
    assert done.problem_label == "PermutedDigits-v0"


def test_a_study_without_a_finished_arm_is_not_frozen(study, tmp_path):
    write_cells(load_study(study).cells()[:1], tmp_path)
    with pytest.raises(SystemExit, match="no arm is done; not done is backprop"):
        freeze.main(study, str(tmp_path))


def test_markdown_names_what_was_published(study):
    lines = published.page([study]).splitlines()
    row = next(line for line in lines if line.startswith("| backprop step_size=0.1"))
    assert row.startswith("| backprop step_size=0.1 | 0.9 | 0.800 [")
    assert "| <0.5 |" in row and "| 3 | 18 s | `continual-envs run" in row
    assert lines[-3].endswith(" Published: Fig. 1.") and lines[-1].startswith("All arms together: ")
    assert "peak: the 5 tasks in a row with the best mean over seeds; end: the last 5" in lines[-3]


def test_the_docs_have_every_frozen_arm():
    docs = Path(__file__).parents[2] / "docs" / "studies.md"
    assert docs.read_text(encoding="utf-8") == published.page([]) + "\n"


def test_the_page_shows_all_three(study, tmp_path):
    runs = mine(tmp_path / "runs", "my-method")
    page = report(runs, tmp_path / "page.html", beside=study).read_text()
    text = " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())
    assert "ours, frozen: backprop" in text and "published: backprop" in text
    assert "Squares: published (Fig. 1)" in text
    assert "Beside: study mine" in text and "those of the study" in text
    assert re.search(r"my-method — 0.80\d \[.{12}\] — 0.60\d \[.{12}\] 3 18 s these runs", text)
    assert "--set step_size=0.2 'hidden=[8]'" in text
    assert "http" not in page and "<script" not in page
    assert report(runs, tmp_path / "again.html", beside=study).read_text() == page
    assert "Beside" not in report(runs, tmp_path / "plain.html").read_text()
    figures = save_figures(runs, tmp_path / "figures", beside=study)
    assert len(figures) == 4 and all(figure.stat().st_size > 1000 for figure in figures)


def test_own_lines_are_before_the_others(study, tmp_path):
    problem, found = beside_of(study, mine(tmp_path, "my-method"))
    ((outcome, measures),) = panels([problem], [found])
    for panel in (outcome, *measures):
        axes = panel.figure.axes[0]
        drawn = [line for line in axes.lines if line.get_transform() == axes.transData]
        *others, own = [line for line in drawn if line.get_color() != INK]  # but for the anchor
        assert len(others) == (4 if panel is outcome else 3)
        assert own.get_linewidth() == 2 and own.get_linestyle() == "-"
        assert all(line.get_linewidth() <= 1.1 and line.get_linestyle() != "-" for line in others)
        boxes = [text.get_window_extent() for text in axes.texts if text.get_ha() == "left"]
        boxes.sort(key=lambda box: box.y0)
        assert all(a.y1 <= b.y0 + 1 for a, b in zip(boxes, boxes[1:], strict=False))


@pytest.mark.parametrize(
    "changes, says",
    [
        ({}, []),
        ({"agent": "my-method"}, []),
        ({"tasks": 10}, ["The horizon differs: 10 tasks here, 12 in the study."]),
        ({"problem": {"batch_size": 16, "num_tasks": 12}}, []),
        (
            {"problem": {"batch_size": 8}},
            ["The problem differs in batch_size (8 here, 16 in the study)."],
        ),
        (
            {"hidden": [9], "agent": "my-method"},
            ["my-method differs from ours in hidden ([9] here, [8] in the study)."],
        ),
        (
            {"step_size": 0.3},
            [
                "backprop differs from ours, backprop step_size=0.1, in step_size (0.3 here, 0.1 "
                "in the study)."
            ],
        ),
    ],
)
def test_what_differs_is_said(changes, says, study, tmp_path):
    _, found = beside_of(study, mine(tmp_path, **changes))
    assert list(found.notes) == says
    assert note(found) == ("* with batch_size 16" if says and "problem" in changes else "")


def test_a_setting_that_came_later_is_no_difference_at_its_default(study, tmp_path):
    for network, says in (("auto", []), ("mlp", ["in network (mlp here, auto in the study)."])):
        for file in mine(tmp_path / network).rglob("config.json"):
            config = json.loads(file.read_text())
            config["agent_settings"] |= {"network": network, "decay_epochs": []}
            file.write_text(json.dumps(config))
        notes = beside_of(study, tmp_path / network)[1].notes
        assert len(notes) == len(says) and all(map(str.endswith, notes, says))


def test_what_is_not_recorded_or_other_data_is_said(study, tmp_path):
    for file in mine(tmp_path / "a", "theirs").rglob("config.json"):
        config = json.loads(file.read_text())
        kept = {
            key: config[key] for key in ("problem", "agent", "seed", "outcome", "bins_per_task")
        }
        file.write_text(json.dumps(kept))
    notes = beside_of(study, tmp_path / "a")[1].notes
    assert "problem's settings are not recorded" in notes[0]
    assert "theirs has not recorded its settings" in notes[1]
    for file in mine(tmp_path / "b").rglob("seed-1/config.json"):
        file.write_text(file.read_text().replace("000000000001 and", "another"))
    assert (
        "1 seed of the same number show other examples"
        in beside_of(study, tmp_path / "b")[1].notes[0]
    )
    write_run(tmp_path / "c", outcomes(0), bins=1, agent="x", agent_settings={"width": 3})
    assert "x has not recorded its network" in beside_of(study, tmp_path / "c")[1].notes[-1]


def test_published_points_end_at_the_axis(study, tmp_path):
    _, found = beside_of(study, mine(tmp_path / "long"))
    lines = {line.label: line for line in backdrop(found, "accuracy", 12, ["#000000"])}
    whole = lines["published: backprop step_size=0.1 (end\N{NO-BREAK SPACE}<0.5)"]
    assert whole.curve.tasks.tolist() == [3, 11] and whole.curve.mean.tolist() == [0.9, 0.5]
    assert whole.marked == 2
    assert "table alone" not in " ".join(caption(found, "accuracy", 12))
    lines = {line.label: line for line in backdrop(found, "accuracy", 8, ["#000000"])}
    cut = lines[whole.label]
    assert cut.curve.tasks.tolist() == [3, 7] and cut.curve.mean.tolist() == [0.9, 0.7]
    assert cut.marked == 1
    assert "beyond the axis are in the table alone" in " ".join(caption(found, "accuracy", 8))
    assert whole.label not in {line.label for line in backdrop(found, "accuracy", 2, ["#000000"])}
    assert {line.label[:4] for line in backdrop(found, "dead_units", 12, ["#000000"])} == {"ours"}


def test_of_many_arms_some_are_drawn_and_all_are_in_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(freeze, "RESULTS", tmp_path)
    path = tmp_path / "many.toml"
    path.write_text(STUDY.replace("[0.1, 0.2]", str([round(0.1 * i, 1) for i in range(1, 14)])))
    write_cells(load_study(path).cells(), tmp_path / "runs")
    freeze.main(str(path), str(tmp_path / "runs"))
    problem, found = beside_of(str(path), mine(tmp_path / "mine", step_size=0.7))
    labels = [arm.label for arm in found.drawn]
    assert labels == ["backprop step_size=0.1", "backprop step_size=0.7", "linear"]
    assert len(compare(found.problem).frozen) == 14
    assert "the table has all" in " ".join(caption(found, "accuracy", problem.num_tasks))


def test_read_value():
    assert read_value(0.5) == (0.5, False) and read_value("<0.85") == (0.85, True)
    for wrong in ("0.5", "<x", True, [1], float("nan"), None):
        with pytest.raises(ValueError, match="give a number"):
            read_value(wrong)


def test_what_cannot_stand_beside(study, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mine(tmp_path / "runs")
    write_run(tmp_path / "other", [0.5, 0.6], problem="continual_envs/PermutedMNIST-v0", bins=1)
    folder = tmp_path / "frozen"
    folder.mkdir()
    (folder / "good.json").write_text(Path(study).with_suffix(".json").read_text())
    monkeypatch.setattr(frozen_module, "FOLDER", folder)
    before = sorted(tmp_path.iterdir())
    said = complaint(["report", "runs", "--beside", "god"], capsys)
    assert "'god' has no frozen results" in said and "nearest: good" in said
    said = complaint(["report", "runs", "--beside", "no.toml"], capsys)
    assert "'no.toml' has no frozen results; those that have are good" in said
    said = complaint(["report", "other", "--beside", "good"], capsys)
    assert "'mine' is on continual_envs/PermutedDigits-v0" in said
    assert "the runs are on continual_envs/PermutedMNIST-v0" in said
    assert sorted(tmp_path.iterdir()) == before
    assert cli.main(["report", "runs", "other", "--beside", "good"]) == 0


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("peak = 0.9", "peek = 0.9", ["'peek'", "nearest: peak"]),
        ("peak = 0.9", 'peak = "0.9"', ["published: peak: '0.9'", "give a number"]),
        ("peak = 0.9", "peak = true", ["published: peak: True", "give a number"]),
        ('peak = 0.9, end = "<0.5", ', "", ["no value", "start, peak, end"]),
        (', source = "Fig. 1"', "", ["source is missing"]),
        ("{ step_size = 0.1 }, peak", "{ step_size = 0.3 }, peak", ["names 0 arms", "give the"]),
        ("settings = { step_size = 0.1 }, peak", "peak", ["names 2 arms of PermutedDigits-v0"]),
        (
            '[\n{ agent = "backprop", settings',
            '[1, { agent = "backprop", settings',
            ["1", "table"],
        ),
        ("peak = 0.9", "peak = 0.9, tasks = 1.5", ["tasks", "1.5", "whole number"]),
    ],
)
def test_what_is_published_is_checked(old, new, says, tmp_path, capsys):
    assert old in STUDY
    path = tmp_path / "mine.toml"
    path.write_text(STUDY.replace(old, new))
    said = complaint(["study", str(path), "--dry-run"], capsys)
    assert all(word in said for word in says), said


@pytest.mark.parametrize("name", frozen_module.names())
def test_frozen_files_are_those_of_their_studies(name):
    study, frozen = load_study(name), load_frozen(name)
    arms = [arm for problem in frozen.problems for arm in problem.arms]
    assert frozen.study == name
    assert arms
    commands, published = study.commands(), study.published()
    for arm in arms:  # a study may be frozen arm by arm
        assert arm.command == commands[arm.settings_hash]
        assert arm.published == published.get(arm.settings_hash)
    assert (frozen_module.FOLDER / f"{name}.json").stat().st_size < 400_000

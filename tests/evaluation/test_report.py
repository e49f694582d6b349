"""The page and the terminal table, from synthetic run folders."""

import io
import json
import re
import subprocess
import sys
from html import unescape

import pytest
from rich.console import Console

from evaluation.report import report
from evaluation.report.arms import gather
from evaluation.report.drawing import Look
from evaluation.report.figures import MEASURES, outcome_panel
from evaluation.report.findings import verdict
from evaluation.report.tables import rich_table, table
from evaluation.report.wording import number, outcome_decimals, slug
from evaluation.runs import load
from evaluation.scores import score
from tests.evaluation.folders import write_run
from tests.evaluation.planted import write_arm, write_references, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    return report(study, tmp_path_factory.mktemp("out") / "deep" / "page.html").read_text()


def rows(html):
    """Return the visible text of every table row."""
    found = re.findall(r"<tr>.*?</tr>", html, re.DOTALL)
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in found]


def test_the_page_needs_nothing_else(page):
    assert "http" not in page
    assert not re.search(r"<(script|link|img|iframe)\b|@import|url\((?!#)", page)
    assert page.count("<html") == page.count("</html>") == 1


def test_every_arm_has_a_row_and_its_facts(study, page):
    summaries = re.findall(r"<summary>(.*?)</summary>", page)
    for one in score(load(study)):
        assert any(row.startswith(one.label) for row in rows(page)), one.label
        assert one.label in summaries
    assert "step_size 0.1" in rows(page) and "hidden [100, 100]" in rows(page)
    assert "content hash c0ffee" in rows(page)
    assert "updates per run 200" in rows(page)


def test_numbers_are_those_of_the_scores(study, page):
    scores = [s for s in score(load(study)) if s.problem_label == "PermutedDigits-v0"]
    for one in scores:
        row = next(r for r in rows(page) if r.startswith(one.label) and " reten" not in r)
        for interval in (one.outcome, one.early, one.late, one.plasticity, one.retention):
            ends = f"[{interval.low:.3f}, {interval.high:.3f}]"
            assert f"{interval.estimate:.3f} {ends}" in row
        assert number(one.gap_to_linear.estimate, 3) in row


def test_the_page_says_how_much_stands_behind_it(page):
    assert "20 tasks and 4 seeds an arm. The verdicts rest on 95 % Fieller intervals" in page
    assert "Student t for means and gaps, Fieller for ratios" in page
    assert "Early window: tasks 1–2. Late window: tasks 18–19." in page
    assert "computed from 36 run folders" in page
    assert page.count("/seed-0</li>") == 9


def test_same_runs_same_bytes(study, page, tmp_path):
    assert report([study], tmp_path / "again.html").read_text() == page


def test_ids_are_unique_and_references_resolve(page):
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page)
    assert used and {a or b for a, b in used} <= set(ids)


def test_figures_do_not_restyle_the_page(page):
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(svgs) == 2 + len(MEASURES) + 1
    assert not any("<style" in svg for svg in svgs)
    assert all(len(svg) < 300_000 for svg in svgs)


def test_methods_are_ranked_and_references_stand_below(study):
    own = table([s for s in score(load(study)) if s.problem_label == "PermutedDigits-v0"])
    labels = ["l2", "backprop step_size=0.01", "timid", "backprop step_size=0.1"]
    assert [row.label for row in own.methods] == labels
    assert [row.label for row in own.references] == ["fresh", "linear"]
    assert {row.label: row.privileges for row in own.methods}["l2"] == "task_switch"
    assert all(row.verdict is None for row in own.references)


def test_one_seed_has_no_interval_and_no_verdict(tmp_path):
    write_arm(tmp_path, 0.7, 0.5, seeds=[0])
    html = report(tmp_path, tmp_path / "page.html").read_text()
    (row,) = [row for row in rows(html) if row.startswith("backprop")]
    assert "[" not in row and "undecided" in row
    assert "No intervals: they need at least 3 seeds." in html
    assert "no interval below 3 seeds" in html
    assert "95 % bands" not in html


def test_unfinished_runs_are_flagged(tmp_path):
    write_references(tmp_path)
    write_arm(tmp_path, 0.7, 0.7, seeds=[0, 1, 2])
    write_arm(tmp_path, 0.7, 0.7, seeds=[3], finished=False)
    write_run(tmp_path, [], agent="just-begun", finished=False)
    html = report(tmp_path, tmp_path / "page.html").read_text()
    (row,) = [row for row in rows(html) if row.startswith("backprop")]
    assert "unfinished: 1 of 4 seeds" in row
    assert "Provisional: 2 of 13 runs unfinished." in html
    assert "Not drawn, without a complete task: just-begun." in html
    assert any(row.startswith("just-begun") for row in rows(html))


def test_errors_are_better_when_lower(tmp_path):
    errors = {"outcome": "error", "anchor": 2.0}
    write_references(tmp_path, **errors)
    write_arm(tmp_path, 0.5, 0.9, agent="rises", **errors)
    write_arm(tmp_path, 0.7, 0.5, agent="falls", **errors)
    (problem,) = gather([tmp_path])
    found = {arm.label: verdict(arm.score) for arm in problem.methods}
    assert found == {"rises": "lost", "falls": "kept"}
    assert [arm.label for arm in problem.arms] == ["falls", "rises", "linear", "fresh"]
    panel = outcome_panel(problem, {a.label: Look("#000000") for a in problem.methods})
    assert panel.figure.axes[0].get_ylabel() == "error (lower is better)"
    assert "error, lower is better" in report(tmp_path, tmp_path / "page.html").read_text()


def test_hostile_names_are_shown_and_not_run(tmp_path):
    name = '<script>alert("1")</script> & $x^{$ [bold]'
    write_arm(tmp_path, 0.7, 0.7, agent=name, measures={"</svg><b>": {0: 1.0}}, seeds=[0])
    html = report(tmp_path, tmp_path / "page.html", title="<i>").read_text()
    assert "<script" not in html and "</svg><b>" not in html and "<h1>&lt;i&gt;</h1>" in html
    assert any(row.startswith(name) for row in rows(html))
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(rich_table(score(load(tmp_path))))
    assert "[bold]" in console.export_text()


def test_a_third_partys_minimal_folders_are_enough(tmp_path):
    write_arm(tmp_path, 0.7, 0.7, agent="theirs", bins=10)
    for file in tmp_path.rglob("config.json"):
        config = json.loads(file.read_text())
        kept = {key: config[key] for key in ("problem", "agent", "seed", "outcome")}
        file.write_text(json.dumps(kept))
    html = report(tmp_path, tmp_path / "page.html").read_text()
    assert "engine not recorded" in rows(html)
    assert "none recorded" in rows(html)
    assert "<h3>Measures</h3>" not in html


def test_returns_of_unequal_length_without_a_measure_at_all_seeds(tmp_path):
    measures = {"dead_units": {0: 0.1, 2: 0.2}}
    for seed, tasks in enumerate([3, 4, 12]):
        taken = measures if seed else None
        values = [100.0] * tasks
        write_run(tmp_path, values, outcome="return", seed=seed, bins=1, measures=taken)
    html = report(tmp_path, tmp_path / "page.html").read_text()
    assert "seeds have 3 to 12 tasks: scored at 3" in html
    assert "Not drawn, not recorded by all seeds: backprop." in html


def test_only_references_leave_nothing_to_judge(tmp_path):
    write_references(tmp_path)
    html = report(tmp_path, tmp_path / "page.html").read_text()
    assert "Only reference arms were run" in html


def test_no_runs_no_page(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        report(tmp_path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_terminal_table_has_the_same_numbers(study):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(rich_table(score(load(study))))
    text = console.export_text()
    for one in score(load(study)):
        for interval in (one.outcome, one.late, one.plasticity, one.retention):
            assert f"{interval.estimate:.3f}" in text
        assert all(part in text for part in one.label.split())
    assert "…" not in text
    assert "below fresh" in text and "uses task_switch" in text


def test_words():
    assert number(None, 3) == "—"
    assert number(-0.5, 2) == "−0.50"
    assert number(1.5e12, 3) == "1.5e+12"
    assert outcome_decimals([]) == 3
    assert slug("other/X-v0 alpha=-0.1") == "other-X-v0-alpha=-0.1"


def test_importing_the_report_is_cheap_and_needs_no_learner():
    heavy = ("matplotlib", "jinja2", "torch", "scipy", "rich", "agents", "continual_envs")
    code = f"import sys, evaluation.report; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_page_needs_neither_agents_nor_problems(study, tmp_path):
    code = (
        "import sys; from evaluation.report import report; "
        f"report({str(study)!r}, {str(tmp_path / 'page.html')!r}); "
        "names = ('torch', 'agents', 'continual_envs', 'matplotlib.pyplot'); "
        "print([m for m in names if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

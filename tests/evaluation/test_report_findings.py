"""What the report claims, where the answer was planted."""

import re

import pytest

from evaluation.report.arms import gather
from evaluation.report.findings import best_backprop, findings, verdict, why_undecided
from evaluation.report.page import answer
from tests.evaluation.folders import write_run
from tests.evaluation.planted import stream, write_arm, write_references, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"))


def verdicts(root):
    return {arm.label: verdict(arm.score) for p in gather([root]) for arm in p.methods}


def texts(root):
    return [f.text for problem in gather([root]) for f in findings(problem)]


def test_verdicts_find_what_was_planted(study):
    problem = gather([study])[0]
    found = {arm.label: verdict(arm.score) for arm in problem.methods}
    assert found == {
        "backprop step_size=0.1": "lost",
        "backprop step_size=0.01": "kept",
        "l2": "kept",
        "timid": "steady",
    }


def test_sentences_say_it(study):
    first = gather([study])[0]
    said = {f.kind: (f.text, [label for label, _ in f.arms]) for f in findings(first) if f.arms}
    assert said["lost"][0].startswith("1 of 4 arms lost part of the ability to learn")
    assert said["lost"][1] == ["backprop step_size=0.1"]
    assert said["kept"][1] == ["l2", "backprop step_size=0.01"]
    assert "this is not plasticity kept" in said["steady"][0]
    counted = "Of 5 arms on 2 problems, 2 lost part of it, 2 kept it and 1 held the level"
    assert answer(gather([study])).startswith(counted)


def test_a_smaller_step_that_cures_is_named(study):
    (cure, best) = texts(study)[3:5]
    assert cure.startswith(
        "A smaller step size alone avoids the loss: backprop step_size=0.01 has a retention of"
    )
    assert "where backprop step_size=0.1 has 0.6" in cure
    assert best.startswith("Of 2 backprop arms, backprop step_size=0.01 is best over the whole")
    assert best.endswith("verdict: kept.")


def test_a_cure_below_fresh_is_not_called_plasticity(tmp_path):
    write_references(tmp_path)
    for step_size, early, late in [(0.1, 0.7, 0.5), (0.01, 0.5, 0.51)]:
        write_arm(tmp_path, early, late, agent_settings={"step_size": step_size})
    (cure,) = [text for text in texts(tmp_path) if "smaller step" in text]
    assert "Retention alone does not show that plasticity is kept: its plasticity is 0.6" in cure


@pytest.mark.parametrize(
    ("large", "small", "other"),
    [
        ((0.7, 0.7), (0.7, 0.7), {}),  # nothing was lost
        ((0.7, 0.5), (0.7, 0.5), {}),  # the small step loses too
        ((0.7, 0.7), (0.7, 0.5), {}),  # the larger step is the better one
        ((0.7, 0.5), (0.7, 0.7), {"hidden": [5]}),  # another setting differs as well
    ],
)
def test_no_cure_where_there_is_none(tmp_path, large, small, other):
    write_arm(tmp_path, *large, agent_settings={"step_size": 0.1, "hidden": [9]})
    write_arm(tmp_path, *small, agent_settings={"step_size": 0.01, "hidden": [9]} | other)
    assert not any("smaller step" in text for text in texts(tmp_path))


def test_one_backprop_arm_is_not_called_the_best(tmp_path):
    write_arm(tmp_path, 0.7, 0.7)
    (problem,) = gather([tmp_path])
    assert best_backprop(problem) is None


def test_an_interval_that_merely_reaches_one_is_undecided(tmp_path):
    write_references(tmp_path)
    for seed, late in enumerate([0.5, 0.8, 0.6, 0.9]):
        write_run(tmp_path, stream(0.7, late), seed=seed, bins=1)
    (arm,) = gather([tmp_path])[0].methods
    assert arm.score.retention.high > 1
    assert verdict(arm.score) == "undecided"
    assert re.match(r"retention's interval .* does not exclude a loss", why_undecided(arm.score))


@pytest.mark.parametrize(("late", "says"), [(0.6975, "kept"), (0.68, "lost")])
def test_a_slight_loss_is_none_however_sure(tmp_path, late, says):
    write_references(tmp_path)
    for seed, wobble in enumerate([-0.0002, -0.0001, 0.0001, 0.0002]):
        write_run(tmp_path, stream(0.7, late + wobble), seed=seed, bins=1)
    (arm,) = gather([tmp_path])[0].methods
    assert arm.score.retention.high < 1
    assert verdict(arm.score) == says


def test_kept_needs_plasticity_too(tmp_path):
    write_arm(tmp_path, 0.7, 0.7)
    assert verdicts(tmp_path) == {"backprop": "undecided"}
    (arm,) = gather([tmp_path])[0].methods
    assert why_undecided(arm.score) == "plasticity: no fresh runs among these"


def test_without_an_anchor_windows_decide_a_loss(tmp_path):
    write_arm(tmp_path, 0.7, 0.5, agent="loses", anchor=None)
    write_arm(tmp_path, 0.7, 0.7, agent="holds", anchor=None)
    assert verdicts(tmp_path) == {"loses": "lost", "holds": "undecided"}
    numbers = dict(findings(gather([tmp_path])[0])[0].arms)
    said = r"retention is undefined; accuracy 0\.\d+ \[.*\] early, 0\.\d+ \[.*\] late"
    assert re.fullmatch(said, numbers["loses"])

"""Scores from synthetic run folders, against numbers worked out by hand."""

import csv
import json
from dataclasses import asdict

import numpy as np
import pytest

from evaluation.export import export_rows, write_csv
from evaluation.runs import load
from evaluation.scores import early_window, late_window, score
from evaluation.statistics import mean_interval, paired_difference, ratio_of_means
from tests.evaluation.folders import write_run

# Late accuracy by seed, and of the reference arms; the anchor is 0.1.
LATE = [0.50, 0.54, 0.52]
FRESH = [0.60, 0.62, 0.58]
LINEAR = [0.30, 0.33, 0.30]


def stream(early, late, tasks=20):
    """A first task, 2 early tasks, a plateau, 2 late tasks."""
    return [0.15, early, early, *[0.4] * (tasks - 5), late, late]


def write_arms(root, late=LATE, fresh=FRESH, linear=LINEAR, **config):
    for seed, value in enumerate(late):
        write_run(root, stream(0.55, value), seed=seed, **config)
    for seed, value in enumerate(fresh):
        write_run(root, stream(0.6, value), agent="fresh", reference="fresh", seed=seed)
    for seed, value in enumerate(linear):
        write_run(root, stream(0.3, value), agent="linear", reference="linear", seed=seed)


def by_label(*paths):
    return {s.label: s for s in score(load(*paths))}


@pytest.mark.parametrize(
    ("tasks", "early", "late"),
    [
        (300, range(1, 31), range(270, 300)),
        (20, range(1, 3), range(18, 20)),
        (11, range(1, 3), range(9, 11)),
        (10, range(1, 2), range(9, 10)),
        (3, range(1, 2), range(2, 3)),
        (1, range(0), range(0, 1)),
    ],
)
def test_windows(tasks, early, late):
    indices = range(tasks)
    assert list(indices[early_window(tasks)]) == list(early)
    assert list(indices[late_window(tasks)]) == list(late)


def test_a_network_that_diverged_is_named_though_its_accuracy_is_finite(tmp_path):
    for seed in range(3):
        folder = write_run(tmp_path, stream(0.5, 0.1), seed=seed)
        if seed:
            path = folder / "records.jsonl"
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            wild = [
                {**line, "diverged": True} if line["task"] > 7 + seed else line for line in lines
            ]
            path.write_text("".join(json.dumps(line) + "\n" for line in wild))
    (own,) = score(load(tmp_path))
    (note,) = own.notes
    assert note.startswith("2 of 3 seeds diverged, the first in task 9: ")
    assert [run.diverged.argmax() for run in load(tmp_path)] == [0, 9, 10]


def test_scores_by_hand(tmp_path):
    write_arms(tmp_path, agent_settings={"step_size": 0.01}, privileges=["task_switch"])
    scores = by_label(tmp_path)
    assert list(scores) == ["backprop", "fresh", "linear"]
    own = scores["backprop"]
    assert (own.problem, own.problem_label) == (
        "continual_envs/PermutedDigits-v0",
        "PermutedDigits-v0",
    )
    assert (own.agent, own.seeds, own.tasks, own.notes) == ("backprop", (0, 1, 2), 20, ())
    assert (own.outcome_name, own.higher_is_better) == ("accuracy", True)
    assert (own.is_reference, own.privileges) == (False, ("task_switch",))
    assert (own.fresh, own.linear) == ("fresh", "linear")

    # (0.15 + 2 * 0.55 + 15 * 0.4 + 2 * 0.52) / 20
    assert own.outcome.estimate == pytest.approx(8.29 / 20)
    assert own.early.estimate == pytest.approx(0.55)
    assert own.late.estimate == pytest.approx(0.52)
    # sd 0.02, t(0.975, 2) = 4.302653
    assert own.late.high == pytest.approx(0.52 + 4.302653 * 0.02 / np.sqrt(3))
    # skills: 0.42 late, 0.5 of fresh, 0.45 early
    assert own.plasticity.estimate == pytest.approx(0.42 / 0.5)
    assert own.retention.estimate == pytest.approx(0.42 / 0.45)
    assert own.gap_to_linear.estimate == pytest.approx(0.52 - 0.31)

    skill = np.array([LATE, FRESH, LINEAR]) - 0.1
    for got, expected in [
        (own.plasticity, ratio_of_means(skill[0], skill[1])),
        (own.retention, ratio_of_means(skill[0], [0.45] * 3)),
        (own.gap_to_linear, paired_difference(skill[0], skill[2])),
    ]:
        assert (got.kind, got.n, got.note) == (expected.kind, 3, "")
        assert (got.low, got.high) == pytest.approx((expected.low, expected.high))
    assert (own.plasticity.kind, own.gap_to_linear.kind) == ("fieller", "t")


def test_reference_arms_are_marked_and_scored(tmp_path):
    write_arms(tmp_path)
    scores = by_label(tmp_path)
    assert scores["fresh"].is_reference and scores["linear"].is_reference
    assert scores["fresh"].plasticity.estimate == pytest.approx(1)
    assert scores["linear"].gap_to_linear.estimate == 0


def test_errors_are_better_when_lower(tmp_path):
    for seed in range(3):
        kinds = [("backprop", None, 0.6), ("fresh", "fresh", 0.4), ("linear", "linear", 0.8)]
        for agent, reference, late in kinds:
            write_run(
                tmp_path,
                stream(0.5, late + seed / 100),
                agent=agent,
                reference=reference,
                seed=seed,
                outcome="error",
                anchor=1.0,
            )
    own = by_label(tmp_path)["backprop"]
    assert (own.outcome_name, own.higher_is_better) == ("error", False)
    assert own.late.estimate == pytest.approx(0.61)
    assert own.plasticity.estimate == pytest.approx(0.39 / 0.59)  # better than the anchor by less
    assert own.retention.estimate == pytest.approx(0.39 / 0.5)
    assert own.gap_to_linear.estimate == pytest.approx(0.2)  # positive is better


def test_without_references(tmp_path):
    write_run(tmp_path, stream(0.5, 0.5))
    (own,) = score(load(tmp_path))
    assert (own.plasticity.estimate, own.plasticity.note) == (None, "no `fresh` runs among these")
    assert (own.gap_to_linear.estimate, own.gap_to_linear.note) == (
        None,
        "no `linear` runs among these",
    )
    assert (own.fresh, own.linear) == (None, None)
    assert own.retention.estimate == pytest.approx(1)
    assert own.retention.low is None


def test_two_seeds_have_estimates_without_intervals(tmp_path):
    write_arms(tmp_path, LATE[:2], FRESH[:2], LINEAR[:2])
    own = by_label(tmp_path)["backprop"]
    for interval in (own.outcome, own.late, own.plasticity, own.retention, own.gap_to_linear):
        assert interval.estimate is not None
        assert (interval.low, interval.high, interval.kind) == (None, None, "none")


def test_fresh_no_better_than_chance_leaves_plasticity_undefined(tmp_path):
    write_arms(tmp_path, fresh=[0.09, 0.12, 0.10])
    own = by_label(tmp_path)["backprop"]
    assert own.plasticity.estimate is None
    assert own.plasticity.note == "denominator's interval includes 0"


def test_two_negative_skills_do_not_make_an_ability(tmp_path):
    write_arms(tmp_path, late=[0.05, 0.051, 0.052], fresh=[0.06, 0.061, 0.062])
    own = by_label(tmp_path)["backprop"]
    assert own.plasticity.estimate is None
    assert own.plasticity.note == "`fresh` is worse than the anchor"


def test_a_diverged_seed_is_not_dropped(tmp_path):
    write_arms(tmp_path, late=[0.5, None, 0.52])
    own = by_label(tmp_path)["backprop"]
    for interval in (own.outcome, own.late, own.plasticity, own.retention, own.gap_to_linear):
        assert (interval.estimate, interval.n) == (None, 3)
        assert interval.note == "1 of 3 values not finite"
    assert own.early.estimate == pytest.approx(0.55)


def test_pairs_are_the_seeds_both_have(tmp_path):
    write_arms(tmp_path, late=[*LATE, 0.9])
    own = by_label(tmp_path)["backprop"]
    assert (own.late.n, own.plasticity.n) == (4, 3)
    assert own.plasticity.estimate == pytest.approx(0.42 / 0.5)
    assert own.plasticity.note == "3 of 4 seeds are also in fresh"


def test_no_seed_in_common(tmp_path):
    write_run(tmp_path, stream(0.5, 0.5), seed=0)
    write_run(tmp_path, stream(0.5, 0.5), seed=1, agent="fresh", reference="fresh")
    plasticity = by_label(tmp_path)["backprop"].plasticity
    assert plasticity.estimate is None
    assert plasticity.note == "no values; 0 of 1 seeds are also in fresh"


def test_the_best_fresh_is_the_reference_and_is_named(tmp_path):
    for step_size, late in [(0.1, 0.5), (0.01, 0.6)]:
        settings = {"step_size": step_size}
        write_run(
            tmp_path, stream(0.5, late), agent="fresh", reference="fresh", agent_settings=settings
        )
    write_run(tmp_path, stream(0.5, 0.35))
    own = by_label(tmp_path)["backprop"]
    assert own.fresh == "fresh step_size=0.01"
    named = {s.label for s in score(load(tmp_path)) if any("2 fresh arms" in n for n in s.notes)}
    assert named == {own.fresh}
    assert own.plasticity.estimate == pytest.approx(0.25 / 0.5)


def test_a_diverged_fresh_is_never_the_reference_beside_a_sound_one(tmp_path):
    for step_size, late in [(0.1, None), (0.01, 0.6)]:
        settings = {"step_size": step_size}
        write_run(
            tmp_path, stream(0.5, late), agent="fresh", reference="fresh", agent_settings=settings
        )
    assert {s.fresh for s in score(load(tmp_path))} == {"fresh step_size=0.01"}


def test_references_are_those_of_the_same_problem_variant(tmp_path):
    for fraction, late in [(0.5, 0.5), (1.0, 0.6)]:
        variant = {"problem_settings": {"permuted_fraction": fraction}}
        write_run(tmp_path, stream(0.5, 0.3), **variant)
        write_run(tmp_path, stream(0.5, late), agent="fresh", reference="fresh", **variant)
    own = [s for s in score(load(tmp_path)) if s.agent == "backprop"]
    assert [s.problem_label for s in own] == [
        "PermutedDigits-v0 permuted_fraction=0.5",
        "PermutedDigits-v0 permuted_fraction=1.0",
    ]
    assert [s.plasticity.estimate for s in own] == pytest.approx([0.2 / 0.4, 0.2 / 0.5])


def test_seeds_of_different_length_share_the_shortest(tmp_path):
    write_run(tmp_path, [0.1] * 10 + [0.9] * 10, seed=0)
    write_run(tmp_path, [0.1] * 10, seed=1, finished=False)
    (own,) = score(load(tmp_path))
    assert (own.tasks, own.outcome.estimate) == (10, pytest.approx(0.1))
    assert own.notes == ("seeds have 10 to 20 tasks: scored at 10",)


def test_a_group_and_its_reference_are_compared_at_equal_length(tmp_path):
    write_run(tmp_path, [0.3] * 10 + [0.9] * 10)
    write_run(tmp_path, [0.5] * 10, agent="fresh", reference="fresh")
    write_run(tmp_path, [0.2] * 30, agent="linear", reference="linear")
    scores = by_label(tmp_path)
    own = scores["backprop"]
    assert own.late.estimate == pytest.approx(0.9)
    assert own.plasticity.estimate == pytest.approx(0.2 / 0.4)
    assert own.plasticity.note.endswith("first 10 of 20 tasks: fresh has no more")
    assert own.gap_to_linear.estimate == pytest.approx(0.7)
    assert own.gap_to_linear.note.endswith("linear cut to 20 of 30 tasks")
    assert own.notes == ("others have 30 tasks, this 20: not comparable",)
    assert scores["linear"].notes == ()


def test_runs_without_a_complete_task_are_named(tmp_path):
    write_run(tmp_path, stream(0.5, 0.5), seed=0)
    write_run(tmp_path, [[0.5] * 3], seed=1, finished=False)
    write_run(tmp_path, [], seed=0, agent="l2", finished=False)
    scores = by_label(tmp_path)
    assert (scores["backprop"].seeds, scores["backprop"].tasks) == ((0,), 20)
    assert scores["backprop"].notes == ("seeds without a complete task are left out: [1]",)
    waiting = scores["l2"]
    assert (waiting.seeds, waiting.tasks) == ((), 0)
    for interval in (waiting.outcome, waiting.early, waiting.late, waiting.retention):
        assert (interval.estimate, interval.n, interval.note) == (None, 0, "no values")


@pytest.mark.parametrize("tasks", [1, 2])
def test_too_few_tasks_for_retention(tmp_path, tasks):
    write_run(tmp_path, [0.5] * tasks)
    (own,) = score(load(tmp_path))
    assert own.retention.estimate is None
    assert own.retention.note == "fewer than 3 tasks: early and late are not apart"
    assert (own.early.estimate is None) == (tasks == 1)


def test_thirty_seeds_are_bootstrapped(tmp_path):
    generator = np.random.default_rng(0)
    for seed in range(30):
        late = 0.5 + generator.normal(0, 0.05)
        write_run(tmp_path, [0.4, 0.5, late], seed=seed, bins=1)
        write_run(tmp_path, [0.6] * 3, seed=seed, bins=1, agent="fresh", reference="fresh")
    own = by_label(tmp_path)["backprop"]
    kinds = {own.outcome.kind, own.late.kind, own.plasticity.kind, own.retention.kind}
    assert (kinds, own.plasticity.n) == ({"bootstrap"}, 30)
    assert own == by_label(tmp_path)["backprop"]  # the resamples have a fixed seed


def test_a_score_is_plain_json(tmp_path):
    write_arms(tmp_path, late=[0.5, None, 0.52])
    for one in score(load(tmp_path)):
        json.dumps(asdict(one), allow_nan=False)


def test_late_interval_has_seeds_as_its_unit(tmp_path):
    write_arms(tmp_path)
    late = by_label(tmp_path)["backprop"].late
    expected = mean_interval(LATE)
    assert (late.low, late.high, late.n) == pytest.approx((expected.low, expected.high, 3))


def test_export_has_one_row_per_seed_and_task(tmp_path):
    for seed in (0, 1):
        measures = {"dead_units": {0: 0.0, 2: None}}
        write_run(tmp_path, [0.2, 0.3, 0.4], seed=seed, measures=measures)
    write_run(tmp_path, [0.7], agent="sgd", outcome="error", engine="fused")
    runs = load(tmp_path)
    rows = export_rows(runs)
    assert [(r["agent"], r["seed"], r["task"]) for r in rows] == [
        *(("backprop", seed, task) for seed in (0, 1) for task in (0, 1, 2)),
        ("sgd", 0, 0),
    ]
    assert rows[1] == {
        "problem": "continual_envs/PermutedDigits-v0",
        "agent": "backprop",
        "settings_hash": runs[0].settings_hash,
        "purpose": "report",
        "problem_settings": "{}",
        "agent_settings": "{}",
        "seed": 0,
        "task": 1,
        "updates": 200,
        "accuracy": pytest.approx(0.3),
        "anchor": pytest.approx(0.1),
        "loss": 1.0,
        "seconds": 5.0,
        "engine": "torch",
        "dead_units": None,
    }
    assert rows[0]["dead_units"] == 0
    assert np.isnan(rows[2]["dead_units"])
    assert (rows[-1]["error"], rows[-1]["engine"]) == (pytest.approx(0.7), "fused")
    assert "accuracy" not in rows[-1]


def test_csv_has_every_column_and_empty_cells_for_what_is_not_there(tmp_path):
    measures = {"dead_units": {0: 0.25}}
    write_run(tmp_path, [0.5, 0.75], bins=1, measures=measures)
    write_run(tmp_path, [0.5], bins=1, agent="sgd", outcome="error")
    path = tmp_path / "rows.csv"
    write_csv(export_rows(load(tmp_path)), path)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["dead_units"] for r in rows] == ["0.25", "", ""]
    assert [r["accuracy"] for r in rows] == ["0.5", "0.75", ""]
    assert [r["error"] for r in rows] == ["", "", "0.5"]


def fresh_arms(root, arms, **more):
    """Fresh arms that differ in their step size, and a method."""
    for step_size, outcomes in arms.items():
        settings = {"step_size": step_size}
        write_run(root, outcomes, agent="fresh", reference="fresh", agent_settings=settings, **more)
    write_run(root, stream(0.5, 0.5), **more)
    return by_label(root)["backprop"]


def test_of_errors_the_fresh_with_the_smallest_is_the_reference(tmp_path):
    own = fresh_arms(tmp_path, {0.1: [0.6] * 20, 0.01: [0.4] * 20}, outcome="error", anchor=1.0)
    assert own.fresh == "fresh step_size=0.01"


def test_fresh_arms_are_compared_over_the_tasks_that_all_have(tmp_path):
    own = fresh_arms(tmp_path, {0.1: [0.5] * 10, 0.01: [0.45] * 10 + [0.9] * 10})
    assert own.fresh == "fresh step_size=0.1"


def test_a_fresh_that_has_not_begun_is_no_reference(tmp_path):
    write_run(tmp_path, stream(0.5, 0.5))
    write_run(tmp_path, [], agent="fresh", reference="fresh", finished=False)
    assert by_label(tmp_path)["backprop"].fresh is None
    settings = {"step_size": 1.0}
    write_run(tmp_path, stream(0.5, 0.6), agent="fresh", reference="fresh", agent_settings=settings)
    own = by_label(tmp_path)["backprop"]
    assert own.fresh == "fresh step_size=1.0" and own.plasticity.estimate is not None


def test_a_collapse_is_of_the_tasks_that_all_seeds_have(tmp_path):
    write_run(tmp_path, [5.0] * 9 + [0.5] + [5.0] * 10, outcome="return", seed=0, anchor=1.0)
    write_run(tmp_path, [5.0] * 9 + [0.5], outcome="return", seed=1, anchor=1.0)
    (own,) = score(load(tmp_path))
    assert (own.tasks, own.collapse.estimate) == (10, 1.0)


def test_the_first_to_diverge_is_named_whoever_it_is(tmp_path):
    for seed, first in ((0, 9), (1, 4)):
        path = write_run(tmp_path, stream(0.5, 0.1), seed=seed) / "records.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        wild = [line | {"diverged": line["task"] >= first} for line in lines]
        path.write_text("".join(json.dumps(line) + "\n" for line in wild))
    (own,) = score(load(tmp_path))
    assert own.notes[0].startswith("2 of 2 seeds diverged, the first in task 4: ")


def test_a_method_worse_than_the_anchor_has_a_negative_plasticity(tmp_path):
    write_arms(tmp_path, late=[0.05, 0.06, 0.04])
    own = by_label(tmp_path)["backprop"]
    assert own.plasticity.estimate == pytest.approx(-0.05 / 0.5)
    write_arms(tmp_path / "worse", fresh=[0.05, 0.051, 0.052])
    own = by_label(tmp_path / "worse")["backprop"]
    assert own.plasticity.note == "`fresh` is worse than the anchor"

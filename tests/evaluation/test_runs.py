"""Reading run folders: what counts, what is refused, and how runs are gathered."""

import json

import numpy as np
import pytest

from evaluation.groups import group
from evaluation.runs import load
from tests.evaluation.folders import write_run


def one(folder):
    (run,) = load(folder)
    return run


def rewrite(folder, change):
    """Apply a function to the parsed lines of records.jsonl."""
    path = folder / "records.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in change(lines)))


def test_one_value_per_task(tmp_path):
    run = one(write_run(tmp_path, [0.2, 0.4, 0.9], anchor=0.1, seed=7))
    assert run.seed == 7
    assert run.tasks.tolist() == [0, 1, 2]
    assert run.outcome == pytest.approx([0.2, 0.4, 0.9])
    assert run.skill == pytest.approx([0.1, 0.3, 0.8])
    assert run.loss.tolist() == [1, 1, 1]
    assert run.seconds.tolist() == [5, 5, 5]
    assert run.updates.tolist() == [100, 200, 300]


def test_bins_weigh_by_their_examples(tmp_path):
    folder = write_run(tmp_path, [[0.5, 1.0], [0.0, 1.0]], bins=2)

    def uneven(lines):
        for line, examples in zip(lines, [10, 40, 41, 44], strict=True):
            line["examples"] = examples
        return lines

    rewrite(folder, uneven)  # 10 and 30 examples, then 1 and 3
    assert one(folder).outcome == pytest.approx([(5 + 30) / 40, 3 / 4])


def test_a_bin_without_examples_counts_nothing(tmp_path):
    folder = write_run(tmp_path, [[0.5, None]], bins=2)

    def empty(lines):
        lines[1]["examples"] = lines[0]["examples"]
        return lines

    rewrite(folder, empty)
    assert one(folder).outcome.tolist() == [0.5]


def test_errors_have_skill_below_their_anchor(tmp_path):
    run = one(write_run(tmp_path, [0.3, 1.2], outcome="error", anchor=1.0))
    assert run.skill == pytest.approx([0.7, -0.2])
    assert not run.higher_is_better


def test_a_diverged_bin_makes_its_task_nan_and_no_other(tmp_path):
    run = one(write_run(tmp_path, [0.3, [0.3, None], 0.3], bins=2, outcome="error"))
    assert np.isnan(run.outcome).tolist() == np.isnan(run.skill).tolist() == [False, True, False]


def test_only_complete_tasks_count(tmp_path):
    measures = {"dead_units": {0: 0.0, 1: 0.1, 2: 0.2}}
    folder = write_run(
        tmp_path, [0.5, 0.6, [0.7] * 9], measures=measures, finished=False, anchor=None
    )
    run = one(folder)
    assert run.outcome == pytest.approx([0.5, 0.6])
    assert np.isnan(run.skill).all()
    tasks, values = run.measures["dead_units"]
    assert (tasks.tolist(), values.tolist()) == ([0, 1], [0.0, 0.1])


def test_bins_per_task_is_read_and_ten_by_default(tmp_path):
    folder = write_run(tmp_path, [[0.5] * 4] * 2, bins=4, finished=False)
    assert len(one(folder).tasks) == 2
    config = json.loads((folder / "config.json").read_text())
    del config["bins_per_task"]
    (folder / "config.json").write_text(json.dumps(config))
    rewrite(folder, lambda lines: lines[:4])
    assert len(one(folder).tasks) == 0


def test_measures_may_be_null_and_sparse(tmp_path):
    measures = {"srank_99": {0: 5, 2: None}, "dead_units": {2: 0.5}}
    run = one(write_run(tmp_path, [0.5] * 3, measures=measures))
    tasks, values = run.measures["srank_99"]
    assert tasks.tolist() == [0, 2]
    np.testing.assert_array_equal(values, [5, np.nan])
    assert run.measures["dead_units"][0].tolist() == [2]


def test_unknown_kinds_of_record_are_passed_over(tmp_path):
    folder = write_run(tmp_path, [0.5])
    rewrite(folder, lambda lines: [{"kind": "note", "task": 0, "accuracy": 0.9}, *lines])
    assert one(folder).outcome == pytest.approx([0.5])


def test_load_walks_folders_and_reads_each_once(tmp_path):
    first = write_run(tmp_path / "a", [0.5], seed=0)
    write_run(tmp_path / "a", [0.5], seed=1)
    write_run(tmp_path / "b", [0.5], seed=2)
    assert [run.seed for run in load(tmp_path / "a", str(tmp_path / "b"), first)] == [0, 1, 2]


def test_a_path_without_runs(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ValueError, match=f"^{path}: holds no run"):
            load(path)


def test_a_run_that_has_not_begun(tmp_path):
    folder = write_run(tmp_path, [], finished=False)
    (folder / "records.jsonl").unlink()
    run = one(folder)
    assert len(run.tasks) == len(run.outcome) == len(run.updates) == 0


def test_a_half_written_line_is_ignored_while_the_run_is_not_done(tmp_path):
    folder = write_run(tmp_path, [0.5, 0.6], finished=False)
    records = folder / "records.jsonl"
    records.write_bytes(records.read_bytes()[:-9])
    assert one(folder).outcome == pytest.approx([0.5])
    (folder / "result.json").write_text("{}")
    message = refusal(folder)
    assert message == f"{records} line 20: is not JSON"


def test_a_torn_line_in_the_middle_is_never_ignored(tmp_path):
    folder = write_run(tmp_path, [0.5], finished=False)
    records = folder / "records.jsonl"
    lines = records.read_text().splitlines()
    lines[2] = lines[2][:-5]
    records.write_text("\n".join(lines) + "\n")
    assert refusal(folder) == f"{records} line 3: is not JSON"


def refusal(folder):
    """Return the one line with which loading fails."""
    with pytest.raises(ValueError) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"accuracy": "good"}, "accuracy: 'good'; needs a number or null"),
        ({"task": None}, "task: None; needs an integer"),
        ({"bin": 10}, "bin: 10 is not allowed; use 0 to 9"),
        ({"bin": 3}, "task 0 bin 3 cannot follow task 0 bin 3"),
        ({"task": 1}, "task 1 bin 4 cannot follow task 0 bin 3"),
        ({"examples": 5}, "task 0 bin 4 cannot follow task 0 bin 3"),
    ],
)
def test_a_bad_record_is_named_by_file_and_line(tmp_path, change, expected):
    folder = write_run(tmp_path, [0.5])

    def spoil(lines):
        lines[4] |= change
        return lines

    rewrite(folder, spoil)
    assert refusal(folder) == f"{folder / 'records.jsonl'} line 5: {expected}"


def test_an_outcome_that_is_missing(tmp_path):
    folder = write_run(tmp_path, [0.5])
    rewrite(folder, lambda lines: [{**lines[0], "accuracy": 1}, {"kind": "online", "task": 0}])
    assert refusal(folder).endswith("line 2: accuracy is missing")


def test_a_stream_starts_at_task_zero(tmp_path):
    folder = write_run(tmp_path, [0.5, 0.5])
    rewrite(folder, lambda lines: lines[10:])
    assert refusal(folder).endswith("line 1: task 1 bin 0 cannot follow the start")


def test_a_measure_given_twice(tmp_path):
    folder = write_run(tmp_path, [0.5], measures={"dead_units": {0: 0.1}})
    rewrite(folder, lambda lines: [lines[0], *lines])
    assert refusal(folder).endswith("line 2: dead_units of task 0 is already given above")


def test_a_done_run_without_records(tmp_path):
    folder = write_run(tmp_path, [0.5])
    (folder / "records.jsonl").unlink()
    assert refusal(folder) == f"{folder / 'records.jsonl'}: is missing, though the run is done"


def test_a_done_run_whose_records_are_cut_at_a_line(tmp_path):
    folder = write_run(tmp_path, [0.5] * 3)
    rewrite(folder, lambda lines: lines[:20])
    records = folder / "records.jsonl"
    assert refusal(folder) == f"{records}: ends after 2 tasks, but result.json says 3"
    (folder / "result.json").write_text('{"tasks": 2}')
    assert len(one(folder).tasks) == 2
    (folder / "result.json").write_text('{"finished": true}')  # a third party need not say it
    assert len(one(folder).tasks) == 2
    (folder / "result.json").write_text("{")
    assert refusal(folder).startswith(f"{folder / 'result.json'}: is not JSON (")
    (folder / "result.json").write_text("[1]")
    assert refusal(folder).startswith(f"{folder / 'result.json'}: is not a JSON object; mend it")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"problem": ', "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"problem": "p", "agent": "a", "outcome": "accuracy"}', "seed: missing; needs"),
        ('{"problem": "p", "agent": "a", "seed": "0", "outcome": "error"}', "seed: '0'; needs"),
        ('{"problem": "p", "agent": "a", "seed": 0, "outcome": "regret"}', "'regret' is not allow"),
        (
            '{"problem": "p", "agent": "a", "seed": 0, "outcome": "error", "bins_per_task": "5"}',
            "bins_per_task: '5'; needs a value of type int",
        ),
        (
            '{"problem": "p", "agent": "a", "seed": 0, "outcome": "error", "privileges": 3}',
            "privileges: 3; needs a value of type list",
        ),
    ],
)
def test_a_corrupt_config_is_named(tmp_path, text, expected):
    folder = write_run(tmp_path, [0.5])
    (folder / "config.json").write_text(text)
    message = refusal(folder)
    assert message.startswith(f"{folder / 'config.json'}: ")
    assert expected in message


def test_a_third_partys_bare_config_is_enough(tmp_path):
    folder = write_run(tmp_path, [0.5])
    bare = {"problem": "other/Stream-v1", "agent": "theirs", "seed": 0, "outcome": "accuracy"}
    (folder / "config.json").write_text(json.dumps(bare))
    (one_group,) = group(load(folder))
    assert (one_group.problem_label, one_group.label) == ("other/Stream-v1", "theirs")
    assert len(one_group.runs[0].settings_hash) == 12


def labels(tmp_path):
    return [(g.problem_label, g.label) for g in group(load(tmp_path))]


def test_labels_name_only_what_differs(tmp_path):
    for step_size in (0.01, 0.1):
        settings = {"step_size": step_size, "hidden": [100, 100], "activation": "relu"}
        write_run(tmp_path, [0.5], agent_settings=settings)
    write_run(tmp_path, [0.5], agent="l2", agent_settings={"step_size": 0.01})
    assert labels(tmp_path) == [
        ("PermutedDigits-v0", "backprop step_size=0.01"),
        ("PermutedDigits-v0", "backprop step_size=0.1"),
        ("PermutedDigits-v0", "l2"),
    ]


def test_labels_are_unique_where_settings_were_not_recorded(tmp_path):
    for settings_hash in ("aaaaaaaaaaaa", "bbbbbbbbbbbb"):
        write_run(tmp_path / settings_hash, [0.5], settings_hash=settings_hash)
    names = [label for _, label in labels(tmp_path)]
    assert names == ["backprop #aaaaaaaa", "backprop #bbbbbbbb"]


def test_variants_of_a_problem_are_told_apart(tmp_path):
    for fraction in (0.5, 1.0):
        settings = {"permuted_fraction": fraction, "dataset": "digits"}
        write_run(tmp_path, [0.5], problem_settings=settings)
    assert labels(tmp_path) == [
        ("PermutedDigits-v0 permuted_fraction=0.5", "backprop"),
        ("PermutedDigits-v0 permuted_fraction=1.0", "backprop"),
    ]


def test_where_a_stream_ends_makes_no_other_problem(tmp_path):
    for agent, num_tasks in (("backprop", None), ("mine", 30)):
        write_run(tmp_path, [0.5], agent=agent, problem_settings={"num_tasks": num_tasks})
    assert labels(tmp_path) == [("PermutedDigits-v0", "backprop"), ("PermutedDigits-v0", "mine")]
    for num_tasks in (5, 10):  # of an agent of one's own, that is a setting like any other
        write_run(tmp_path, [0.5], agent="own", agent_settings={"num_tasks": num_tasks})
    assert [label for _, label in labels(tmp_path)][2:] == ["own num_tasks=10", "own num_tasks=5"]


def test_seeds_are_gathered_in_order(tmp_path):
    for seed in (2, 0, 10):
        write_run(tmp_path, [0.5], seed=seed)
    (one_group,) = group(load(tmp_path))
    assert [run.seed for run in one_group.runs] == [0, 2, 10]


def test_the_same_seed_twice_is_refused(tmp_path):
    twins = [write_run(tmp_path / name, [0.5], seed=3) for name in "ab"]
    with pytest.raises(ValueError) as caught:
        group(load(tmp_path))
    message = str(caught.value)
    assert message.startswith("seed: 3 is not allowed twice") and "\n" not in message
    assert all(str(folder) in message for folder in twins)


def test_updates_never_shrink(tmp_path):
    folder = write_run(tmp_path, [0.5])
    rewrite(folder, lambda lines: [*lines[:4], lines[4] | {"updates": 5}, *lines[5:]])
    assert refusal(folder).endswith("line 5: task 0 bin 4 cannot follow task 0 bin 3")


def test_a_seed_is_no_truth_value(tmp_path):
    folder = write_run(tmp_path, [0.5])
    (folder / "config.json").write_text(
        '{"problem": "p", "agent": "a", "seed": true, "outcome": "error"}'
    )
    assert "seed: True; needs a value of type int" in refusal(folder)


def test_what_is_scored_is_one_of_three(tmp_path):
    folder = write_run(tmp_path, [0.5], scored="first test")
    assert "scored: 'first test' is not allowed; use online, last test, best test" in refusal(
        folder
    )


def test_an_outcome_is_no_truth_value(tmp_path):
    folder = write_run(tmp_path, [0.5])
    rewrite(folder, lambda lines: [lines[0] | {"accuracy": True}, *lines[1:]])
    assert refusal(folder).endswith("line 1: accuracy: True; needs a number or null")


def test_a_folder_named_in_two_ways_is_read_once(tmp_path):
    write_run(tmp_path / "a", [0.5])
    (tmp_path / "b").mkdir()
    assert len(load(tmp_path / "a", tmp_path / "b" / ".." / "a")) == 1


def test_counts_are_whole_numbers(tmp_path):
    folder = write_run(tmp_path, [0.5])
    rewrite(folder, lambda lines: [lines[0] | {"bin": False}, *lines[1:]])
    assert refusal(folder).endswith("line 1: bin: False; needs an integer")

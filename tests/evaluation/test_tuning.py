"""Runs on tuning seeds are marked and never pooled with what is reported."""

from pathlib import Path

from evaluation.groups import group
from evaluation.runs import load
from tests.evaluation.folders import write_run


def test_tuning_is_a_group_of_its_own(tmp_path: Path) -> None:
    for seed, purpose in ((0, "report"), (1, "report"), (100, "tuning"), (101, "tuning")):
        write_run(tmp_path, [0.5, 0.6, 0.7], agent="backprop", seed=seed, purpose=purpose)
    groups = {one.label: [run.seed for run in one.runs] for one in group(load(tmp_path))}
    assert groups == {"backprop": [0, 1], "backprop (tuning)": [100, 101]}

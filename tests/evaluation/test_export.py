"""Exported rows say of every run and task what its folder says."""

import json

from evaluation.export import export_rows
from evaluation.runs import load
from tests.evaluation.folders import write_run


def test_rows_say_what_a_run_was_for_and_its_settings(tmp_path):
    write_run(tmp_path, [0.5], purpose="tuning", problem_settings={"a": 1}, agent_settings={"b": 2})
    (row,) = export_rows(load(tmp_path))
    assert (row["purpose"], row["problem_settings"], row["agent_settings"]) == (
        "tuning",
        '{"a": 1}',
        '{"b": 2}',
    )


def test_every_row_is_of_its_own_task(tmp_path):
    folder = write_run(tmp_path, [0.5, 0.6], bins=1)
    path = folder / "records.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1] |= {"anchor": 0.2, "loss": 3.0, "seconds": 7.0}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second = export_rows(load(tmp_path))
    assert [first[k] for k in ("anchor", "loss", "seconds")] == [0.1, 1.0, 0.5]
    assert [second[k] for k in ("anchor", "loss", "seconds")] == [0.2, 3.0, 7.0]


def test_the_best_test_of_an_error_is_the_smallest(tmp_path):
    folder = write_run(tmp_path, [0.5], bins=2, outcome="error")
    line = {"kind": "test", "task": 0, "updates": 20, "examples": 20, "loss": None}
    more = [line | {"bin": bin, "error": error} for bin, error in ((0, 0.2), (1, 0.7))]
    with open(folder / "records.jsonl", "a") as file:
        file.writelines(json.dumps(one) + "\n" for one in more)
    (row,) = export_rows(load(tmp_path))
    assert (row["best_test_error"], row["last_test_error"]) == (0.2, 0.7)

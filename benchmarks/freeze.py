"""Freeze the finished arms of a study: `python benchmarks/freeze.py STUDY DIR`.

Writes what `continual-envs report --beside STUDY` shows, beside the study's own file, and a table
in the columns of `continual-envs export`, of our own studies in benchmarks/results. A row is a task
or, where that would be more than 20,000 rows, a tenth of the stream, from `first_task` to `task`:
outcomes, anchor, loss and measures are then means, seconds a sum, updates those at its end.
`problem_label` and `arm` are the names that a report gives.
Arms frozen before and not in DIR stay, so that a study may be run in parts.
"""

import csv
import gzip
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.config import RunConfig
from evaluation.export import export_rows
from evaluation.groups import Group, group
from evaluation.report.frozen import frozen_text, write_problems
from evaluation.runs import Run, load
from evaluation.studies import HERE, Study, load_study

RESULTS = Path(__file__).parent / "results"
MOST_ROWS = 20_000
WINDOWS = 10


def main(study: str, folder: str) -> None:
    loaded = load_study(study)
    name = Path(study).stem
    target = Path(study).with_suffix(".json") if study.endswith(".toml") else HERE / f"{name}.json"
    groups = finished(loaded, load(folder))
    text = frozen_text(name, groups, loaded.commands(), loaded.published())
    arms = {cell.settings_hash for cell in loaded.cells()}
    before = target.read_text(encoding="utf-8") if target.exists() else None
    target.write_text(joined(text, before, arms), encoding="utf-8")
    ours = target.resolve().parent in (HERE.resolve(), RESULTS.resolve().parent)
    table = (RESULTS if ours else target.parent) / f"{name}.csv.gz"
    new = rows(groups, whole=sum(cell.tasks for cell in loaded.cells()) <= MOST_ROWS)
    kept = [row for row in read(table) if row["settings_hash"] in arms - done(new)]
    ordered = sorted(kept + new, key=lambda row: (row["problem_label"], row["arm"]))
    table.write_bytes(gzip.compress(csv_text(ordered).encode(), mtime=0))
    for path in (target, table):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def finished(study: Study, runs: list[Run]) -> list[Group]:
    """Return the arms whose runs are all done, named as among all arms of the study."""
    found = {
        (run.settings_hash, run.seed): run
        for run in runs
        if run.config.get("purpose", "report") == "report"
    }
    arms: dict[str, list[Run]] = {}
    short: dict[str, str] = {}
    for cell in study.cells():
        run = found.get((cell.settings_hash, cell.seed))
        if run is None or len(run.tasks) != cell.tasks:
            short[cell.settings_hash] = f"{cell.agent} {cell.settings_hash[:8]} seed {cell.seed}"
            run = unfinished(cell, runs)
        arms.setdefault(cell.settings_hash, []).append(run)
    if len(short) == len(arms):
        raise SystemExit(f"no arm is done; not done is {next(iter(short.values()))}")
    for example in short.values():
        print(f"left out, since not done: {example}")
    groups = group([run for members in arms.values() for run in members])
    return [one for one in groups if one.runs[0].settings_hash not in short]


def unfinished(cell: RunConfig, runs: list[Run]) -> Run:
    """Return a run without a task, which stands for an arm when arms are named."""
    config = vars(cell) | {"settings_hash": cell.settings_hash}
    for run in runs:
        if all(run.config[key] == config[key] for key in ("problem", "problem_settings")):
            config["scored"] = run.scored
    nothing = np.empty(0)
    return Run(Path(), config, *[nothing] * 3, None, *[nothing] * 6, measures={})


def done(table: list[dict[str, Any]]) -> set[str]:
    """Return the settings hashes of a table."""
    return {row["settings_hash"] for row in table}


def read(table: Path) -> list[dict[str, Any]]:
    """Return the rows of a table that was written before, if it was."""
    if not table.exists():
        return []
    return list(csv.DictReader(io.StringIO(gzip.decompress(table.read_bytes()).decode())))


def joined(new: str, before: str | None, arms: set[str]) -> str:
    """Return the frozen text with those of `arms` that were frozen before and are not in it."""
    if before is None:
        return new
    problems = {problem["label"]: problem for problem in json.loads(new)["problems"]}
    for old in json.loads(before)["problems"]:
        problem = problems.setdefault(old["label"], old | {"arms": []})
        there = {arm["settings_hash"] for arm in problem["arms"]}
        problem["arms"] += [a for a in old["arms"] if a["settings_hash"] in arms - there]
        problem["arms"].sort(key=lambda arm: arm["label"])
        problem["content"] = old["content"] | problem["content"]
    return write_problems(json.loads(new)["study"], problems.values())


def rows(groups: list[Group], whole: bool) -> list[dict[str, Any]]:
    """Return a row a task (or a tenth of the tasks); numbers have six significant digits."""
    return [
        {"problem_label": member.problem_label, "arm": member.label, **joint(list(window))}
        for member in groups
        for run in member.runs
        for window in np.array_split(export_rows([run]), len(run.tasks) if whole else WINDOWS)
    ]


def joint(window: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one row for the exported rows of consecutive tasks."""
    row = window[-1] | {"first_task": window[0]["task"]}
    for name in window[-1]:
        values = [one[name] for one in window if one[name] is not None]
        if name == "seconds":
            row[name] = f"{sum(values):.4g}"
        elif values and isinstance(values[0], float):
            row[name] = f"{np.mean(values):.6g}"
    return row


def csv_text(table: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    columns = dict.fromkeys(column for row in table for column in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


if __name__ == "__main__":
    sys.path.append(os.getcwd())  # where the command line finds plugins, too
    main(*sys.argv[1:])

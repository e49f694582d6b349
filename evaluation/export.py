"""Runs as one flat table, for pandas, R or a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.runs import Run, best, load


def export(paths: Sequence[str | Path], out: str | Path) -> Path:
    """Write one row per run and task of every run at or below the paths; see `export_rows`.

    Args:
        paths: folders.
        out: the CSV file; folders above it are made.

    Raises:
        ValueError: a path holds no run, or a file in it is damaged.
    """
    rows, path = export_rows(load(*paths)), Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(rows, path)
    return path


def export_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return one row per problem, agent, settings hash, seed and complete task.

    Columns: problem, agent, settings_hash, purpose (report, or tuning, which is not to be pooled
    with it), problem_settings and agent_settings (as JSON), seed, task, updates (of the run so
    far), the outcome under its own name (accuracy, error or return), where tasks hold examples out
    also that of the examples as they came (online_accuracy) and on the test examples after the last
    pass and the best (last_test_accuracy, best_test_accuracy), anchor, loss, seconds, engine, and
    one per measure, None at tasks where it was not taken. What is not finite is nan.
    """
    return [row for run in runs for row in _rows(run)]


def write_csv(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Write rows as CSV with every column that any row has; a cell without a value is empty."""
    columns = dict.fromkeys(column for row in rows for column in row)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _rows(run: Run) -> list[dict[str, Any]]:
    measures = {
        name: dict(zip(tasks.tolist(), values.tolist(), strict=True))
        for name, (tasks, values) in run.measures.items()
    }
    return [
        {
            "problem": run.config["problem"],
            "agent": run.config["agent"],
            "settings_hash": run.settings_hash,
            "purpose": run.config.get("purpose", "report"),
            "problem_settings": json.dumps(run.config.get("problem_settings") or {}),
            "agent_settings": json.dumps(run.config.get("agent_settings") or {}),
            "seed": run.seed,
            "task": task,
            "updates": int(run.updates[task]),
            run.outcome_name: float(run.outcome[task]),
            **_held_out(run, task),
            "anchor": float(run.anchor[task]),
            "loss": float(run.loss[task]),
            "seconds": float(run.seconds[task]),
            "engine": run.config.get("engine"),
            **{name: values.get(task) for name, values in measures.items()},
        }
        for task in run.tasks.tolist()
    ]


def _held_out(run: Run, task: int) -> dict[str, float]:
    if run.test is None:
        return {}
    name, test = run.outcome_name, run.test[task]
    (highest,) = best(test[None], name)
    values = {"online": run.online[task], "last_test": test[-1], "best_test": highest}
    return {f"{kind}_{name}": float(value) for kind, value in values.items()}

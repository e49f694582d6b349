"""Whether a loss builds up: `python benchmarks/buildup.py FILE`, a table of benchmarks/freeze.py.

Of every arm, paired by seed: how much of the return, and of the tasks above the random policy's
return, is lost from the early to the late window, and on average from task to task (the slope of
least squares over all tasks after the first). Means over seeds with 95 % intervals, Student t.
"""

from __future__ import annotations

import csv
import gzip
import sys
from itertools import groupby

import numpy as np

from evaluation.scores import early_window, late_window
from evaluation.statistics import mean_interval


def main(path: str) -> None:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for names, arm in groupby(rows, key=lambda row: (row["problem"], row["arm"])):
        lives = [list(life) for _, life in groupby(arm, key=lambda row: row["seed"])]
        returns, anchor = (
            np.array([[float(row[column]) for row in life] for life in lives])
            for column in ("return", "anchor")
        )
        print(*names, f"{len(lives)} seeds, {returns.shape[1]} tasks", sep=", ")
        show("return", returns)
        show("tasks above the random policy", (returns > anchor).astype(float))


def show(name: str, values: np.ndarray) -> None:
    """Print what is lost of values (seeds, tasks)."""
    tasks = values.shape[1]
    early, late = (values[:, of(tasks)].mean(1) for of in (early_window, late_window))
    (slopes, _) = np.polyfit(np.arange(1, tasks), values[:, 1:].T, 1)
    for what, found in (
        ("early", early),
        ("late", late),
        ("lost", early - late),
        ("lost a task", -slopes),
    ):
        mean = mean_interval(found)
        print(f"  {name}, {what}: {mean.estimate:.3f} [{mean.low:.3f}, {mean.high:.3f}]")


if __name__ == "__main__":
    main(*sys.argv[1:])

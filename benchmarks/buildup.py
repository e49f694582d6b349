"""Whether a loss builds up: `python benchmarks/buildup.py FILE [--fresh FILE] [--out FIGURE]`.

FILE is a table of benchmarks/freeze.py. Of every arm, paired by seed: how much of the return, and
of the share of tasks above the random policy's return, is lost from the early to the late window,
and on average from task to task (the slope of least squares over all tasks after the first). Means
over seeds with 95 % intervals, Student t, from 30 seeds on bootstrap. The figure has both by task.
With `--fresh` also the plasticity against every fresh arm of another such table, or the same: late
skill over that arm's, of the seeds that both have (Fieller).
"""

from __future__ import annotations

import argparse
import csv
import gzip
from itertools import groupby
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from evaluation.scores import early_window, late_window
from evaluation.statistics import mean_interval, ratio_of_means

MEASURES = ("return", "share above the random policy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, metavar="FILE")
    parser.add_argument("--fresh", type=Path, metavar="FILE", help="a table with fresh arms")
    parser.add_argument("--out", type=Path, help="a PNG or PDF file")
    parsed = parser.parse_args()
    rows = read(parsed.table)
    figure, panels = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    for names, arm in groupby(rows, key=lambda row: (row["problem_label"], row["arm"])):
        lives = [list(life) for _, life in groupby(arm, key=lambda row: row["seed"])]
        returns, anchor = (
            np.array([[float(row[column]) for row in life] for life in lives])
            for column in ("return", "anchor")
        )
        print(*names, f"{len(lives)} seeds, {returns.shape[1]} tasks", sep=", ")
        above = returns > anchor
        both = (returns, above.astype(float))
        for panel, measure, values in zip(panels, MEASURES, both, strict=True):
            show(measure, values)
            draw(panel, ", ".join(names), values)
            panel.set(xlabel="task", ylabel=measure, ylim=(0, None))
            panel.xaxis.get_major_locator().set_params(integer=True)
        for what, window in (("early", early_window), ("late", late_window)):
            part = (slice(None), window(returns.shape[1]))
            print(f"  return where above it, {what}: {returns[part][above[part]].mean():.1f}")
    if parsed.fresh:
        beside_fresh(skills(rows), skills(read(parsed.fresh)))
    panels[0].legend(frameon=False)
    if parsed.out:
        figure.savefig(parsed.out, dpi=110)


def read(table: Path) -> list[dict[str, str]]:
    """Return the rows of a frozen table."""
    with gzip.open(table, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def skills(rows: list[dict[str, str]]) -> dict[tuple[str, str], dict[str, float]]:
    """Return by problem and arm the late skill of every seed."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for (problem, arm, seed), life in groupby(
        rows, key=lambda row: (row["problem_label"], row["arm"], row["seed"])
    ):
        skill = np.array([float(row["return"]) - float(row["anchor"]) for row in life])
        late = float(skill[late_window(len(skill))].mean())
        found.setdefault((problem, arm), {})[seed] = late
    return found


def beside_fresh(ours: dict, theirs: dict) -> None:
    """Print the plasticity of every arm against every fresh one."""
    compared = False
    for (problem, arm), seeds in ours.items():
        for (its, fresh), others in theirs.items():
            shared = sorted(seeds.keys() & others.keys())
            if its != problem or not fresh.startswith("fresh") or arm.startswith("fresh"):
                continue
            if not shared:
                continue
            compared = True
            values = [np.array([one[seed] for seed in shared]) for one in (seeds, others)]
            interval = ratio_of_means(*values)
            says = f"{interval.estimate} [{interval.low}, {interval.high}] {interval.note}"
            print(f"{problem}, {arm}: plasticity {says} against {fresh}, {len(shared)} seeds")
    if not compared:
        raise SystemExit("--fresh: no fresh arm of a problem of this label with these seeds")


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


def draw(panel: plt.Axes, label: str, values: np.ndarray) -> None:
    """Draw the mean of values (seeds, tasks) by task, with its band and the fitted line."""
    tasks = np.arange(values.shape[1])
    intervals = [mean_interval(column) for column in values.T]
    (line,) = panel.plot(tasks, [one.estimate for one in intervals], "o-", ms=3, label=label)
    ends = ([one.low for one in intervals], [one.high for one in intervals])
    panel.fill_between(tasks, *ends, alpha=0.15, color=line.get_color(), lw=0)
    fitted = np.poly1d(np.polyfit(tasks[1:], values[:, 1:].mean(0), 1))
    panel.plot(tasks[1:], fitted(tasks[1:]), "--", color=line.get_color(), lw=1)


if __name__ == "__main__":
    main()

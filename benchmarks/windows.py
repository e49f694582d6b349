"""First tenth, last tenth and best five-task window of every arm: `python windows.py DIR...`."""

import sys

import numpy as np

import evaluation
from evaluation.groups import group
from evaluation.statistics import mean_interval, ratio_of_means


def main(paths: list[str]) -> None:
    for arm in group(evaluation.load(*paths)):
        outcomes = np.array([run.outcome[: arm.num_tasks] for run in arm.runs])
        tenth = max(1, arm.num_tasks // 10)
        first, last = outcomes[:, :tenth].mean(1), outcomes[:, -tenth:].mean(1)
        mean = outcomes.mean(0)
        windows = np.convolve(mean, np.ones(5) / 5, mode="valid")
        best = windows.min() if arm.config["outcome"] == "error" else windows.max()
        print(f"{arm.problem_label}  {arm.label}  {len(outcomes)} seeds, {arm.num_tasks} tasks")
        start = int(np.argmin(abs(windows - best)))
        print(f"  best five-task window {best:.4f} (tasks {start} to {start + 4})")
        for name, interval in (
            ("first tenth", mean_interval(first)),
            ("last tenth", mean_interval(last)),
            ("last / first", ratio_of_means(last, first)),
        ):
            ends = "" if interval.low is None else f" [{interval.low:.4f}, {interval.high:.4f}]"
            print(f"  {name} {interval.estimate:.4f}{ends}")


if __name__ == "__main__":
    main(sys.argv[1:])

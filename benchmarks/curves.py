"""Figure of a frozen study: `python benchmarks/curves.py STUDY --out FILE`.

The outcome of every arm by examples seen, mean over seeds with 95 % bands. A panel has one agent at
one step size on one problem, with the best linear learner and `fresh` in grey; circles are what the
paper reports.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from evaluation.config import RunConfig, make_problem
from evaluation.report.frozen import FrozenArm, FrozenProblem, load_frozen
from evaluation.studies import load_study

COLUMNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", help="its name")
    parser.add_argument("--out", type=Path, required=True, help="a PNG or PDF file")
    parser.add_argument("--highest", type=float, help="vertical axes are from 0 to this")
    parsed = parser.parse_args()
    sizes = {cell.settings_hash: examples(cell) for cell in one_seed(parsed.study)}
    panels = [p for problem in load_frozen(parsed.study).problems for p in split(problem)]
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    size = (12 if columns > 1 else 6, 3.3 * rows)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (problem, arms, references) in zip(axes.flat, panels, strict=False):
        draw(axis, problem, arms, references, sizes)
    if parsed.highest is not None:
        axes[0, 0].set_ylim(0, parsed.highest)
    figure.savefig(parsed.out, dpi=110)


def one_seed(study: str) -> list[RunConfig]:
    """Return one cell an arm."""
    return list({cell.settings_hash: cell for cell in load_study(study).cells()}.values())


def examples(cell: RunConfig) -> int:
    """Return the examples of a task."""
    size: int = make_problem(cell, privileged=False).unwrapped.stream.examples_per_task
    return size


def split(
    problem: FrozenProblem,
) -> list[tuple[FrozenProblem, list[FrozenArm], list[FrozenArm]]]:
    """Return (problem, arms, reference arms) of each panel."""
    groups: dict[tuple[str, float], list[FrozenArm]] = {}
    for arm in problem.arms:
        if arm.reference is None:
            groups.setdefault((arm.agent, arm.settings["step_size"]), []).append(arm)
    best: dict[str, FrozenArm] = {}
    for arm in problem.arms:
        if arm.reference and (arm.agent not in best or better(problem, arm, best[arm.agent])):
            best[arm.agent] = arm
    return [(problem, arms, list(best.values())) for arms in groups.values()]


def better(problem: FrozenProblem, one: FrozenArm, other: FrozenArm) -> bool:
    """Return whether an arm has the better mean over its curve."""
    mean, rival = (float(np.mean(arm.curves[problem.outcome].mean)) for arm in (one, other))
    return mean < rival if problem.outcome == "error" else mean > rival


def draw(
    axis: Axes,
    problem: FrozenProblem,
    arms: list[FrozenArm],
    references: list[FrozenArm],
    sizes: dict[str, int],
) -> None:
    """Draw one panel."""
    for i, arm in enumerate(references + arms):
        curve, size = arm.curves[problem.outcome], sizes[arm.settings_hash]
        x = np.asarray(curve.tasks) * size
        grey = arm in references
        color, style = ("0.5", ("--", ":")[i % 2]) if grey else (f"C{i - len(references)}", "-")
        axis.plot(x, curve.mean, style, color=color, label=label(arm, arms), linewidth=1.2)
        axis.fill_between(x, curve.low, curve.high, color=color, alpha=0.2, linewidth=0)
        if arm.published:
            places = {"start": 0, "peak": np.nan, "end": arm.tasks * size}
            for place, value in arm.published.values.items():
                if isinstance(value, float) and place in places:
                    # A peak stands where ours has its own.
                    first = arm.windows["peak"].first * size
                    at = first if place == "peak" else places[place]
                    axis.plot(at, value, "o", color=color, markerfacecolor="none")
    title = f"{arms[0].agent}, step size {arms[0].settings['step_size']:g}"
    variant = problem.label.partition(" ")[2]
    axis.set_title(f"{title}\n{variant}" if variant else title, fontsize=9)
    axis.set_xlabel("examples")
    axis.set_ylabel(problem.outcome)
    axis.legend(fontsize=6, ncols=2)


def label(arm: FrozenArm, arms: list[FrozenArm]) -> str:
    """Return the settings that all arms of a panel have and in which this one differs."""
    differing = {
        key: value
        for key, value in arm.settings.items()
        if arm in arms and all(key in one.settings for one in arms)
        if len({str(one.settings[key]) for one in arms}) > 1
    }
    words = " ".join(f"{key}={value}" for key, value in differing.items())
    return words or arm.agent


if __name__ == "__main__":
    main()

"""The report's figures: the outcome and each measure by task, with one line per arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from evaluation.report.arms import Arm, Problem
from evaluation.report.curves import (
    Array,
    anchor_curve,
    measure_curve,
    outcome_curve,
    smoothing_window,
)
from evaluation.report.drawing import Line, Look, draw, spans_decades, style
from evaluation.report.wording import DIRECTIONS, kinds, number, outcome_decimals, slug

# Okabe & Ito's colours but for yellow, which white swallows, then three of Tol's: told apart by
# colour-blind readers, and every line is labelled at its end as well.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
    "#882255", "#332288", "#999933",
)  # fmt: skip
SECOND_ROUND = (0, (7, 1.5, 1.5, 1.5))
REFERENCES = {
    "fresh": Look("#555555", (0, (5, 2)), 1.2),
    "linear": Look("#8a8a8a", (0, (2.2, 1.6)), 1.2),
}
OTHER_REFERENCE = Look("#a0a0a0", (0, (6, 1.5, 1, 1.5)), 1.2)

MEASURES = {
    "dead_units": "Fraction of hidden units that are exactly 0 on every probe example.",
    "tau_dormant_units": "Fraction of hidden units whose mean absolute activation is at most 0.1 "
    "times the mean of their layer.",
    "srank_99": "Least number of the hidden features' largest singular values that sum to 99 % "
    "of all; mean over layers.",
    "effective_rank": "Exponential of the entropy of the hidden features' normalised singular "
    "values; mean over layers.",
    "approximate_rank": "Least number of the hidden features' largest squared singular values "
    "that sum to 99 % of all; mean over layers.",
    "true_stable_rank": "Squared Frobenius norm of the hidden features over their largest squared "
    "singular value; mean over layers.",
    "mean_abs_weight": "Mean absolute value of all weights, biases left out.",
    "distance_from_init": "Root mean square difference of all parameters from their initial "
    "values.",
    "gradient_norm": "L2 norm of the gradient of the mean loss on the probe examples.",
}
MAY_BE_LOGARITHMIC = ("gradient_norm",)
BOUNDS = {
    "accuracy": (0.0, 1.0),
    "return": (-np.inf, np.inf),
    "dead_units": (0.0, 1.0),
    "tau_dormant_units": (0.0, 1.0),
}
NOT_NEGATIVE = (0.0, np.inf)  # an error and the other measures of ours
UNKNOWN_MEASURE = "As the runs recorded it; the definition is theirs."


@dataclass(frozen=True, eq=False)
class Panel:
    """A figure with the words that belong to it.

    Attributes:
        name: Unique in the report and fit for a file name.
        heading: What is drawn.
        caption: How to read it.
        figure: Bound to no display.
    """

    name: str
    heading: str
    caption: str
    figure: Figure


def looks(problems: Sequence[Problem]) -> dict[str, Look]:
    """Return the look of each method's label, the same on every problem."""
    labels = sorted({arm.label for problem in problems for arm in problem.methods})
    rounds = len(COLOURS)
    return {
        label: Look(COLOURS[index % rounds], "-" if index < rounds else SECOND_ROUND)
        for index, label in enumerate(labels)
    }


def outcome_panel(problem: Problem, known: Mapping[str, Look]) -> Panel:
    """Draw the outcome by task."""
    window = smoothing_window(problem.num_tasks)
    drawn = [arm for arm in problem.arms if arm.score.tasks]
    lines = [Line(a.label, _look(a, known), outcome_curve(a.group, window)) for a in drawn]
    anchor = anchor_curve([arm.group for arm in drawn], window) if drawn else None
    caption = [f"Mean {problem.outcome} of each task over seeds{_bands(drawn)}."]
    if window > 1:
        caption.append(f"Each seed is first smoothed over {window} tasks.")
    caption.append("Dashed grey: reference arms.")
    if anchor is not None and np.isfinite(anchor.mean).any():
        what = "the anchor, what a learner that knows nothing reaches"
        if _fits(anchor.mean, [line.curve.mean for line in lines]):
            caption.append(f"Dotted: {what}.")
        else:
            mean = float(np.nanmean(anchor.mean))
            decimals = outcome_decimals([arm.score for arm in drawn])
            caption.append(f"Outside the axes: {what} ({number(mean, decimals)} on average).")
            anchor = None
    log = spans_decades([line.curve.mean for line in lines])
    caption += ["The vertical axis is logarithmic."] * log
    caption += _missing([a for a in problem.arms if a not in drawn], "without a complete task")
    return Panel(
        name=slug(f"{problem.label} {problem.outcome}"),
        heading=f"{problem.outcome.capitalize()} by task",
        caption=" ".join(caption),
        figure=draw(
            lines,
            f"{problem.outcome} ({DIRECTIONS[problem.outcome != 'error']})",
            (8.8, 4.1),
            problem.num_tasks,
            anchor,
            log,
            windows=True,
            bounds=BOUNDS.get(problem.outcome, NOT_NEGATIVE),
        ),
    )


def measure_panels(problem: Problem, known: Mapping[str, Look]) -> list[Panel]:
    """Draw every measure that some arm recorded."""
    recorded = {n for a in problem.arms for run in a.group.started for n in run.measures}
    ours = [name for name in MEASURES if name in recorded]
    names = ours + sorted(recorded - set(ours))
    return [_measure_panel(problem, name, known) for name in names]


def panels(problems: Sequence[Problem]) -> list[tuple[Panel, list[Panel]]]:
    """Return for each problem the figure of its outcome and those of its measures."""
    known = looks(problems)
    return [(outcome_panel(p, known), measure_panels(p, known)) for p in problems]


def save(problems: Sequence[Problem], folder: Path) -> list[Path]:
    """Write every figure as PDF and PNG, without a date, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with style():
        for outcome, measures in panels(problems):
            for panel in (outcome, *measures):
                pdf, png = (folder / f"{panel.name}.{suffix}" for suffix in ("pdf", "png"))
                panel.figure.savefig(pdf, metadata={"CreationDate": None})
                panel.figure.savefig(png, dpi=200)
                files += [pdf, png]
    return files


def _measure_panel(problem: Problem, name: str, known: Mapping[str, Look]) -> Panel:
    curves = [(arm, measure_curve(arm.group, name)) for arm in problem.arms]
    drawn = [(arm, curve) for arm, curve in curves if curve is not None]
    caption = [MEASURES.get(name, UNKNOWN_MEASURE)]
    absent = [arm for arm, curve in curves if curve is None]
    caption += _missing(absent, "not recorded by all seeds")
    log = name in MAY_BE_LOGARITHMIC and spans_decades([curve.mean for _, curve in drawn])
    caption += ["The vertical axis is logarithmic."] * log
    lines = [Line(arm.label, _look(arm, known), curve) for arm, curve in drawn]
    bounds = BOUNDS.get(name, NOT_NEGATIVE if name in MEASURES else BOUNDS["return"])
    return Panel(
        name=slug(f"{problem.label} {problem.outcome} {name}"),
        heading=name,
        caption=" ".join(caption),
        figure=draw(lines, name, (5.8, 3.1), problem.num_tasks, log=log, bounds=bounds),
    )


def _look(arm: Arm, known: Mapping[str, Look]) -> Look:
    if arm.group.reference is None:
        return known[arm.label]
    return REFERENCES.get(arm.group.reference, OTHER_REFERENCE)


def _bands(arms: Sequence[Arm]) -> str:
    """Say what the bands are; nothing where no arm has the seeds for one."""
    kind = kinds(arm.score.outcome for arm in arms)
    return f", with 95 % bands ({kind})" if kind else ""


def _fits(anchor: Array, means: Sequence[Array]) -> bool:
    """Say whether the anchor leaves the lines at least half of the axis."""
    finite = np.concatenate([values[np.isfinite(values)] for values in (*means, anchor)])
    lines = finite[: sum(int(np.isfinite(values).sum()) for values in means)]
    return lines.size > 0 and np.ptp(finite) <= 2 * np.ptp(lines)


def _missing(arms: Sequence[Arm], why: str) -> list[str]:
    return [f"Not drawn, {why}: {', '.join(arm.label for arm in arms)}."] if arms else []

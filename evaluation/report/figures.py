"""The report's figures: the outcome and each measure by task, with one line per arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from evaluation.report.arms import Arm, Problem
from evaluation.report.backdrop import backdrop, caption, note
from evaluation.report.beside import Beside
from evaluation.report.curves import (
    Array,
    anchor_curve,
    measure_curve,
    outcome_curve,
    smoothing_window,
)
from evaluation.report.drawing import Line, Look, draw, spans_decades, style
from evaluation.report.wording import (
    DIRECTIONS,
    kinds,
    number,
    outcome_decimals,
    outcome_words,
    slug,
)

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
WIDTH_BEFORE = 2.0  # of a method's line with others behind it
OTHER_REFERENCE = Look("#a0a0a0", (0, (6, 1.5, 1, 1.5)), 1.2)

MEASURES = {
    "dead_units": "Fraction of hidden units that are exactly 0 on every probe example.",
    "rarely_active_units": "Fraction of hidden units that are not 0 on less than 1 % of the probe "
    "examples (and positions); of reinforcement learning, on at most 1 %.",
    "tau_dormant_units": "Fraction of hidden units whose mean absolute activation is at most 0.1 "
    "times the mean of their layer.",
    "srank_99": "Least number of the hidden features' largest singular values that sum to 99 % "
    "of all; mean over layers.",
    "srank_99_last": "Least number of the last hidden features' largest singular values that sum "
    "to 99 % of all.",
    "effective_rank": "Exponential of the entropy of the hidden features' normalised singular "
    "values; mean over layers.",
    "approximate_rank": "Least number of the hidden features' largest squared singular values "
    "that sum to 99 % of all; mean over layers.",
    "true_stable_rank": "Squared Frobenius norm of the hidden features over their largest squared "
    "singular value; mean over layers.",
    "mean_abs_weight": "Mean absolute value of all weights, biases left out.",
    "distance_from_init": "Root mean square difference of all parameters from their initial "
    "values.",
    "largest_change": "Largest sum of absolute changes of all parameters in one update cycle since "
    "the measure before.",
    "gradient_norm": "L2 norm of the gradient of the mean loss on the probe examples.",
}
MAY_BE_LOGARITHMIC = ("gradient_norm", "largest_change")
BOUNDS = {
    "accuracy": (0.0, 1.0),
    "return": (-np.inf, np.inf),
    "dead_units": (0.0, 1.0),
    "rarely_active_units": (0.0, 1.0),
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


def outcome_panel(
    problem: Problem, known: Mapping[str, Look], beside: Beside | None = None
) -> Panel:
    """Draw the outcome by task, with frozen results behind it."""
    window = smoothing_window(problem.num_tasks)
    drawn = [arm for arm in problem.arms if arm.score.tasks]
    lines = [Line(a.label, _look(a, known), outcome_curve(a.group, window)) for a in drawn]
    anchor = anchor_curve([arm.group for arm in drawn], window) if drawn else None
    behind = _behind(beside, problem.outcome, problem.num_tasks, known)
    lines = behind + _before(lines, beside)
    outcome = outcome_words(problem.arms[0].score)
    words = [f"Mean {outcome} of each task over seeds{_bands(drawn)}."]
    if window > 1:
        words.append(f"Each seed is first smoothed over {window} tasks.")
    words.append("Dashed grey: reference arms.")
    if anchor is not None and np.isfinite(anchor.mean).any():
        what = "the anchor, what a learner that knows nothing reaches"
        if _fits(anchor.mean, [line.curve.mean for line in lines]):
            words.append(f"Dotted: {what}.")
        else:
            mean = float(np.nanmean(anchor.mean))
            decimals = outcome_decimals([arm.score for arm in drawn])
            words.append(f"Outside the axes: {what} ({number(mean, decimals)} on average).")
            anchor = None
    log = spans_decades([line.curve.mean for line in lines])
    words += ["The vertical axis is logarithmic."] * log
    words += _missing([a for a in problem.arms if a not in drawn], "without a complete task")
    words += caption(beside, problem.outcome, problem.num_tasks) if beside else []
    return Panel(
        name=slug(f"{problem.label} {problem.outcome}"),
        heading=f"{problem.outcome.capitalize()} by task",
        caption=" ".join(words),
        figure=draw(
            lines,
            f"{problem.outcome} ({DIRECTIONS[problem.outcome != 'error']})",
            (8.8, 4.1),
            problem.num_tasks,
            anchor,
            log,
            windows=True,
            bounds=BOUNDS.get(problem.outcome, NOT_NEGATIVE),
            note=note(beside) if beside else "",
        ),
    )


def measure_panels(
    problem: Problem, known: Mapping[str, Look], beside: Beside | None = None
) -> list[Panel]:
    """Draw every measure that some arm recorded, with frozen results behind it."""
    recorded = {n for a in problem.arms for run in a.group.started for n in run.measures}
    ours = [name for name in MEASURES if name in recorded]
    names = ours + sorted(recorded - set(ours))
    return [_measure_panel(problem, name, known, beside) for name in names]


def panels(
    problems: Sequence[Problem], besides: Sequence[Beside | None] = ()
) -> list[tuple[Panel, list[Panel]]]:
    """Return for each problem the figure of its outcome and those of its measures."""
    known = looks(problems)
    besides = besides or [None] * len(problems)
    return [
        (outcome_panel(problem, known, beside), measure_panels(problem, known, beside))
        for problem, beside in zip(problems, besides, strict=True)
    ]


def save(problems: Sequence[Problem], besides: Sequence[Beside | None], folder: Path) -> list[Path]:
    """Write every figure as PDF and PNG, without a date, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with style():
        for outcome, measures in panels(problems, besides):
            for panel in (outcome, *measures):
                pdf, png = (folder / f"{panel.name}.{suffix}" for suffix in ("pdf", "png"))
                panel.figure.savefig(pdf, metadata={"CreationDate": None})
                panel.figure.savefig(png, dpi=200)
                files += [pdf, png]
    return files


def _measure_panel(
    problem: Problem, name: str, known: Mapping[str, Look], beside: Beside | None
) -> Panel:
    curves = [(arm, measure_curve(arm.group, name)) for arm in problem.arms]
    drawn = [(arm, curve) for arm, curve in curves if curve is not None]
    words = [MEASURES.get(name, UNKNOWN_MEASURE)]
    absent = [arm for arm, curve in curves if curve is None]
    words += _missing(absent, "not recorded by all seeds")
    behind = _behind(beside, name, problem.num_tasks, known)
    lines = [Line(arm.label, _look(arm, known), curve) for arm, curve in drawn]
    lines = behind + _before(lines, beside)
    log = name in MAY_BE_LOGARITHMIC and spans_decades([line.curve.mean for line in lines])
    words += ["The vertical axis is logarithmic."] * log
    words += caption(beside, name, problem.num_tasks) if beside and behind else []
    bounds = BOUNDS.get(name, NOT_NEGATIVE if name in MEASURES else BOUNDS["return"])
    return Panel(
        name=slug(f"{problem.label} {problem.outcome} {name}"),
        heading=name,
        caption=" ".join(words),
        figure=draw(
            lines,
            name,
            (5.8, 3.1),
            problem.num_tasks,
            log=log,
            bounds=bounds,
            note=note(beside) if beside and behind else "",
        ),
    )


def _behind(
    beside: Beside | None, name: str, num_tasks: int, known: Mapping[str, Look]
) -> list[Line]:
    """Return the frozen lines in the colours that the methods leave, if they leave any."""
    used = {look.colour for look in known.values()}
    free = [colour for colour in COLOURS if colour not in used] or list(COLOURS)
    return backdrop(beside, name, num_tasks, free) if beside else []


def _before(lines: Sequence[Line], beside: Beside | None) -> list[Line]:
    """Return the lines, wider where others stand behind them."""
    width = WIDTH_BEFORE if beside else 0.0
    return [
        replace(line, look=replace(line.look, width=max(line.look.width, width))) for line in lines
    ]


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

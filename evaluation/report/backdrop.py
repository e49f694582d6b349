"""The lines of a study's frozen results, and of what was published, behind a figure's own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evaluation.report.beside import Beside, shown
from evaluation.report.curves import Curve, select, smoothing_window
from evaluation.report.drawing import Line, Look
from evaluation.report.frozen import PLACES, FrozenArm, read_value
from evaluation.report.wording import span

DASHES = ((0, (4, 2)), (0, (6, 1.5, 1, 1.5)))  # the second for colours that come again
GREY = Look("#8a8a8a", DASHES[0], 0.9, behind=True)  # of reference arms
NO_BREAK = "\N{NO-BREAK SPACE}"
TINT = 0.3  # how much of a colour is white


def backdrop(beside: Beside, name: str, num_tasks: int, colours: Sequence[str]) -> list[Line]:
    """Return the lines of an outcome or measure, as far as the axis goes.

    Args:
        beside: what to show.
        name: of the outcome or the measure.
        num_tasks: the length of the axis.
        colours: in hexadecimal; used again where there are more methods.
    """
    looks = itertools.cycle(Look(_tinted(c), d, 0.9, behind=True) for d in DASHES for c in colours)
    lines = []
    for arm in beside.drawn:
        look = GREY if arm.reference else next(looks)
        star = "*" * bool(beside.other)
        if curve := arm.curves.get(name):
            seeds = span([arm.seeds], "seed").replace(" ", NO_BREAK)
            label = f"ours, frozen{star}: {arm.label} ({seeds})"
            lines.append(Line(label, look, select(curve, curve.tasks < num_tasks)))
        if name == beside.problem.outcome and (points := _points(arm, num_tasks)):
            dotted = replace(look, dashes=":", width=1.1, marker="s")
            label = f"published{star}: {arm.label}{_bounds(arm)}"
            lines.append(Line(label, dotted, _published(arm, num_tasks), marked=len(points)))
    return [line for line in lines if len(line.curve.tasks)]


def caption(beside: Beside, name: str, num_tasks: int) -> list[str]:
    """Return the sentences that explain these lines."""
    if name != beside.problem.outcome:
        return [f"Thin and dashed: the frozen results of study {beside.study}."]
    smoothed = smoothing_window(max(arm.tasks for arm in beside.drawn))
    over = f", each seed smoothed over {smoothed} tasks" if smoothed > 1 else ""
    said = [f"Thin and dashed: the frozen results of study {beside.study}{over}."]
    said += ["In what the runs differ from them is said below."] * bool(beside.notes)
    if len(beside.drawn) < len(beside.problem.arms):
        said.append(
            "Of its arms: of each agent those with published values, or else the best at the end, "
            "and those nearest to the runs; the table has all."
        )
    published = [arm for arm in beside.drawn if arm.published]
    if any(_points(arm, num_tasks) for arm in published):
        sources = dict.fromkeys(arm.published.source for arm in published if arm.published)
        said.append(f"Squares: published ({'; '.join(sources)}); dots only join them.")
        if any(arm.published and "peak" in arm.published.values for arm in published):
            said.append("Of a published peak only the height is known; it stands where ours is.")
    if any(len(_points(arm)) > len(_points(arm, num_tasks)) for arm in published):
        said.append("Published values beyond the axis are in the table alone.")
    return said


def note(beside: Beside) -> str:
    """Say what the problem of starred lines is; empty where it is that of the runs."""
    other = ", ".join(f"{key} {shown(value)}" for key, value in beside.other.items())
    return f"* with {other}" if other else ""


def _bounds(arm: FrozenArm) -> str:
    values = arm.published.values if arm.published else {}
    bounds = [
        f"{place}{NO_BREAK}{value}" for place, value in values.items() if isinstance(value, str)
    ]
    return f" ({', '.join(bounds)})" if bounds else ""


def _published(arm: FrozenArm, num_tasks: int) -> Curve:
    """Return the published points on the axis, and where the line to the next one leaves it."""
    points = _points(arm)
    inside = list(_points(arm, num_tasks))
    if len(inside) < len(points) and inside[-1] < num_tasks - 1:
        inside.append(num_tasks - 1)
    tasks = np.array(inside)
    values = np.interp(tasks, list(points), list(points.values()))
    return Curve(tasks, values, *np.full((2, len(values)), np.nan))


def _points(arm: FrozenArm, num_tasks: int | None = None) -> dict[int, float]:
    """Return task and value of what is published of an arm, up to a number of tasks."""
    if arm.published is None:
        return {}
    peak = arm.windows["peak"]
    last = arm.published.tasks - 1
    tasks = (0, min((peak.first + peak.last) // 2, last), last)
    return {
        task: read_value(arm.published.values[place])[0]
        for place, task in zip(PLACES, tasks, strict=True)
        if place in arm.published.values and (num_tasks is None or task < num_tasks)
    }


def _tinted(colour: str) -> str:
    parts = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * TINT):02x}" for part in parts)

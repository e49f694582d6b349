"""A study's frozen results beside runs: which problem of it is theirs, and what is different."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.report.arms import Arm, Problem
from evaluation.report.frozen import PLACES, Frozen, FrozenArm, FrozenProblem, Window, windows
from evaluation.report.tables import Cell
from evaluation.report.wording import DASH, decimals, ends, kinds, number, plain, span, tasks
from evaluation.runs import ADDED, content

NETWORK = ("hidden", "activation")
WHO = ("published", "measured")
NOTHING = Cell(DASH, "", "", "")
USUAL_PLACES = ("peak", "end")  # where nothing is published
MOST_DRAWN = 12  # of a study with more arms, only some are drawn
_UNSET = object()


@dataclass(frozen=True, eq=False)
class Beside:
    """What stands beside the runs of one problem.

    Attributes:
        study: Its name.
        problem: The problem of the study that is nearest to that of the runs.
        other: The study's values of those settings of the problem in which the runs differ.
        drawn: Those of its arms that figures show.
        notes: In what the runs differ from the study, a sentence each.
    """

    study: str
    problem: FrozenProblem
    other: Mapping[str, Any]
    drawn: tuple[FrozenArm, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """An arm of a table."""

    label: str
    cells: tuple[Cell, ...]
    seeds: int
    time: str
    command: str


@dataclass(frozen=True)
class Comparison:
    """What was published and what was measured, by arm.

    Attributes:
        headings: Of the cells.
        own: Rows of runs beside which the study stands.
        frozen: Rows of the study.
        caption: What the columns mean.
        sources: Where the published values stand.
    """

    headings: tuple[str, ...]
    own: tuple[Row, ...]
    frozen: tuple[Row, ...]
    caption: str
    sources: tuple[str, ...]


def beside(frozen: Frozen, problems: Sequence[Problem]) -> list[Beside | None]:
    """Return what stands beside each problem; None where the study does not have it.

    Raises:
        ValueError: the study has none of them.
    """
    found = [_beside(frozen, problem) for problem in problems]
    if not any(found):
        theirs = ", ".join(dict.fromkeys(problem.problem for problem in frozen.problems))
        mine = ", ".join(dict.fromkeys(p.arms[0].score.problem for p in problems))
        raise ValueError(f"beside: study {frozen.study!r} is on {theirs}; the runs are on {mine}")
    return found


def compare(problem: FrozenProblem, arms: Sequence[Arm] = ()) -> Comparison:
    """Return the table of a frozen problem, with arms of the same problem measured alike."""
    published = [arm.published for arm in problem.arms if arm.published]
    places = [p for p in PLACES if any(p in one.values for one in published)] or USUAL_PLACES
    digits = decimals([arm.windows["end"].mean.estimate for arm in problem.arms])
    kind = kinds([*(a.windows["end"].mean for a in problem.arms), *(a.score.late for a in arms)])
    bands = f" Brackets: 95 % intervals over seeds ({kind})." if kind else ""
    return Comparison(
        headings=tuple(f"{p.capitalize()}, {who}" for p in places for who in WHO),
        own=tuple(_own_row(arm, places, digits) for arm in arms if arm.score.tasks),
        frozen=tuple(_frozen_row(arm, places, digits) for arm in problem.arms),
        caption=f"Measured, {_meanings(problem.arms[0], places)}.{bands} "
        "Time: all seeds of an arm, each on one core.",
        sources=tuple(dict.fromkeys(one.source for one in published)),
    )


def _meanings(arm: FrozenArm, places: Sequence[str]) -> str:
    window = arm.windows["end"]
    width = span([window.last - window.first + 1], "task")
    meanings = {
        "start": f"the first {width}",
        "peak": f"the {width} in a row with the best mean over seeds",
        "end": f"the last {width}",
    }
    return "; ".join(f"{place}: {meanings[place]}" for place in places)


def _own_row(arm: Arm, places: Sequence[str], digits: int) -> Row:
    measured = windows(arm.group)
    cells = [cell for p in places for cell in (NOTHING, _measured(measured[p], digits))]
    seconds = sum(float(run.seconds.sum()) for run in arm.group.started)
    return Row(arm.label, tuple(cells), len(arm.group.started), _time(seconds), "")


def _frozen_row(arm: FrozenArm, places: Sequence[str], digits: int) -> Row:
    cells = [c for p in places for c in (_published(arm, p), _measured(arm.windows[p], digits))]
    return Row(arm.label, tuple(cells), arm.seeds, _time(arm.seconds), arm.command)


def _published(arm: FrozenArm, place: str) -> Cell:
    if arm.published is None or place not in arm.published.values:
        return NOTHING
    value = arm.published.values[place]
    elsewhere = place == "end" and arm.published.tasks != arm.tasks
    text = value if isinstance(value, str) else f"{value:g}"
    return Cell(text, f"of {arm.published.tasks} tasks" * elsewhere, "", arm.published.source)


def _measured(window: Window, digits: int) -> Cell:
    where = tasks(slice(window.first, window.last + 1), window.last + 1)
    return Cell(number(window.mean.estimate, digits), ends(window.mean, digits), "", where)


def _time(seconds: float) -> str:
    if not math.isfinite(seconds):
        return DASH
    return f"{seconds:.0f} s" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _beside(frozen: Frozen, problem: Problem) -> Beside | None:
    id, outcome = problem.arms[0].score.problem, problem.outcome
    rivals = [one for one in frozen.problems if (one.problem, one.outcome) == (id, outcome)]
    if not rivals:
        return None
    settings = problem.arms[0].score.problem_settings
    theirs = min(rivals, key=lambda one: len(_differences(settings, content(one.settings))))
    nearest = [_nearest(arm, theirs.arms) for arm in problem.arms]
    notes = [
        *_problem_notes(problem, theirs, len(rivals)),
        *(
            note
            for arm, near in zip(problem.arms, nearest, strict=True)
            if (note := _arm_note(arm, near, theirs))
        ),
    ]
    other = {k: theirs.settings.get(k) for k in _differences(settings, content(theirs.settings))}
    return Beside(
        frozen.study, theirs, other if settings else {}, _drawn(theirs, nearest), tuple(notes)
    )


def _drawn(problem: FrozenProblem, nearest: Sequence[FrozenArm | None]) -> tuple[FrozenArm, ...]:
    """Return the arms; of many, the published or each agent's best, and those nearest to runs."""
    if len(problem.arms) <= MOST_DRAWN:
        return problem.arms
    chosen: dict[str, list[FrozenArm]] = {}
    for arm in sorted(problem.arms, key=lambda arm: _end(arm, problem.outcome)):
        chosen.setdefault(arm.agent, []).append(arm)
    kept = [
        arm
        for arms in chosen.values()
        for arm in ([one for one in arms if one.published] or arms[:1])
    ]
    return tuple(arm for arm in problem.arms if arm in kept or arm in nearest)


def _end(arm: FrozenArm, outcome: str) -> tuple[bool, float]:
    """Return a sort key: the best end first, what diverged last."""
    end = arm.windows["end"].mean.estimate
    return end is None, (end or 0.0) * (1 if outcome == "error" else -1)


def _nearest(arm: Arm, rivals: Sequence[FrozenArm]) -> FrozenArm | None:
    """Return the arm of the same agent with the fewest other settings."""
    settings = _settings(arm)
    same = [one for one in rivals if one.agent == arm.score.agent]
    return min(same, key=lambda one: len(_differences(settings, one.settings)), default=None)


def _problem_notes(problem: Problem, theirs: FrozenProblem, variants: int) -> list[str]:
    score = problem.arms[0].score
    notes = []
    if not score.problem_settings:
        notes.append("The problem's settings are not recorded here; they may differ.")
    elif differences := _differences(score.problem_settings, content(theirs.settings)):
        which = f", the nearest of its {variants} variants" if variants > 1 else ""
        notes.append(f"The problem differs in {_listed(differences)}{which}.")
    elif other := sorted(_other_content(problem, theirs)):
        notes.append(
            f"The data differ: {span([len(other)], 'seed')} of the same number show other examples."
        )
    horizon = max(arm.tasks for arm in theirs.arms)
    if problem.num_tasks != horizon:
        here = span([problem.num_tasks], "task")
        notes.append(f"The horizon differs: {here} here, {horizon} in the study.")
    return notes


def _other_content(problem: Problem, theirs: FrozenProblem) -> set[int]:
    return {
        run.seed
        for arm in problem.arms
        for run in arm.group.runs
        if (mine := run.config.get("content_hash"))
        and not mine.startswith(theirs.content.get(str(run.seed), mine))
    }


def _arm_note(arm: Arm, nearest: FrozenArm | None, theirs: FrozenProblem) -> str:
    """Say in what an arm differs from ours of the same agent; without one, in its network."""
    settings = _settings(arm)
    if not settings:
        return f"{arm.label} has not recorded its settings; they may differ."
    if nearest is not None:
        differences = _differences(settings, nearest.settings)
        return f"{arm.label} differs from ours, {nearest.label}, in {_listed(differences)}." * bool(
            differences
        )
    networks = [
        {key: one.settings[key] for key in NETWORK if key in one.settings} for one in theirs.arms
    ]
    networks = [network for network in networks if network]
    mine = {key: settings[key] for key in NETWORK if key in settings}
    if not mine:
        return f"{arm.label} has not recorded its network ({', '.join(NETWORK)}); it may differ."
    if not networks or mine in networks:
        return ""
    near = min(networks, key=lambda network: len(_differences(mine, network)))
    return f"{arm.label} differs from ours in {_listed(_differences(mine, near))}."


def _settings(arm: Arm) -> Mapping[str, Any]:
    return arm.group.config.get("agent_settings") or {}


def _differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    pairs = {key: (_valued(mine, key), _valued(theirs, key)) for key in (*mine, *theirs)}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _valued(settings: Mapping[str, Any], key: str) -> Any:
    """Return a setting's value: of one recorded before there was such a setting, its default."""
    return settings.get(key, ADDED.get(key, _UNSET))


def _listed(differences: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(
        f"{key} ({shown(mine)} here, {shown(theirs)} in the study)"
        for key, (mine, theirs) in differences.items()
    )


def shown(value: Any) -> str:
    """Return a setting's value in words."""
    return "no such setting" if value is _UNSET else "unset" if value is None else plain(value)

"""Numbers and intervals in words, the same in the page, the figures and the terminal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from evaluation.scores import Score, early_window, late_window
from evaluation.statistics import Interval

RATIO_DECIMALS = 3
DASH = "\N{EM DASH}"
KINDS = {"t": "Student t", "fieller": "Fieller", "bootstrap": "percentile bootstrap"}
SCORED = {
    "online": "",
    "last test": " on test examples after the last pass",
    "best test": " on test examples, best of all passes",
}
DIRECTIONS = {True: "higher is better", False: "lower is better"}


def outcome_words(score: Score) -> str:
    """Return the outcome's name and on which examples it is taken."""
    return score.outcome_name + SCORED[score.scored]


def outcome_decimals(scores: Sequence[Score]) -> int:
    """Return how many decimals suit the late outcomes of these scores."""
    return decimals([score.late.estimate for score in scores])


def decimals(values: Sequence[float | None]) -> int:
    """Return how many decimals give a smallish one of the values three significant digits, 0 to 6.

    What is missing or 0 does not count.
    """
    sizes = sorted(abs(value) for value in values if value)
    # The lower quartile: neither one diverged arm nor one that is near 0 decides for the others.
    return min(max(2 - math.floor(math.log10(sizes[len(sizes) // 4])), 0), 6) if sizes else 3


def number(value: float | None, decimals: int) -> str:
    """Return a number with fixed decimals, a dash for None; short where it is very large."""
    if value is None:
        return DASH
    if abs(value) >= 1e6:
        return f"{value:.3g}"
    return f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def ends(interval: Interval, decimals: int) -> str:
    """Return "[low, high]"; empty without an interval."""
    if interval.low is None:
        return ""
    return f"[{number(interval.low, decimals)}, {number(interval.high, decimals)}]"


def estimate(interval: Interval, decimals: int = RATIO_DECIMALS) -> str:
    """Return the estimate followed by its interval, if it has one."""
    return f"{number(interval.estimate, decimals)} {ends(interval, decimals)}".rstrip()


def kinds(intervals: Iterable[Interval]) -> str:
    """Return the names of the kinds of intervals, "none" left out."""
    found = dict.fromkeys(interval.kind for interval in intervals)
    return " or ".join(name for kind, name in KINDS.items() if kind in found)


def interval_sentence(scores: Sequence[Score]) -> str:
    """Say how the intervals of these scores were made."""
    means = kinds(
        i for s in scores for i in (s.outcome, s.early, s.late, s.gap_to_linear, s.collapse)
    )
    ratios = kinds(i for s in scores for i in (s.plasticity, s.retention))
    if not means and not ratios:
        return "No intervals: they need at least 3 seeds."
    if not ratios or means == ratios:
        return f"95 % intervals over seeds: {means}."
    return f"95 % intervals over seeds: {means} for means and gaps, {ratios} for ratios."


def measured(score: Score) -> str:
    """Say when measures were taken."""
    if score.outcome_name == "return":
        return (
            "when the first update cycle that ended in a task was over, on the latest 1,000 "
            "observations (none of the first task)"
        )
    return "at the start of a task before any update on it"


def setup_sentence(scores: Sequence[Score]) -> str:
    """Say how much was run, and on what kind of interval the verdicts rest."""
    tasks = span([score.tasks for score in scores], "task")
    seeds = span([len(score.seeds) for score in scores], "seed")
    ratios = kinds(i for s in scores for i in (s.retention, s.plasticity))
    basis = f"The verdicts rest on 95 % {ratios} intervals over seeds." if ratios else ""
    return f"{tasks} and {seeds} an arm. {basis}".rstrip()


def span(counts: Sequence[int], noun: str) -> str:
    """Return "5 seeds", "1 seed" or "3 to 5 seeds"."""
    low, high = min(counts), max(counts)
    return f"{low if low == high else f'{low} to {high}'} {noun}{'s' * (high != 1)}"


def window_sentence(num_tasks: int) -> str:
    """Name the tasks of the early and late windows, index from 0."""
    early, late = (tasks(w, num_tasks) for w in (early_window(num_tasks), late_window(num_tasks)))
    return f"Early window: {early}. Late window: {late}."


def tasks(window: slice, num_tasks: int) -> str:
    """Name the tasks of a window."""
    indices = range(num_tasks)[window]
    if not indices:
        return "none"
    if len(indices) == 1:
        return f"task {indices[0]}"
    return f"tasks {indices[0]}\N{EN DASH}{indices[-1]}"


def plain(value: Any) -> str:
    """Return a setting as a person would write it."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def reason(note: str) -> str:
    """Return an interval's note without the marks of code."""
    return note.replace("`", "")


def slug(text: str) -> str:
    """Return a file name: whatever is neither letter nor digit nor one of `.=_-` is a dash."""
    return re.sub(r"[^A-Za-z0-9.=_-]+", "-", text).strip("-.")

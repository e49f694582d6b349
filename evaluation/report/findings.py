"""Who keeps the ability to learn? Sentences made from the scores, and no stronger than these."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from evaluation.report.arms import Arm, Problem
from evaluation.report.wording import estimate, number, outcome_decimals, reason
from evaluation.scores import Score
from evaluation.statistics import Interval

Verdict = Literal["lost", "kept", "steady", "undecided"]

# A learner "kept" something only if its interval excludes a loss larger than this; an interval
# that merely reaches 1 may be wide because there are few seeds.
MARGIN = 0.05
# Nor does one "lose" what is smaller than this: with many seeds any difference is significant.
SLIGHT = 0.01
TITLES: dict[Verdict, str] = {
    "lost": "lost",
    "kept": "kept",
    "steady": "below fresh",
    "undecided": "undecided",
}
MEANINGS: dict[Verdict, str] = {
    "lost": "retention's interval lies below 1: the arm ends worse than it was early in its own "
    f"stream, by what may be more than {SLIGHT * 100:g} %",
    "kept": "the intervals of both retention and plasticity reach 1 and exclude a loss of more "
    f"than {MARGIN * 100:g} %, or exclude one of more than {SLIGHT * 100:g} %",
    "steady": "no loss against its own early tasks, but plasticity's interval lies below 1: a "
    "network without a past ends better",
    "undecided": "the runs do not decide it",
}


@dataclass(frozen=True)
class Finding:
    """One statement about a problem.

    Attributes:
        kind: The verdict it is about, or "remark".
        text: A sentence.
        arms: Label and numbers of the arms it is about.
    """

    kind: Verdict | Literal["remark"]
    text: str
    arms: tuple[tuple[str, str], ...] = ()


def verdict(score: Score) -> Verdict:
    """Say what the scores of an arm allow to claim about its ability to learn; see `MEANINGS`.

    Both retention and plasticity are needed for "kept". Where retention is undefined, "lost" needs
    the late window's interval to lie wholly on the worse side of the early window's.
    """
    if _below_one(score.retention) or (score.retention.estimate is None and _late_is_worse(score)):
        return "lost"
    if not holds_level(score):
        return "undecided"
    if _below_one(score.plasticity):
        return "steady"
    return "kept" if _excludes_loss(score.plasticity) else "undecided"


def holds_level(score: Score) -> bool:
    """Say whether retention's interval allows to claim that no level was lost."""
    return not _below_one(score.retention) and _excludes_loss(score.retention)


def why_undecided(score: Score) -> str:
    """Return what is missing for a verdict."""
    name, interval = "retention", score.retention
    if holds_level(score):
        name, interval = "plasticity", score.plasticity
    if interval.low is None:
        return f"{name}: {reason(interval.note)}"
    return f"{name}'s interval {estimate(interval)} does not exclude a loss of {MARGIN * 100:g} %"


def findings(problem: Problem) -> list[Finding]:
    """Return every statement about a problem: the verdicts, then what step sizes explain."""
    return _verdicts(problem) + _step_sizes(problem) + _best_backprop(problem)


def best_backprop(problem: Problem) -> Arm | None:
    """Return the best of several backprop arms over the whole stream; None below two."""
    arms = [arm for arm in problem.methods if arm.score.agent == "backprop"]
    scored = [arm for arm in arms if arm.score.outcome.estimate is not None]
    return max(scored, key=_whole_stream) if len(arms) > 1 and scored else None


def _below_one(interval: Interval) -> bool:
    """Say whether a loss is sure, and whether it may be more than a slight one."""
    if interval.high is None or interval.low is None:
        return False
    return interval.high < 1 and interval.low < 1 - SLIGHT


def _excludes_loss(interval: Interval) -> bool:
    return interval.low is not None and interval.low >= 1 - MARGIN


def _late_is_worse(score: Score) -> bool:
    early, late = score.early, score.late
    if early.low is None or early.high is None or late.low is None or late.high is None:
        return False
    return late.high < early.low if score.higher_is_better else late.low > early.high


def _whole_stream(arm: Arm) -> float:
    value = arm.score.outcome.estimate or 0.0
    return value if arm.score.higher_is_better else -value


def _verdicts(problem: Problem) -> list[Finding]:
    total = len(problem.methods)
    leads: dict[Verdict, str] = {
        "lost": "lost part of the ability to learn: the interval of retention lies below 1.",
        "kept": "kept it: retention and plasticity both reach 1 and exclude a loss of more than "
        f"{MARGIN * 100:g} %, or exclude one of more than {SLIGHT * 100:g} %.",
        "steady": "held the level of the early tasks, yet a network without a past ends better: "
        "this is not plasticity kept.",
        "undecided": "stayed open in these runs.",
    }
    found = []
    for kind, lead in leads.items():
        arms = [arm for arm in problem.methods if verdict(arm.score) == kind]
        if arms:
            text = f"{len(arms)} of {total} {'arm' if total == 1 else 'arms'} {lead}"
            found.append(Finding(kind, text, tuple((a.label, _numbers(a)) for a in arms)))
    return found


def _numbers(arm: Arm) -> str:
    score = arm.score
    if verdict(score) == "undecided":
        return why_undecided(score)
    if score.retention.estimate is None:
        decimals = outcome_decimals([score])
        early, late = estimate(score.early, decimals), estimate(score.late, decimals)
        return f"retention is undefined; {score.outcome_name} {early} early, {late} late"
    parts = [f"retention {estimate(score.retention)}"]
    if score.plasticity.estimate is not None:
        parts.append(f"plasticity {estimate(score.plasticity)}")
    return ", ".join(parts)


def _step_sizes(problem: Problem) -> list[Finding]:
    found = []
    for family in _families(problem.methods):
        lost = [arm for arm in family if verdict(arm.score) == "lost"]
        if not lost:
            continue
        worst_step = max(_step_size(arm) for arm in lost)
        cured = [a for a in family if holds_level(a.score) and _step_size(a) < worst_step]
        if cured:
            cure = min(cured, key=lambda arm: problem.methods.index(arm))
            larger = [arm for arm in lost if _step_size(arm) > _step_size(cure)]
            found.append(_cure(cure, max(larger, key=_whole_stream)))
    return found


def _cure(cure: Arm, lost: Arm) -> Finding:
    decimals = outcome_decimals([cure.score, lost.score])
    name = cure.score.outcome_name
    text = (
        f"A smaller step size alone avoids the loss: {cure.label} has a retention of "
        f"{estimate(cure.score.retention)} where {lost.label} has "
        f"{_retention_or_reason(lost.score)}. It ends at {name} "
        f"{number(cure.score.late.estimate, decimals)}, the other at "
        f"{number(lost.score.late.estimate, decimals)}."
    )
    if verdict(cure.score) != "kept":
        text += " Retention alone does not show that plasticity is kept"
        if _below_one(cure.score.plasticity):
            text += f": its plasticity is {estimate(cure.score.plasticity)}"
        text += "."
    return Finding("remark", text)


def _retention_or_reason(score: Score) -> str:
    if score.retention.estimate is None:
        return f"none that is defined ({reason(score.retention.note)})"
    return estimate(score.retention)


def _best_backprop(problem: Problem) -> list[Finding]:
    best = best_backprop(problem)
    if best is None:
        return []
    outcome = estimate(best.score.outcome, outcome_decimals([best.score]))
    count = sum(arm.score.agent == "backprop" for arm in problem.methods)
    text = (
        f"Of {count} backprop arms, {best.label} is best over the whole stream "
        f"({problem.outcome} {outcome}); verdict: {TITLES[verdict(best.score)]}."
    )
    return [Finding("remark", text)]


def _families(arms: Iterable[Arm]) -> list[Sequence[Arm]]:
    """Return the arms that differ in their step size only, where there are several."""
    families: dict[str, list[Arm]] = {}
    for arm in arms:
        settings = dict(arm.group.config.get("agent_settings") or {})
        step_size = settings.pop("step_size", None)
        if isinstance(step_size, int | float):
            key = json.dumps([arm.score.agent, settings], sort_keys=True)
            families.setdefault(key, []).append(arm)
    return [family for family in families.values() if len(family) > 1]


def _step_size(arm: Arm) -> float:
    return float(arm.group.config["agent_settings"]["step_size"])

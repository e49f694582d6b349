"""Scores: what methods are compared by, with the seed as the unit of replication.

Windows of K tasks: late, the last ceil(K / 10); early, the second task up to index ceil(K / 10).
Skill is what a learner gains over its anchor (what a learner that knows nothing reaches):
outcome - anchor, or anchor - error. Plasticity, retention and the gap to linear are in skill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.groups import Group, group
from evaluation.runs import Run, content
from evaluation.statistics import (
    Interval,
    mean_interval,
    paired_difference,
    ratio_of_means,
    undefined,
    within,
)

Array = NDArray[np.float64]
CLOSE = 0.95  # of what a fresh network ends with


@dataclass(frozen=True)
class Score:
    """The scores of one group. An interval's note says why it is missing or restricted.

    Attributes:
        problem: Registered id.
        problem_settings: Settings of the problem.
        problem_label: Short id, with settings where several variants are compared.
        agent: Agent's name.
        label: Agent's name with the settings in which its groups differ; unique per problem.
        settings_hash: Of problem, agent and their settings.
        seeds: Seeds scored.
        tasks: K, the complete tasks that all these seeds share.
        outcome_name: accuracy, error or return.
        higher_is_better: Whether a higher outcome is better; false for errors.
        scored: What the outcome of a task is of: "online", "last test" or "best test".
        outcome: Mean outcome over tasks 0 .. K-1.
        early: Mean outcome over the early window.
        late: Mean outcome over the late window.
        plasticity: Mean late skill / mean late skill of `fresh`, paired by seed. Above 1 allowed.
        retention: Mean late skill / mean early skill of the same runs.
        gap_to_linear: Mean late skill - late skill of `linear`, paired by seed.
        passes_to_fresh: Mean over the late window of the passes over a task's data until the test
            outcome reaches 95 % of what `fresh` ends with (mean over the window, same seed); a task
            that never does counts as all its passes, and the note says how many did not.
        collapse: Returns only: mean share of the tasks of the late window whose return is at or
            under the anchor, that of the random policy in the same physics.
        fresh: Label of the `fresh` group used; None without one.
        linear: Label of the `linear` group used; None without one.
        is_reference: A reference arm: shown, never ranked.
        privileges: What the agent was given beyond the problem's disclosure.
        notes: Whatever restricts the comparison, one sentence each.
    """

    problem: str
    problem_settings: Mapping[str, Any]
    problem_label: str
    agent: str
    label: str
    settings_hash: str
    seeds: tuple[int, ...]
    tasks: int
    outcome_name: str
    higher_is_better: bool
    scored: str
    outcome: Interval
    early: Interval
    late: Interval
    plasticity: Interval
    retention: Interval
    gap_to_linear: Interval
    passes_to_fresh: Interval
    collapse: Interval
    fresh: str | None
    linear: str | None
    is_reference: bool
    privileges: tuple[str, ...]
    notes: tuple[str, ...]


def score(runs: Sequence[Run]) -> list[Score]:
    """Return the scores of every group, sorted by problem and label.

    Each group is scored at its own K; plasticity and the gap to linear at the smaller K of group
    and reference. Of several `fresh` (or `linear`) groups of a problem, the one with the highest
    mean skill over the whole stream is the reference.

    Raises:
        ValueError: If two runs differ in nothing, their seed included.
    """
    groups = group(runs)
    return [
        _score_group(one, [g for g in groups if g.problem_label == one.problem_label])
        for one in groups
    ]


def early_window(num_tasks: int) -> slice:
    """Return tasks 1 .. ceil(num_tasks / 10), both included; task 0 starts from nothing."""
    return slice(1, 1 + _tenth(num_tasks))


def late_window(num_tasks: int) -> slice:
    """Return the last ceil(num_tasks / 10) tasks."""
    return slice(num_tasks - _tenth(num_tasks), num_tasks)


def _tenth(num_tasks: int) -> int:
    return -(-num_tasks // 10)


def _score_group(own: Group, rivals: Sequence[Group]) -> Score:
    k = own.num_tasks
    fresh, linear = _reference(rivals, "fresh"), _reference(rivals, "linear")
    privileges = {name for run in own.runs for name in run.config.get("privileges") or ()}
    return Score(
        problem=own.config["problem"],
        problem_settings=content(own.config.get("problem_settings") or {}),
        problem_label=own.problem_label,
        agent=own.config["agent"],
        label=own.label,
        settings_hash=own.runs[0].settings_hash,
        seeds=tuple(run.seed for run in own.started),
        tasks=k,
        outcome_name=own.runs[0].outcome_name,
        higher_is_better=own.runs[0].higher_is_better,
        scored=own.runs[0].scored,
        outcome=mean_interval(_means(own.started, "outcome", slice(0, k))),
        early=_early(own),
        late=mean_interval(_means(own.started, "outcome", late_window(k))),
        plasticity=_plasticity(own, fresh),
        retention=_retention(own),
        gap_to_linear=_gap(own, linear),
        passes_to_fresh=_passes(own, fresh),
        collapse=_collapse(own),
        fresh=fresh.label if fresh else None,
        linear=linear.label if linear else None,
        is_reference=own.reference is not None,
        privileges=tuple(sorted(privileges)),
        notes=_notes(own, rivals),
    )


def _reference(groups: Sequence[Group], kind: str) -> Group | None:
    candidates = [g for g in groups if g.reference == kind and g.num_tasks]
    shared = slice(0, min((g.num_tasks for g in candidates), default=0))

    def mean_skill(candidate: Group) -> float:
        mean = float(_means(candidate.started, "skill", shared).mean())
        return mean if np.isfinite(mean) else -np.inf

    return max(candidates, key=mean_skill, default=None)


def _means(runs: Sequence[Run], field: str, window: slice) -> Array:
    """Return each run's mean of a field over a window of tasks."""
    return np.array([getattr(run, field)[window].mean() for run in runs], dtype=np.float64)


def _early(own: Group) -> Interval:
    if own.num_tasks == 1:
        return undefined(len(own.started), "1 task has no early window")
    return mean_interval(_means(own.started, "outcome", early_window(own.num_tasks)))


def _retention(own: Group) -> Interval:
    k = own.num_tasks
    if 0 < k < 3:
        return undefined(len(own.started), "fewer than 3 tasks: early and late are not apart")
    late = _means(own.started, "skill", late_window(k))
    early = _means(own.started, "skill", early_window(k))
    return _ratio(late, early, "early window")


def _plasticity(own: Group, fresh: Group | None) -> Interval:
    if fresh is None:
        return undefined(0, "no `fresh` runs among these")
    late, late_of_fresh, note = _paired_late_skill(own, fresh)
    return _noted(_ratio(late, late_of_fresh, "`fresh`"), note)


def _gap(own: Group, linear: Group | None) -> Interval:
    if linear is None:
        return undefined(0, "no `linear` runs among these")
    late, late_of_linear, note = _paired_late_skill(own, linear)
    return _noted(paired_difference(late, late_of_linear), note)


def _passes(own: Group, fresh: Group | None) -> Interval:
    tested = {run.seed: run.test for run in own.started if run.test is not None}
    if fresh is None or not tested:
        return undefined(0, "no `fresh` runs among these" if fresh is None else "no test examples")
    if not own.runs[0].higher_is_better:
        return undefined(0, "only where higher is better")
    goals = {run.seed: run.test for run in fresh.started if run.test is not None}
    window = late_window(min(own.num_tasks, fresh.num_tasks))
    means, never, asked, passes = [], 0, 0, 1
    for seed, test in tested.items():
        if seed not in goals:
            continue
        goal, passes = CLOSE * goals[seed][window, -1].mean(), test.shape[1]
        if np.isnan(goal):
            means.append(np.nan)  # how soon it would have got there is not known
            continue
        reached = test[window] >= goal
        first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, passes)
        means.append(first.mean())
        never, asked = never + int((~reached.any(axis=1)).sum()), asked + len(reached)
    notes = [f"{len(means)} of {len(tested)} seeds are also in {fresh.label}"]
    notes = notes if len(means) < len(tested) else []
    notes += [f"{never} of {asked} tasks never got there"] if never else []
    return _noted(within(mean_interval(np.array(means)), 1.0, passes), "; ".join(notes))


def _collapse(own: Group) -> Interval:
    if own.runs[0].outcome_name != "return":
        return undefined(0, "only of returns")
    late = [run.skill[late_window(own.num_tasks)] for run in own.started]
    shares = [np.where(np.isnan(skill), np.nan, skill <= 0).mean() for skill in late]
    return within(mean_interval(np.array(shares, dtype=np.float64)), 0.0, 1.0)


def _ratio(numerator: Array, denominator: Array, whose: str) -> Interval:
    ratio = ratio_of_means(numerator, denominator)
    if ratio.estimate is not None and denominator.mean() < 0:
        # Two negative skills would divide to something that looks like an ability.
        return undefined(ratio.n, f"{whose} is worse than the anchor")
    return ratio


def _paired_late_skill(own: Group, reference: Group) -> tuple[Array, Array, str]:
    """Return late skill of the seeds both have, at the K both have, and what that leaves out."""
    ours = {run.seed: run for run in own.started}
    theirs = {run.seed: run for run in reference.started}
    seeds = [seed for seed in ours if seed in theirs]
    k = min(own.num_tasks, reference.num_tasks)
    notes = []
    if len(seeds) < len(ours):
        notes.append(f"{len(seeds)} of {len(ours)} seeds are also in {reference.label}")
    if k < own.num_tasks:
        notes.append(f"first {k} of {own.num_tasks} tasks: {reference.label} has no more")
    if k < reference.num_tasks:
        notes.append(f"{reference.label} cut to {k} of {reference.num_tasks} tasks")
    window = late_window(k)
    own_late = _means([ours[seed] for seed in seeds], "skill", window)
    return own_late, _means([theirs[seed] for seed in seeds], "skill", window), "; ".join(notes)


def _noted(interval: Interval, note: str) -> Interval:
    return replace(interval, note="; ".join(filter(None, [interval.note, note])))


def _notes(own: Group, rivals: Sequence[Group]) -> tuple[str, ...]:
    notes = []
    if waiting := [run.seed for run in own.runs if run not in own.started]:
        notes.append(f"seeds without a complete task are left out: {waiting}")
    if diverged := [run for run in own.started if run.diverged.any()]:
        first = min(int(run.diverged.argmax()) for run in diverged)
        of = f"{len(diverged)} of {len(own.started)} seeds diverged"
        notes.append(
            f"{of}, the first in task {first}: outputs that are not finite predict nothing"
        )
    longest = max((len(run.tasks) for run in own.started), default=0)
    if longest > own.num_tasks:
        notes.append(f"seeds have {own.num_tasks} to {longest} tasks: scored at {own.num_tasks}")
    others = max(g.num_tasks for g in rivals)
    if others > own.num_tasks:
        notes.append(f"others have {others} tasks, this {own.num_tasks}: not comparable")
    for kind, measured in (("fresh", "plasticity"), ("linear", "the gap to linear")):
        count = sum(g.reference == kind and g.num_tasks > 0 for g in rivals)
        if count > 1 and _reference(rivals, kind) is own:
            best = f"of {count} {kind} arms the best over the stream"
            notes.append(f"{best}: what {measured} is measured against")
    if len({str(run.config.get("plugins")) for run in own.runs}) > 1:
        notes.append(f"the code of {own.config['agent']} changed between seeds")
    return tuple(notes)

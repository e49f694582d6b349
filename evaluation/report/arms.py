"""What the report shows: problems, and on each the arms that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.groups import Group, group
from evaluation.runs import Run, load
from evaluation.scores import Score, score


@dataclass(frozen=True, eq=False)
class Arm:
    """One agent with one setting on one problem: its runs and what they scored."""

    group: Group
    score: Score

    @property
    def label(self) -> str:
        """The agent with the settings that tell it apart; unique on its problem."""
        return self.score.label

    @property
    def unfinished(self) -> tuple[int, ...]:
        """The seeds whose run has not ended."""
        return tuple(run.seed for run in self.group.runs if not is_finished(run))


@dataclass(frozen=True, eq=False)
class Problem:
    """One variant of a problem and its arms, all with the same kind of outcome.

    Attributes:
        label: Short id, with settings where several variants are compared.
        outcome: accuracy, error or return.
        methods: Arms that are ranked, the best late window first.
        references: Arms that are shown and never ranked, in the same order.
    """

    label: str
    outcome: str
    methods: tuple[Arm, ...]
    references: tuple[Arm, ...]

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Methods, then references."""
        return self.methods + self.references

    @property
    def num_tasks(self) -> int:
        """The complete tasks of the longest arm."""
        return max(arm.score.tasks for arm in self.arms)


def gather(paths: Sequence[str | Path]) -> list[Problem]:
    """Load and score every run at or below the paths, sorted by problem.

    Raises:
        ValueError: If a path holds no run or a corrupt one, or two runs differ in nothing.
    """
    runs = load(*paths)
    arms = [Arm(g, s) for g, s in zip(group(runs), score(runs), strict=True)]
    keys = dict.fromkeys((arm.score.problem_label, arm.score.outcome_name) for arm in arms)
    return [_problem(key, arms) for key in keys]


def _problem(key: tuple[str, str], arms: Sequence[Arm]) -> Problem:
    own = [arm for arm in arms if (arm.score.problem_label, arm.score.outcome_name) == key]
    own.sort(key=lambda arm: rank(arm.score))
    methods = tuple(arm for arm in own if not arm.score.is_reference)
    return Problem(*key, methods, tuple(arm for arm in own if arm.score.is_reference))


def rank(score: Score) -> tuple[bool, float, str]:
    """Return a sort key: the best late window first, what has none last, then by label."""
    late = score.late.estimate
    if late is None:
        return True, 0.0, score.label
    return False, -late if score.higher_is_better else late, score.label


def is_finished(run: Run) -> bool:
    """Say whether the run has ended: `result.json` is written last."""
    return (run.folder / "result.json").exists()

"""What was run: each arm's exact settings and circumstances, from its config files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.report.arms import Arm, is_finished
from evaluation.report.wording import estimate, plain
from evaluation.runs import Run, content

# Said elsewhere on the page, or by another fact.
_NOT_LISTED = {
    "format", "problem", "problem_settings", "agent", "agent_settings",
    "settings_hash", "seed", "tasks", "outcome", "higher_is_better", "reference",
}  # fmt: skip
_EXPECTED = (
    "engine", "device", "threads", "cpu", "privileges", "disclosure", "examples_per_task",
    "measure_every", "content_hash", "versions",
)  # fmt: skip


def settings(arm: Arm) -> list[tuple[str, str]]:
    """Return every setting of the agent by name; empty where none is recorded."""
    recorded = arm.group.config.get("agent_settings") or {}
    return [(name, plain(value)) for name, value in sorted(recorded.items())]


def problem_settings(arm: Arm) -> list[tuple[str, str]]:
    """Return every setting of the problem by name; empty where none is recorded."""
    recorded = content(arm.group.config.get("problem_settings") or {})
    return [(name, plain(value)) for name, value in sorted(recorded.items())]


def facts(arm: Arm) -> list[tuple[str, str]]:
    """Return name and value of all else that is known; what seeds differ in is given by seed."""
    runs = arm.group.runs
    known = [
        ("agent", arm.score.agent),
        ("reference arm", arm.group.reference or "no"),
        ("settings hash", arm.score.settings_hash),
        ("seeds", ", ".join(str(run.seed) for run in runs)),
        ("complete tasks", by_seed(runs, [str(len(run.tasks)) for run in runs])),
        ("finished", by_seed(runs, ["yes" if is_finished(run) else "no" for run in runs])),
        ("updates per run", by_seed(runs, [_updates(run) for run in runs])),
        ("wall-clock seconds per run", by_seed(runs, [_seconds(run) for run in runs])),
    ]
    passes = arm.score.passes_to_fresh
    if passes.estimate is not None:
        words = f"{estimate(passes, 1)} {passes.note}".rstrip()
        known.append(("passes until 95 % of what fresh ends with, late window", words))
    others = dict.fromkeys(key for run in runs for key in sorted(run.config))
    names = [*_EXPECTED, *(key for key in others if key not in _EXPECTED)]
    for name in names:
        if name not in _NOT_LISTED:
            values = [_value(run.config.get(name)) for run in runs]
            known.append((name.replace("_", " "), by_seed(runs, values)))
    return known


def by_seed(runs: Sequence[Run], values: Sequence[str]) -> str:
    """Return the value all seeds share, or every seed's."""
    if len(set(values)) == 1:
        return values[0]
    return "; ".join(f"seed {r.seed}: {v}" for r, v in zip(runs, values, strict=True))


def _updates(run: Run) -> str:
    return f"{run.updates[-1]:,}" if len(run.updates) else "0"


def _seconds(run: Run) -> str:
    total = run.seconds.sum()
    return f"{total:,.1f}" if np.isfinite(total) else "not recorded"


def _value(value: Any) -> str:
    if value is None:
        return "not recorded"
    if value == []:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return plain(value)

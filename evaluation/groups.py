"""Runs that differ only in their seed, gathered and given names that tell them apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.runs import ADDED, Run, content


@dataclass(frozen=True, eq=False)
class Group:
    """The seeds of one agent with one setting on one problem with one setting.

    Attributes:
        runs: At least one, by seed.
        problem_label: Short id, with those settings in which the loaded variants of it differ.
        label: Agent, with those settings in which its groups on this problem differ; unique there.
    """

    runs: tuple[Run, ...]
    problem_label: str
    label: str

    @property
    def config(self) -> Mapping[str, Any]:
        """The first seed's; what identifies the group is the same in all."""
        return self.runs[0].config

    @property
    def reference(self) -> str | None:
        """Which reference arm this is ("fresh", "linear", ...); None for a method."""
        return self.config.get("reference")

    @property
    def started(self) -> tuple[Run, ...]:
        """The runs with at least one complete task: the ones that can be scored."""
        return tuple(run for run in self.runs if len(run.tasks))

    @property
    def num_tasks(self) -> int:
        """Complete tasks that all started runs share; 0 if none has started."""
        return min((len(run.tasks) for run in self.started), default=0)


def group(runs: Sequence[Run]) -> list[Group]:
    """Gather the seeds of each agent, setting and problem, sorted by labels.

    Raises:
        ValueError: If two runs of a group have the same seed; names both folders.
    """
    problems: dict[tuple[str, str, str], dict[tuple[str, str], list[Run]]] = {}
    for run in runs:
        settings = _canonical(content(run.config.get("problem_settings") or {}))
        problem = run.config["problem"], settings, run.scored
        agent = _name(run), run.settings_hash
        problems.setdefault(problem, {}).setdefault(agent, []).append(run)
    examples = [next(iter(agents.values()))[0] for agents in problems.values()]
    short_ids = [run.config["problem"].removeprefix("continual_envs/") for run in examples]
    problem_labels = _labels(examples, short_ids, "problem_settings")
    groups = []
    for problem_label, agents in zip(problem_labels, problems.values(), strict=True):
        members = [_by_seed(same) for same in agents.values()]
        heads = [same[0] for same in members]
        labels = _labels(heads, [_name(run) for run in heads], "agent_settings")
        groups += [Group(m, problem_label, label) for m, label in zip(members, labels, strict=True)]
    return sorted(groups, key=lambda g: (g.problem_label, g.label))


def _name(run: Run) -> str:
    """Return the agent's name; runs on tuning seeds are never pooled with what is reported."""
    agent: str = run.config["agent"]
    return f"{agent} (tuning)" if run.config.get("purpose") == "tuning" else agent


def _by_seed(runs: Sequence[Run]) -> tuple[Run, ...]:
    seeds: dict[int, Run] = {}
    for run in runs:
        if twin := seeds.get(run.seed):
            raise ValueError(
                f"seed: {run.seed} is not allowed twice with the same settings; "
                f"found in {twin.folder} and {run.folder}"
            )
        seeds[run.seed] = run
    return tuple(seeds[seed] for seed in sorted(seeds))


def _labels(runs: Sequence[Run], names: Sequence[str], key: str) -> list[str]:
    """Return each name with the settings in which the runs of that name differ."""
    read = content if key == "problem_settings" else dict
    settings = [read(run.config.get(key) or {}) for run in runs]
    labels = []
    for name, own in zip(names, settings, strict=True):
        namesakes = [s for n, s in zip(names, settings, strict=True) if n == name]
        values = {k: {_canonical(s.get(k, ADDED.get(k))) for s in namesakes} for k in own}
        differing = [k for k in sorted(own) if len(values[k]) > 1]
        labels.append(" ".join([name, *(f"{k}={_short(own[k])}" for k in differing)]))
    # Settings that were not recorded or print alike, and other ends of a stream, leave only the
    # hash to tell arms apart.
    return [
        label if labels.count(label) == 1 else f"{label} #{run.settings_hash[:8]}"
        for label, run in zip(labels, runs, strict=True)
    ]


def _short(value: Any) -> str:
    if value is None:
        return "unset"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)

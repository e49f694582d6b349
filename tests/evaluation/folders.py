"""Synthetic run folders, for tests of whatever reads them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_run(
    root: Path,
    outcomes: Sequence[float | None | Sequence[float | None]],
    *,
    problem: str = "continual_envs/PermutedDigits-v0",
    agent: str = "backprop",
    seed: int = 0,
    outcome: str = "accuracy",
    anchor: float | None = 0.1,
    bins: int = 10,
    examples_per_bin: int = 10,
    measures: Mapping[str, Mapping[int, float | None]] | None = None,
    finished: bool = True,
    **config: Any,
) -> Path:
    """Write the folder of one run and return it.

    Args:
        root: Where studies are written; the run gets its usual place below it.
        outcomes: One value per task, or one per bin of each task: fewer bins than `bins` leave
            that task incomplete.
        problem: Registered id.
        agent: Agent's name.
        seed: Seed.
        outcome: accuracy, error or return.
        anchor: The same at every task.
        bins: Bins a task.
        examples_per_bin: Examples, and updates, per bin.
        measures: Name -> {task: value}.
        finished: Whether there is a result.json.
        **config: Further keys of config.json, such as agent_settings, problem_settings, reference,
            privileges, engine.
    """
    problem_settings = config.pop("problem_settings", {})
    agent_settings = config.pop("agent_settings", {})
    identity = json.dumps([problem, problem_settings, agent, agent_settings], sort_keys=True)
    settings_hash = hashlib.sha256(identity.encode()).hexdigest()[:12]
    folder = root / problem.split("/")[-1] / f"{agent}-{settings_hash[:8]}" / f"seed-{seed}"
    folder.mkdir(parents=True)
    full_config = {
        "format": 1,
        "problem": problem,
        "problem_settings": problem_settings,
        "agent": agent,
        "agent_settings": agent_settings,
        "settings_hash": settings_hash,
        "seed": seed,
        "tasks": len(outcomes),
        "engine": "torch",
        "device": "cpu",
        "threads": 1,
        "outcome": outcome,
        "higher_is_better": outcome != "error",
        "reference": None,
        "privileges": [],
        "disclosure": "hidden",
        "measure_every": 1,
        "examples_per_task": bins * examples_per_bin,
        "bins_per_task": bins,
        "versions": {"continual_envs": "0.1.0", "python": "3.11", "numpy": "2.4.6"},
        "cpu": "some processor",
    } | config
    (folder / "config.json").write_text(json.dumps(full_config))
    lines: list[dict[str, Any]] = []
    for task, values in enumerate(outcomes):
        row = values if isinstance(values, Sequence) else [values] * bins
        start = task * bins * examples_per_bin
        taken = {name: at[task] for name, at in (measures or {}).items() if task in at}
        if taken:
            counts = {"task": task, "updates": start, "examples": start}
            lines.append({"kind": "measure", **counts, **taken})
        for index, value in enumerate(row):
            end = start + (index + 1) * examples_per_bin
            lines.append(
                {"kind": "online", "task": task, "bin": index, "updates": end, "examples": end}
                | {outcome: value, "loss": 1.0, "anchor": anchor, "seconds": 0.5}
            )
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "records.jsonl").write_text(text)
    if finished:
        (folder / "result.json").write_text(json.dumps({"tasks": len(outcomes), "finished": True}))
    return folder

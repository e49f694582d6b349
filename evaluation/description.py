"""What config.json says of a run: everything a result depends on."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import continual_envs
from continual_envs.control.stream import DriftStream
from continual_envs.core import Stream
from evaluation.runs import ADDED


def describe(
    stream: Stream | DriftStream,
    *,
    problem: str,
    problem_settings: dict[str, Any],
    agent: str,
    agent_settings: dict[str, Any],
    seed: int,
    bins: int,
    distributions: Iterable[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """Return the content of config.json.

    Args:
        stream: of the problem, for the seed.
        problem: its registered id.
        problem_settings: every setting of it.
        agent: its name.
        agent_settings: every setting of it.
        seed: of the stream and the agent.
        bins: bins a task.
        distributions: see `versions`.
        **more: further entries.
    """
    return {
        "format": 1,
        "problem": problem,
        "problem_settings": problem_settings,
        "agent": agent,
        "agent_settings": agent_settings,
        "settings_hash": settings_hash(problem, problem_settings, agent, agent_settings),
        "seed": seed,
        "outcome": stream.outcome,
        "higher_is_better": stream.outcome != "error",
        "disclosure": problem_settings["disclosure"],
        "scored": stream.scored,
        "bins_per_task": bins,
        "examples_per_task": stream.examples_per_task,
        "protocol": list(stream.disclosed),
        "content_hash": stream.content_hash(),
        "versions": versions(distributions),
        "cpu": cpu_name(),
        **more,
    }


def continued(before: dict[str, Any], now: dict[str, Any], task: int) -> dict[str, Any]:
    """Return the content of config.json for a run that goes on.

    It stays what it was but for the horizon and the measuring; whatever else is different now, such
    as a version or the device, is added to the list `resumed` with the task where it began.

    Args:
        before: the present content.
        now: what `describe` would say.
        task: where the run goes on.

    Raises:
        ValueError: the problem shows something else than it did.
    """
    if before.get("content_hash") != now["content_hash"]:
        raise ValueError(
            f"problem: {now['problem']} no longer shows what this run has seen (content_hash "
            f"{now['content_hash'][:12]}, was {str(before.get('content_hash'))[:12]})"
        )
    kept = ("tasks", "measure_every")
    changed = {key: now[key] for key in now if key not in kept and before.get(key) != now[key]}
    resumed = before.get("resumed", [])
    latest = {key: value for key, value in resumed[-1].items() if key != "task"} if resumed else {}
    if changed != latest:
        resumed = [*resumed, {"task": task, **changed}]
    result = before | {"measure_every": now["measure_every"], "tasks": max(now["tasks"], task)}
    return result | {"resumed": resumed} if resumed else result


def settings_hash(
    problem: str, problem_settings: dict[str, Any], agent: str, agent_settings: dict[str, Any]
) -> str:
    """Return twelve hexadecimal digits of problem, agent and their expanded settings.

    What is in `ADDED`, at its default, is left out, so that older results stay the same runs.
    """
    agent_settings = {k: v for k, v in agent_settings.items() if (k, v) not in ADDED.items()}
    identity = json.dumps([problem, problem_settings, agent, agent_settings], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def versions(more: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions that a result may depend on, `more` distributions included."""
    found = {"python": platform.python_version(), "continual_envs": continual_envs.__version__}
    always = ("numpy", "gymnasium", "torch", "numba")
    return found | {name: metadata.version(name) for name in (*always, *more)}


def gpu(device: str) -> dict[str, str]:
    """Return what is said of a CUDA device: its name; nothing of another one."""
    if not device.startswith("cuda"):
        return {}
    import torch

    return {"gpu": torch.cuda.get_device_name(device)}


def cpu_name() -> str:
    """Return the processor's name, as far as the system tells it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

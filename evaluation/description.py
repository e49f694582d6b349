"""What config.json says of a run: everything a result depends on."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import continual_envs
from continual_envs.environment import StreamEnv


def describe(
    env: StreamEnv,
    *,
    problem: str,
    problem_settings: dict[str, Any],
    agent: str,
    agent_settings: dict[str, Any],
    seed: int,
    bins: int,
    **more: Any,
) -> dict[str, Any]:
    """Return the content of config.json.

    Args:
        env: the problem, reset.
        problem: its registered id.
        problem_settings: every setting of it.
        agent: its name.
        agent_settings: every setting of it.
        seed: of the stream and the agent.
        bins: bins a task.
        **more: further entries.
    """
    stream = env.stream
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
        "bins_per_task": bins,
        "examples_per_task": stream.examples_per_task,
        "content_hash": stream.content_hash(),
        "versions": versions(),
        "cpu": cpu_name(),
        **more,
    }


def settings_hash(
    problem: str, problem_settings: dict[str, Any], agent: str, agent_settings: dict[str, Any]
) -> str:
    """Return twelve hexadecimal digits of problem, agent and their expanded settings."""
    identity = json.dumps([problem, problem_settings, agent, agent_settings], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    found = {"python": platform.python_version(), "continual_envs": continual_envs.__version__}
    return found | {name: metadata.version(name) for name in ("numpy", "gymnasium", "torch")}


def cpu_name() -> str:
    """Return the processor's name, as far as the system tells it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

"""Small runs, and what tests look at in their folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from evaluation.config import RunConfig, configure
from evaluation.loop import run_one
from tests.conftest import ROOT

DIGITS = "PermutedDigits-v0"
SMALL = {"batch_size": 16, "examples_per_task": 64}
NET = {"hidden": [8], "step_size": 0.1}
BY_STEP = "tests.evaluation.plugins:by_step"


def cell(agent: str = "backprop", *, problem: str = DIGITS, **more: Any) -> RunConfig:
    """One small run on the torch engine; `more` goes to `configure`."""
    defaults: dict[str, Any] = {"problem_settings": SMALL, "tasks": 3, "seeds": [0]}
    defaults["engine"] = "torch"
    if ":" not in agent:
        defaults["settings"] = NET if agent != "linear" else {}
    (config,) = configure(problem, agent, **{**defaults, **more})
    return config


def by_step(agent: str, settings: dict[str, Any], **more: Any) -> RunConfig:
    """The same learner as `agent`, which lives by act and learn."""
    inner = {"inner": agent, "inner_settings": json.dumps(settings)}
    return cell(BY_STEP, settings=inner, **more)


def live(config: RunConfig, folder: Path) -> list[dict[str, Any]]:
    """Run the cell into the folder and return its records."""
    run_one(config, folder)
    return records(folder)


def records(folder: Path) -> list[dict[str, Any]]:
    """Every column of every record but wall-clock."""
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def online(folder: Path) -> list[dict[str, Any]]:
    return [record for record in records(folder) if record["kind"] == "online"]


def read(folder: Path, name: str = "config.json") -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below the folder: content and time of change."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def python(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start Python in the repository's root."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> tuple[int, str, str]:
    """Wait and return exit code, stdout and stderr."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err

"""Where a run was left: what its folder allows to go on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents import registry
from evaluation import checkpoint
from evaluation.config import RunConfig
from evaluation.folder import ended, read_json

DONE: dict[str, Any] = {"done": True}


def resumable(config: RunConfig, folder: Path) -> dict[str, Any] | None:
    """Return the checkpoint to continue a cell from, DONE if nothing is left to do, or None.

    Reads and checks only.

    Raises:
        ValueError: the folder is of other settings, or a file in it is damaged; one line names it.
    """
    if not (folder / "config.json").exists():
        return None
    described = read_json(folder / "config.json")
    identity = {"settings_hash": config.settings_hash, "seed": config.seed}
    if not _has(described, identity):
        raise ValueError(f"{folder}: holds another run; give another --out")
    if config.engine not in ("auto", engine_of(described)):
        raise ValueError(
            f"engine: {config.engine!r} is not allowed; {folder} is of {engine_of(described)!r}: "
            "ask for that or give another --out"
        )
    made = described.get("plugins", {})
    for part, source in registry.sources(config.agent).items():
        if made.get(part, source) != source:
            raise ValueError(
                f"agent: the code of {part} has changed since {folder} was made; give another "
                "--out, or remove the folder"
            )
    if ended(folder) >= config.tasks:
        return DONE
    path = folder / "checkpoint.pt"
    if not path.exists():
        return None
    state = checkpoint.load(path)
    if not _has(state, identity):
        raise ValueError(f"{path}: belongs to another run; remove the run folder to start over")
    if not {"best", "watch"} & state["life"].keys():
        raise ValueError(f"{path}: of an older version, which this one cannot continue")
    _check_records(folder / "records.jsonl", state["recorder"]["bytes"])
    return state


def engine_of(described: dict[str, Any]) -> str:
    """Return the engine that a run folder was made with."""
    return str(described.get("engine", "torch"))


def _has(content: dict[str, Any], identity: dict[str, Any]) -> bool:
    return all(content.get(key) == value for key, value in identity.items())


def _check_records(path: Path, size: int) -> None:
    """Refuse records that end before the checkpoint's place or do not parse up to it."""
    content = path.read_bytes()[:size] if path.exists() else b""
    if len(content) < size:
        raise ValueError(f"{path}: shorter than its checkpoint says; remove the run folder")
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            json.loads(line)
        except ValueError:
            raise ValueError(f"{path}: line {number} is damaged; remove the run folder") from None

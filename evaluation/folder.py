"""A run folder's small files: config.json, written before records.jsonl, and result.json last."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a small JSON file beside `path` and rename it into place."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(beside, path)


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file of a run folder.

    Raises:
        ValueError: it is damaged; one line names it.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise _damaged(path, f"is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise _damaged(path, "is not a JSON object")
    return content


def write_result(folder: Path, tasks: int, seconds: float) -> None:
    """Mark the run of a folder as done, after all else is written."""
    result = {"tasks": tasks, "seconds": round(seconds, 3), "finished": True}
    write_json(folder / "result.json", result)


def ended(folder: Path) -> int:
    """Return how many tasks the run of a folder had when it ended, 0 if it has not.

    Raises:
        ValueError: its result is damaged; one line names it.
    """
    result = folder / "result.json"
    if not result.exists():
        return 0
    tasks = read_json(result).get("tasks")
    if not isinstance(tasks, int):
        raise _damaged(result, "has no tasks")
    return tasks


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"{path}: {what}; mend it, or remove the run folder to start over")

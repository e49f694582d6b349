"""Run folders, ours or a third party's, read into arrays with one value per complete task."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.folder import read_json

Array = NDArray[np.float64]

OUTCOMES = ("accuracy", "error", "return")
SCORED = ("online", "last test", "best test")
# Settings of our agents that came after results were published, with the defaults they came with.
ADDED: dict[str, Any] = {"network": "auto", "decay_epochs": []}
BINS_PER_TASK = 10  # where config.json does not say
_REQUIRED: dict[str, type] = {"problem": str, "agent": str, "seed": int, "outcome": str}
_OPTIONAL: dict[str, type] = {
    "scored": str,
    "bins_per_task": int,
    "problem_settings": dict,
    "agent_settings": dict,
    "privileges": list,
}
_NOT_A_MEASURE = {
    "kind",
    "bin",
    "task",
    "updates",
    "examples",
    "loss",
    "anchor",
    "seconds",
    "episodes",
    "diverged",
    *OUTCOMES,
}


def content(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a problem's settings but where its stream ends: tasks are the same until there."""
    return {key: value for key, value in settings.items() if key != "num_tasks"}


@dataclass(frozen=True, eq=False)
class Run:
    """One seed of one agent on one problem, K complete tasks of it.

    Attributes:
        folder: Where it was read from.
        config: `config.json` as it stands.
        tasks: Shape (K,), 0 .. K-1.
        outcome: Shape (K,), what the problem scores of each task: the mean over its examples as
            they came, or over its test examples after the last pass or the best; nan where it was
            not finite. Of returns, the mean over the episodes that ended in the task.
        online: Shape (K,), mean over each task's examples as they came.
        test: Shape (K, passes), mean over each task's test examples after each pass; nan where
            there was none; None where a task holds nothing out.
        anchor: Shape (K,), the outcome of a learner that knows nothing; nan where not recorded.
        skill: Shape (K,), outcome - anchor; anchor - outcome for errors. Higher is better.
        loss: Shape (K,), mean over examples; nan where not recorded or not finite.
        diverged: Shape (K,), whether outputs in the task were recorded as not finite.
        seconds: Shape (K,), wall-clock of each task; nan where not recorded.
        updates: Shape (K,), updates of the whole run at the end of each task.
        measures: Name -> (tasks, values); taken at the start of the task, complete tasks only.
    """

    folder: Path
    config: Mapping[str, Any]
    tasks: NDArray[np.int64]
    outcome: Array
    online: Array
    test: Array | None
    anchor: Array
    skill: Array
    loss: Array
    diverged: NDArray[np.bool_]
    seconds: Array
    updates: NDArray[np.int64]
    measures: Mapping[str, tuple[NDArray[np.int64], Array]]

    @property
    def seed(self) -> int:
        """The seed of the stream and the agent."""
        return int(self.config["seed"])

    @property
    def outcome_name(self) -> str:
        """One of accuracy, error, return."""
        return str(self.config["outcome"])

    @property
    def scored(self) -> str:
        """What `outcome` is of: "online", "last test" or "best test"."""
        return str(self.config.get("scored", "online"))

    @property
    def higher_is_better(self) -> bool:
        """False for errors."""
        return self.outcome_name != "error"

    @property
    def settings_hash(self) -> str:
        """The recorded hash; where absent, one of the recorded problem, agent and settings."""
        if recorded := self.config.get("settings_hash"):
            return str(recorded)
        keys = ("problem", "problem_settings", "agent", "agent_settings")
        identity = json.dumps([self.config.get(key) for key in keys], sort_keys=True)
        return hashlib.sha256(identity.encode()).hexdigest()[:12]


def load(*paths: str | Path) -> list[Run]:
    """Read every run folder at or below the paths, each once; a folder with config.json is one.

    A task is complete when its last bin is there (`bins_per_task` in config.json, else 10); the
    task a run is in the middle of is left out, as is a half-written last line of a run that is
    not done.

    Raises:
        ValueError: If a path holds no run, or a file is corrupt; names the file, and the line.
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        found = sorted(Path(path).rglob("config.json"))
        if not found:
            raise ValueError(f"{path}: holds no run; a run folder has a config.json")
        for file in found:
            folders.setdefault(file.parent.resolve(), file.parent)
    return [_read(folder) for folder in folders.values()]


def _read(folder: Path) -> Run:
    config = _read_config(folder / "config.json")
    last_bin = config.get("bins_per_task", BINS_PER_TASK) - 1
    bins: list[list[float]] = []
    tested: dict[tuple[int, int], float] = {}
    measured: dict[str, dict[int, float]] = {}
    said = _tasks_said(folder)  # before the reading, see `_read_records`
    for where, record in _read_records(folder):
        kind = record.get("kind")
        if kind == "online":
            row = _bin_row(record, config["outcome"], where)
            _check_order(bins[-1] if bins else None, row, last_bin, where)
            bins.append(row)
        elif kind == "test":
            place = _integer(record, "task", where), _integer(record, "bin", where)
            if place in tested:
                raise ValueError(f"{where}: task {place[0]} is already tested above")
            tested[place] = _number(record, config["outcome"], where)
        elif kind == "measure":
            task = _integer(record, "task", where)
            for name in record.keys() - _NOT_A_MEASURE:
                values = measured.setdefault(name, {})
                if task in values:
                    raise ValueError(f"{where}: {name} of task {task} is already given above")
                values[task] = _number(record, name, where)
    table = np.array(bins, dtype=np.float64).reshape(-1, 10)
    complete = int(np.count_nonzero(table[:, 1] == last_bin))
    test = None
    if tested:
        passes = sorted({bin for _, bin in tested})
        # A run may have been stopped between the last bin of a task and its test.
        while complete and (complete - 1, last_bin) not in tested:
            complete -= 1
        rows = [[tested.get((task, bin), math.nan) for bin in passes] for task in range(complete)]
        test = np.array(rows, dtype=np.float64).reshape(complete, len(passes))
    elif config.get("scored", "online") != "online":
        complete = 0
    if complete < said:
        raise ValueError(
            f"{folder / 'records.jsonl'}: ends after {complete} tasks, but result.json says {said}"
        )
    return _summarise(folder, config, table[table[:, 0] < complete], test, measured)


def _summarise(
    folder: Path,
    config: Mapping[str, Any],
    table: Array,
    test: Array | None,
    measured: Mapping[str, dict[int, float]],
) -> Run:
    """Reduce the rows of `_bin_row` to tasks."""
    index = table[:, 0].astype(np.int64)
    tasks = np.unique(index)
    examples = np.diff(table[:, 3], prepend=0.0)
    episodes = np.where(np.isnan(table[:, 8]), examples, table[:, 8])

    def mean(column: int, weights: Array = examples) -> Array:
        # A bin without examples may hold a null, and its weight of 0 must hide it.
        weighted = np.where(weights > 0, weights * table[:, column], 0.0)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.bincount(index, weighted) / np.bincount(index, weights))

    online, loss, anchor = mean(4, episodes), mean(5), mean(6)
    outcome, scored = online, config.get("scored", "online")
    if test is not None and scored != "online":
        outcome = test[:, -1] if scored == "last test" else best(test, config["outcome"])
    measures = {}
    for name in sorted(measured):
        at = [task for task in sorted(measured[name]) if task < len(tasks)]
        values = [measured[name][task] for task in at]
        measures[name] = np.array(at, dtype=np.int64), np.array(values, dtype=np.float64)
    return Run(
        folder=folder,
        config=config,
        tasks=tasks,
        outcome=outcome,
        online=online,
        test=test,
        anchor=anchor,
        skill=anchor - outcome if config["outcome"] == "error" else outcome - anchor,
        loss=loss,
        diverged=np.bincount(index, table[:, 9]) > 0,
        seconds=np.bincount(index, table[:, 7]).astype(np.float64),
        updates=table[np.searchsorted(index, tasks, side="right") - 1, 2].astype(np.int64),
        measures=measures,
    )


def best(test: Array, outcome: str) -> Array:
    """Return the best of each row of `Run.test`, (K,); nan where none was finite."""
    sign = -1.0 if outcome == "error" else 1.0
    signed = np.where(np.isfinite(test), sign * test, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(np.isfinite(signed), sign * signed, np.nan)


def _bin_row(record: Mapping[str, Any], outcome: str, where: str) -> list[float]:
    """Return task, bin, updates, examples, outcome, loss, anchor, seconds, episodes, diverged."""
    if outcome not in record:
        raise ValueError(f"{where}: {outcome} is missing")
    counts = [_integer(record, name, where) for name in ("task", "bin", "updates", "examples")]
    numbers = (outcome, "loss", "anchor", "seconds", "episodes")
    found = [_number(record, name, where) for name in numbers]
    return [*counts, *found, record.get("diverged") is True]


def _check_order(before: list[float] | None, row: list[float], last_bin: int, where: str) -> None:
    """Refuse gaps between tasks, repeated bins (a run resumed twice) and shrinking counts."""
    task, position, updates, examples = map(int, row[:4])
    if not 0 <= position <= last_bin:
        raise ValueError(f"{where}: bin: {position} is not allowed; use 0 to {last_bin}")
    if before is None:
        follows = task == 0
    else:
        same_task = task == before[0] and position > before[1]
        next_task = task == before[0] + 1 and before[1] == last_bin
        follows = (same_task or next_task) and updates >= before[2] and examples >= before[3]
    if not follows:
        previous = "the start" if before is None else "task {:.0f} bin {:.0f}".format(*before)
        raise ValueError(f"{where}: task {task} bin {position} cannot follow {previous}")


def _read_config(path: Path) -> dict[str, Any]:
    config = read_json(path)
    for name, kind in (_REQUIRED | _OPTIONAL).items():
        if type(config.get(name)) is not kind and (name in config or name in _REQUIRED):
            given = repr(config[name]) if name in config else "missing"
            raise ValueError(f"{path}: {name}: {given}; needs a value of type {kind.__name__}")
    if config["outcome"] not in OUTCOMES:
        allowed = ", ".join(OUTCOMES)
        raise ValueError(f"{path}: outcome: {config['outcome']!r} is not allowed; use {allowed}")
    if config.get("scored", "online") not in SCORED:
        allowed = ", ".join(SCORED)
        raise ValueError(f"{path}: scored: {config['scored']!r} is not allowed; use {allowed}")
    return config


def _tasks_said(folder: Path) -> int:
    """Return the tasks that the folder says its run has, which a third party need not."""
    try:
        said = read_json(folder / "result.json").get("tasks")
    except FileNotFoundError:
        return 0
    return said if type(said) is int else 0


def _read_records(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each record with the words that say where it stands."""
    path = folder / "records.jsonl"
    # Looked up before the reading, so that a run which ends meanwhile is not held to be corrupt.
    done = (folder / "result.json").exists()
    if not path.exists():
        if done:
            raise ValueError(f"{path}: is missing, though the run is done")
        return
    content = path.read_bytes().rstrip()
    lines = content.split(b"\n") if content else []
    for number, line in enumerate(lines, start=1):
        where = f"{path} line {number}"
        try:
            record = json.loads(line)
        except ValueError:
            if number == len(lines) and not done:
                return
            raise ValueError(f"{where}: is not JSON") from None
        if not isinstance(record, dict):
            raise ValueError(f"{where}: is not a JSON object")
        yield where, record


def _integer(record: Mapping[str, Any], name: str, where: str) -> int:
    value = record.get(name)
    if type(value) is not int:
        given = repr(value) if name in record else "missing"
        raise ValueError(f"{where}: {name}: {given}; needs an integer")
    return value


def _number(record: Mapping[str, Any], name: str, where: str) -> float:
    value = record.get(name)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{where}: {name}: {value!r}; needs a number or null")
    return float(value)

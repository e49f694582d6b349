"""Frozen results of a study: what its runs showed, and what was published, in one small file.

`evaluation/studies/NAME.json` stands beside the study's own file and is written by
`benchmarks/freeze.py`. For each arm it has the mean over seeds with its 95 % band along the tasks,
three windows with intervals over seeds, and what a paper reports.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.groups import Group
from evaluation.report.curves import Curve, measure_curve, outcome_curve, smoothing_window, thin
from evaluation.statistics import Interval, mean_interval

FOLDER = Path(__file__).parent.parent / "studies"
MOST_POINTS = 100  # of a frozen curve
DIGITS = 5  # significant
PLACES = ("start", "peak", "end")  # of a stream, where published figures were read
SHORTEST_WINDOW = 5  # tasks; 1 % of the tasks where that is more


@dataclass(frozen=True)
class Published:
    """What a paper reports for an arm.

    Attributes:
        values: By place: a number, or "<0.85" for what is only known to lie below.
        tasks: The length of the published stream.
        source: Where the values stand, and in what the published arm differs from ours.
    """

    values: Mapping[str, float | str]
    tasks: int
    source: str


@dataclass(frozen=True)
class Window:
    """The mean outcome over the tasks first .. last, with its interval over seeds."""

    first: int
    last: int
    mean: Interval


@dataclass(frozen=True, eq=False)
class FrozenArm:
    """One arm of a study on one problem.

    Attributes:
        label: Agent with the settings that tell it apart in the study.
        agent: Agent's name.
        settings: Every setting of the agent.
        settings_hash: Of problem, agent and their settings.
        reference: Which reference arm this is; None for a method.
        seeds: How many.
        tasks: The length of the stream.
        seconds: Of all seeds, each on one core.
        command: What ran it.
        windows: By place: the first tasks, those with the best mean over seeds, the last.
        curves: The outcome and the measures by name; the outcome smoothed as the report does.
        published: None where nothing is.
    """

    label: str
    agent: str
    settings: Mapping[str, Any]
    settings_hash: str
    reference: str | None
    seeds: int
    tasks: int
    seconds: float
    command: str
    windows: Mapping[str, Window]
    curves: Mapping[str, Curve]
    published: Published | None


@dataclass(frozen=True, eq=False)
class FrozenProblem:
    """One variant of a problem and the arms of the study on it.

    Attributes:
        problem: Registered id.
        label: Short id, with settings where the study has several variants.
        settings: Every setting of the problem.
        outcome: accuracy, error or return.
        content: Hash of the stream by seed.
        arms: Sorted by label.
    """

    problem: str
    label: str
    settings: Mapping[str, Any]
    outcome: str
    content: Mapping[str, str]
    arms: tuple[FrozenArm, ...]


@dataclass(frozen=True, eq=False)
class Frozen:
    """A study's frozen results."""

    study: str
    problems: tuple[FrozenProblem, ...]


def names() -> list[str]:
    """Return the studies that have frozen results."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load_frozen(name: str) -> Frozen:
    """Read the frozen results of a study.

    Args:
        name: of the study; or its TOML file, which has the results beside it.

    Raises:
        ValueError: there are none.
    """
    path = Path(name).with_suffix(".json") if name.endswith(".toml") else FOLDER / f"{name}.json"
    if not path.is_file():
        close = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"; nearest: {close[0]}" if close else ""
        raise ValueError(
            f"beside: study {name!r} has no frozen results; "
            f"those that have are {', '.join(names()) or 'none'}{hint}"
        )
    content = json.loads(path.read_text(encoding="utf-8"))
    problems = tuple(
        FrozenProblem(**(entry | {"arms": tuple(map(_read_arm, entry["arms"]))}))
        for entry in content["problems"]
    )
    return Frozen(content["study"], problems)


def read_value(value: Any) -> tuple[float, bool]:
    """Return a published value and whether all that is known is that it lies below.

    Raises:
        ValueError: it is neither a finite number nor a text like "<0.85".
    """
    below = isinstance(value, str) and value.startswith("<")
    try:
        number = float(value[1:]) if below else value
        if not isinstance(number, bool) and math.isfinite(number):
            return float(number), below
    except (TypeError, ValueError):
        pass
    raise ValueError(f'{value!r} is not allowed; give a number, or a text like "<0.85"')


def frozen_text(
    study: str,
    groups: Sequence[Group],
    commands: Mapping[str, str],
    published: Mapping[str, Published],
) -> str:
    """Return the content of a frozen file, an arm a line.

    Args:
        study: its name.
        groups: every arm of the study, all runs finished.
        commands: by settings hash.
        published: by settings hash, where there is any.
    """
    problems: dict[str, list[Group]] = {}
    for group in groups:
        problems.setdefault(group.problem_label, []).append(group)
    frozen = []
    for label, members in problems.items():
        config = members[0].config
        head = {
            "problem": config["problem"],
            "label": label,
            "settings": config["problem_settings"],
            "outcome": config["outcome"],
            "content": {
                str(run.seed): run.config["content_hash"][:12]
                for run in max(members, key=lambda member: len(member.runs)).runs
            },
        }
        arms = [
            _write_arm(group, commands[hash_], published.get(hash_))
            for group in members
            for hash_ in (group.runs[0].settings_hash,)
        ]
        frozen.append(head | {"arms": arms})
    return write_problems(study, frozen)


def write_problems(study: str, problems: Iterable[Mapping[str, Any]]) -> str:
    """Return the content of a frozen file from what it holds as JSON, an arm a line."""
    written = []
    for problem in problems:
        head = {key: value for key, value in problem.items() if key != "arms"}
        arms = ",\n".join(map(_dump, problem["arms"]))
        written.append(f'{_dump(head)[:-1]}, "arms": [\n{arms}\n]}}')
    return f'{{"study": {_dump(study)}, "problems": [\n' + ",\n".join(written) + "\n]}\n"


def windows(group: Group) -> dict[str, Window]:
    """Return the window of each place; the best one is that of the mean over seeds."""
    outcomes = np.array([run.outcome[: group.num_tasks] for run in group.started])
    width = min(max(SHORTEST_WINDOW, math.ceil(group.num_tasks / 100)), group.num_tasks)
    running = np.convolve(outcomes.mean(axis=0), np.ones(width) / width, mode="valid")
    running = -running if group.config["outcome"] == "error" else running
    peak = int(np.nanargmax(running)) if np.isfinite(running).any() else 0
    starts = dict(zip(PLACES, (0, peak, group.num_tasks - width), strict=True))
    return {
        place: Window(
            first, first + width - 1, mean_interval(outcomes[:, first : first + width].mean(axis=1))
        )
        for place, first in starts.items()
    }


def _write_arm(group: Group, command: str, published: Published | None) -> dict[str, Any]:
    config, outcome = group.config, group.config["outcome"]
    curves = {outcome: outcome_curve(group, smoothing_window(group.num_tasks))}
    for name in sorted({name for run in group.runs for name in run.measures}):
        if (curve := measure_curve(group, name)) is not None:
            curves[name] = curve
    return {
        "label": group.label,
        "agent": config["agent"],
        "settings": config["agent_settings"],
        "settings_hash": group.runs[0].settings_hash,
        "reference": group.reference,
        "seeds": len(group.runs),
        "tasks": group.num_tasks,
        "seconds": _rounded(sum(float(run.seconds.sum()) for run in group.runs)),
        "command": command,
        "windows": {place: _write_window(window) for place, window in windows(group).items()},
        "curves": {name: _write_curve(thin(c, MOST_POINTS)) for name, c in curves.items()},
        "published": asdict(published) if published else None,
    }


def _write_window(window: Window) -> dict[str, Any]:
    mean = {
        name: _rounded(value) if isinstance(value, float) else value
        for name, value in asdict(window.mean).items()
    }
    return {"first": window.first, "last": window.last, "mean": mean}


def _write_curve(curve: Curve) -> dict[str, list[Any]]:
    values = {"mean": curve.mean, "low": curve.low, "high": curve.high}
    return {"tasks": curve.tasks.tolist()} | {
        name: [_rounded(value) for value in array.tolist()] for name, array in values.items()
    }


def _read_arm(arm: Mapping[str, Any]) -> FrozenArm:
    read = {
        "windows": {
            place: Window(**(window | {"mean": Interval(**window["mean"])}))
            for place, window in arm["windows"].items()
        },
        "curves": {name: _read_curve(curve) for name, curve in arm["curves"].items()},
        "published": Published(**arm["published"]) if arm["published"] else None,
    }
    return FrozenArm(**(dict(arm) | read))


def _read_curve(curve: Mapping[str, list[Any]]) -> Curve:
    mean, low, high = (np.array(curve[n], dtype=np.float64) for n in ("mean", "low", "high"))
    return Curve(np.array(curve["tasks"], dtype=np.int64), mean, low, high)


def _rounded(value: float) -> float | None:
    """Return the value with few digits; None, which is read as nan, where it is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

"""Studies: problems x agents x settings x seeds, frozen in TOML files beside this one."""

from __future__ import annotations

import itertools
import json
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from continual_envs import checks
from evaluation.config import RunConfig, configure, parse_seeds
from evaluation.report.frozen import PLACES, Published, read_value

HERE = Path(__file__).parent
Keys = dict[str, type]
STUDY_KEYS: Keys = {
    "title": str,
    "description": str,
    "seeds": str,
    "tuning_seeds": str,
    "preset": str,
    "engine": str,
    "problems": list,
}
PROBLEM_KEYS: Keys = {
    "problem": str,
    "settings": dict,
    "tasks": int,
    "measure_every": int,
    "arms": list,
    "published": list,
}
ARM_KEYS: Keys = {"agent": str, "settings": dict, "grid": dict, "tried": dict, "seeds": str}
PUBLISHED_KEYS: Keys = {
    "agent": str,
    "settings": dict,
    "tasks": int,
    "source": str,
    **dict.fromkeys(PLACES, object),
}
KINDS = {str: "a text", int: "a whole number", list: "a list of tables", dict: "a table"}


@dataclass(frozen=True)
class Study:
    """A study as its file has it.

    Attributes:
        title: one line.
        description: what it is to show.
        seeds: what is reported.
        tuning_seeds: what settings were chosen on; no seed is in both.
        preset: "laptop" or "paper", for settings that arms leave open.
        engine: what every run computes on; see `evaluation.run`.
        problems: one table a problem: problem, settings, tasks, measure_every, arms, published. An
            arm has an agent; its settings; a `grid`, values by setting, of which every combination
            is an arm; the values `tried` in tuning, by setting; and its own seeds in place of the
            study's. What is `published` has the agent and those settings that name one arm; values
            read at the start, the peak (the best of the stream) or the end, numbers or "<0.85"; the
            length of the published stream in tasks, if it is another; and its source.
    """

    title: str
    description: str
    seeds: list[int]
    tuning_seeds: list[int]
    preset: str
    engine: str
    problems: list[dict[str, Any]]

    def cells(self) -> list[RunConfig]:
        """Return every run that is reported."""
        return _distinct(
            [
                config
                for problem in self.problems
                for arm, settings in _arms(problem)
                for config in self._configs(problem, arm, settings, self._seeds(arm))
            ]
        )

    def tuning(self) -> list[RunConfig]:
        """Return every run of the settings tried, on the tuning seeds."""
        configs = [
            config
            for problem in self.problems
            for arm in problem["arms"]
            if "tried" in arm
            for settings in _combinations(arm.get("settings", {}), arm["tried"])
            for config in self._configs(problem, arm, settings, self.tuning_seeds)
        ]
        return _distinct([replace(config, purpose="tuning") for config in configs])

    def runs(self, tuning: bool) -> list[RunConfig]:
        """Return the `tuning` runs, or those that are reported.

        Raises:
            ValueError: nothing was tried in tuning.
        """
        configs = self.tuning() if tuning else self.cells()
        if not configs:
            raise ValueError(f"study: {self.title!r} has tried nothing in tuning")
        return configs

    def commands(self) -> dict[str, str]:
        """Return by settings hash the command that runs the arm by itself."""
        return {
            self._hash(problem, arm, settings): self._command(problem, arm, settings)
            for problem in self.problems
            for arm, settings in _arms(problem)
        }

    def published(self) -> dict[str, Published]:
        """Return by settings hash what is published of the arm."""
        found = {}
        for problem in self.problems:
            for entry in problem.get("published", []):
                ((arm, settings),) = _named(problem, entry)
                hash = self._hash(problem, arm, settings)
                values = {place: entry[place] for place in PLACES if place in entry}
                tasks = entry.get("tasks", self._configs(problem, arm, settings, [0])[0].tasks)
                found[hash] = Published(values, tasks, entry["source"])
        return found

    def _seeds(self, arm: dict[str, Any]) -> list[int]:
        return arm.get("seeds", self.seeds)

    def _hash(self, problem: dict[str, Any], arm: dict[str, Any], settings: Any) -> str:
        return self._configs(problem, arm, settings, [0])[0].settings_hash

    def _command(self, problem: dict[str, Any], arm: dict[str, Any], settings: Any) -> str:
        options = {
            "--set": _assignments(settings),
            "--problem-set": _assignments(problem.get("settings", {})),
            "--seeds": [_seeds_text(self._seeds(arm))],
            "--tasks": [str(problem[key]) for key in ("tasks",) if key in problem],
            "--preset": [self.preset] * (self.preset != "laptop"),
            "--engine": [self.engine] * (self.engine != "auto"),
        }
        start = ["continual-envs", "run", problem["problem"], "--agent", arm["agent"]]
        given = [word for name, values in options.items() if values for word in (name, *values)]
        return shlex.join(start + given)

    def _configs(
        self, problem: dict[str, Any], arm: dict[str, Any], settings: Any, seeds: list[int]
    ) -> list[RunConfig]:
        return configure(
            problem["problem"],
            arm["agent"],
            settings=settings,
            problem_settings=problem.get("settings"),
            seeds=seeds,
            tasks=problem.get("tasks"),
            preset=self.preset,
            engine=self.engine,
            measure_every=problem.get("measure_every", 1),
        )


def names() -> list[str]:
    """Return the studies that come with the package."""
    return sorted(path.stem for path in HERE.glob("*.toml"))


def load_study(name_or_file: str | Path) -> Study:
    """Read a study by name or from a TOML file.

    Raises:
        ValueError: there is none, or the file is not a study; one line says where.
    """
    path = Path(name_or_file)
    if path.suffix != ".toml":
        path = HERE / f"{checks.one_of('study', str(name_or_file), names())}.toml"
    if not path.is_file():
        raise ValueError(f"study: {path} is not a file")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"study: {path} is not TOML: {error}") from None
    _known(path, content, STUDY_KEYS, ("title", "seeds", "problems"))
    seeds, tuning_seeds = (_seeds(path, content, key) for key in ("seeds", "tuning_seeds"))
    if not content["problems"]:
        raise ValueError(f"study: {path}: problems is empty; give at least one")
    for problem in content["problems"]:
        _known(path, problem, PROBLEM_KEYS, ("problem", "arms"))
        if not problem["arms"]:
            raise ValueError(f"study: {path}: arms is empty; give at least one")
        for arm in problem["arms"]:
            _known(path, arm, ARM_KEYS, ("agent",))
            _check_values(path, "grid", arm.get("grid", {}))
            _check_values(path, "tried", arm.get("tried", {}))
            if "tried" in arm and not tuning_seeds:
                raise ValueError(
                    f"study: {path}: tuning_seeds is missing, and {list(arm['tried'])} was tried"
                )
            if "seeds" in arm:
                arm["seeds"] = _seeds(path, arm, "seeds")
            if set(arm.get("seeds", seeds)) & set(tuning_seeds):
                raise ValueError(
                    f"study: {path}: seeds and tuning_seeds overlap; give other tuning_seeds"
                )
        for entry in problem.get("published", []):
            _check_published(path, problem, entry)
    return Study(
        title=content["title"],
        description=content.get("description", ""),
        seeds=seeds,
        tuning_seeds=tuning_seeds,
        preset=content.get("preset", "laptop"),
        engine=content.get("engine", "auto"),
        problems=content["problems"],
    )


def _seeds(path: Path, table: dict[str, Any], key: str) -> list[int]:
    return parse_seeds(table[key], f"study: {path}: {key}") if key in table else []


def _combinations(settings: dict[str, Any], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the settings with every combination of the values."""
    for combination in itertools.product(*values.values()):
        yield settings | dict(zip(values, combination, strict=True))


def _arms(problem: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield every arm of a problem with the settings of each combination of its grid."""
    for arm in problem["arms"]:
        for settings in _combinations(arm.get("settings", {}), arm.get("grid", {})):
            yield arm, settings


def _named(
    problem: dict[str, Any], entry: dict[str, Any]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the arms that have the agent and settings of what is published."""
    wanted = entry.get("settings", {}).items()
    return [
        (arm, settings)
        for arm, settings in _arms(problem)
        if arm["agent"] == entry["agent"]
        and all(key in settings and settings[key] == value for key, value in wanted)
    ]


def _check_published(path: Path, problem: dict[str, Any], entry: Any) -> None:
    _known(path, entry, PUBLISHED_KEYS, ("agent", "source"))
    where = f"study: {path}: published"
    values = {place: entry[place] for place in PLACES if place in entry}
    if not values:
        raise ValueError(f"{where}: {entry} has no value; give one of {', '.join(PLACES)}")
    for place, value in values.items():
        try:
            read_value(value)
        except ValueError as error:
            raise ValueError(f"{where}: {place}: {error}") from None
    if (count := len(_named(problem, entry))) != 1:
        raise ValueError(
            f"{where}: {entry['agent']} with {entry.get('settings', {})} names {count} arms of "
            f"{problem['problem']}; give the agent and settings of one"
        )


def _assignments(settings: dict[str, Any]) -> list[str]:
    """Return settings as the command line takes them; see `evaluation.settings`."""
    return [
        f"{key}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"
        for key, value in settings.items()
    ]


def _seeds_text(seeds: list[int]) -> str:
    """Return what `parse_seeds` reads as these seeds."""
    first, last = seeds[0], seeds[-1]
    whole = seeds == list(range(first, last + 1))
    return f"{first}:{last + 1}" if whole else ",".join(map(str, seeds))


def _known(path: Path, table: Any, keys: Keys, needed: tuple[str, ...]) -> None:
    if not isinstance(table, dict):
        raise ValueError(f"study: {path}: {table!r} is not a table with {', '.join(needed)}")
    for key, value in table.items():
        kind = keys[checks.one_of(f"study: {path}", key, keys)]
        if kind is not object and type(value) is not kind:
            raise ValueError(f"study: {path}: {key}: {value!r} is not allowed; give {KINDS[kind]}")
    for key in needed:
        if key not in table:
            raise ValueError(f"study: {path}: {key} is missing")


def _check_values(path: Path, name: str, table: dict[str, Any]) -> None:
    for key, values in table.items():
        if not isinstance(values, list) or not values:
            raise ValueError(
                f"study: {path}: {name}.{key}: {values!r} is not allowed; give a list of values"
            )


def _distinct(configs: list[RunConfig]) -> list[RunConfig]:
    """Drop cells that two arms have in common."""
    seen = {(config.settings_hash, config.seed): config for config in configs}
    return list(seen.values())

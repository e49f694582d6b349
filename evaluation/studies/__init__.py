"""Studies: problems x agents x settings x seeds, frozen in TOML files beside this one."""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from continual_envs import checks
from evaluation.config import RunConfig, configure, parse_seeds

HERE = Path(__file__).parent
Keys = dict[str, type]
STUDY_KEYS: Keys = {
    "title": str,
    "description": str,
    "seeds": str,
    "tuning_seeds": str,
    "preset": str,
    "problems": list,
}
PROBLEM_KEYS: Keys = {
    "problem": str,
    "settings": dict,
    "tasks": int,
    "measure_every": int,
    "arms": list,
}
ARM_KEYS: Keys = {"agent": str, "settings": dict, "tried": dict}
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
        problems: one table a problem: problem, settings, tasks, measure_every, arms; an arm has an
            agent, its settings, and the values `tried` in tuning, by setting.
    """

    title: str
    description: str
    seeds: list[int]
    tuning_seeds: list[int]
    preset: str
    problems: list[dict[str, Any]]

    def cells(self) -> list[RunConfig]:
        """Return every run that is reported."""
        return _distinct(
            [
                config
                for problem in self.problems
                for arm in problem["arms"]
                for config in self._configs(problem, arm, arm.get("settings", {}), self.seeds)
            ]
        )

    def tuning(self) -> list[RunConfig]:
        """Return every run of the settings tried, on the tuning seeds."""
        configs = []
        for problem in self.problems:
            for arm in problem["arms"]:
                tried = arm.get("tried", {})
                for values in itertools.product(*tried.values()) if tried else ():
                    settings = arm.get("settings", {}) | dict(zip(tried, values, strict=True))
                    cells = self._configs(problem, arm, settings, self.tuning_seeds)
                    configs += [replace(cell, purpose="tuning") for cell in cells]
        return _distinct(configs)

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
    for problem in content["problems"]:
        _known(path, problem, PROBLEM_KEYS, ("problem", "arms"))
        for arm in problem["arms"]:
            _known(path, arm, ARM_KEYS, ("agent",))
            _check_tried(path, arm.get("tried", {}), content)
    seeds, tuning_seeds = (
        parse_seeds(content[key], f"study: {path}: {key}") if key in content else []
        for key in ("seeds", "tuning_seeds")
    )
    if set(seeds) & set(tuning_seeds):
        raise ValueError(f"study: {path}: seeds and tuning_seeds overlap; give other tuning_seeds")
    return Study(
        title=content["title"],
        description=content.get("description", ""),
        seeds=seeds,
        tuning_seeds=tuning_seeds,
        preset=content.get("preset", "laptop"),
        problems=content["problems"],
    )


def _known(path: Path, table: Any, keys: Keys, needed: tuple[str, ...]) -> None:
    if not isinstance(table, dict):
        raise ValueError(f"study: {path}: {table!r} is not a table with {', '.join(needed)}")
    for key, value in table.items():
        kind = keys[checks.one_of(f"study: {path}", key, keys)]
        if type(value) is not kind:
            raise ValueError(f"study: {path}: {key}: {value!r} is not allowed; give {KINDS[kind]}")
    for key in needed:
        if key not in table:
            raise ValueError(f"study: {path}: {key} is missing")


def _check_tried(path: Path, tried: dict[str, Any], content: dict[str, Any]) -> None:
    for key, values in tried.items():
        if not isinstance(values, list) or not values:
            raise ValueError(
                f"study: {path}: tried.{key}: {values!r} is not allowed; give a list of values"
            )
    if tried and "tuning_seeds" not in content:
        raise ValueError(f"study: {path}: tuning_seeds is missing, and {list(tried)} was tried")


def _distinct(configs: list[RunConfig]) -> list[RunConfig]:
    """Drop cells that two arms have in common."""
    seen = {(config.settings_hash, config.seed): config for config in configs}
    return list(seen.values())

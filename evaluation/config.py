"""What is run: names, settings and seeds, checked and expanded before anything is written."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

from agents import registry
from continual_envs import checks
from continual_envs.control.drift import parameters as drift_parameters
from continual_envs.environment import parameters as stream_parameters
from continual_envs.registration import NAMESPACE, is_drift, is_stream
from evaluation import presets
from evaluation.description import settings_hash
from evaluation.settings import Settings, expand


@dataclass(frozen=True)
class RunConfig:
    """One cell of a study: one seed of one agent on one problem.

    Attributes:
        problem: registered environment id.
        problem_settings: every setting of the problem.
        agent: name, as `agents.registry.factory` takes it.
        agent_settings: every setting of the agent.
        seed: of the stream and of the agent.
        tasks: the horizon: complete tasks to run. Not a setting; a larger one continues.
        engine: "torch", "fused", "graph", or "auto", see `agents.engines.on_engine`; no setting.
        device: a torch device.
        measure_every: measure at the start of every so many tasks, in a drifting environment
            after the first update cycle that ends in one; 0 never.
        module: imported to register the problem, if it is not ours.
        purpose: "report", or "tuning" for runs that settings are chosen on.
    """

    problem: str
    problem_settings: dict[str, Any]
    agent: str
    agent_settings: dict[str, Any]
    seed: int
    tasks: int
    engine: str = "auto"
    device: str = "cpu"
    measure_every: int = 1
    module: str = ""
    purpose: str = "report"

    @property
    def settings_hash(self) -> str:
        """Twelve hexadecimal digits of problem, agent and their expanded settings."""
        return settings_hash(self.problem, self.problem_settings, self.agent, self.agent_settings)

    def folder(self, out: str | Path) -> Path:
        """Return the run's folder under `out`."""
        problem = self.problem.removeprefix(f"{NAMESPACE}/").replace("/", "_")
        agent = self.agent.replace("/", "_").replace(":", ".")
        return Path(out) / problem / f"{agent}-{self.settings_hash[:8]}" / f"seed-{self.seed}"


def configure(
    problem: str,
    agent: str,
    *,
    settings: Settings | None = None,
    problem_settings: Settings | None = None,
    seeds: list[int] | None = None,
    tasks: int | None = None,
    preset: str = "laptop",
    engine: str = "auto",
    device: str = "cpu",
    measure_every: int = 1,
) -> list[RunConfig]:
    """Return one checked and expanded cell a seed.

    Args:
        problem: environment id; ours may be given without "continual_envs/", another's as
            "module:namespace/Name-v0".
        agent: see `agents.registry.factory`.
        settings: of the agent; the others come from the preset, then from the agent's defaults.
        problem_settings: of the problem, likewise.
        seeds: default 0.
        tasks: horizon; default that of the preset.
        preset: "laptop" or "paper": see `evaluation.presets`.
        engine: "auto", "torch", "fused" or "graph".
        device: "cpu", "cuda", "cuda:1", ...
        measure_every: in tasks; 0 never.

    Raises:
        ValueError: anything unknown, of the wrong type or out of range.
    """
    module, _, problem = problem.rpartition(":")
    problem, agent = problem_id(problem, module), registry.resolve(agent)
    chosen = presets.lookup(problem, preset)
    known = problem_parameters(problem)
    expanded = expand(known, chosen.problem, dict(problem_settings or {}), f"setting of {problem}")
    agent_known = registry.parameters(agent)
    _check_published(preset, agent, chosen)
    if not is_control(problem) and any(part in registry.ALGORITHMS for part in agent.split("+")):
        raise ValueError(owns_loop(agent, problem))  # before a data set is looked for
    given = registry.canonical(agent, dict(settings or {}))
    usual = presets.agent_settings(chosen, agent, agent_known)
    agent_expanded = expand(agent_known, usual, given, f"setting of {agent}")
    checks.one_of("engine", engine, ("auto", "torch", "fused", "graph"))
    tasks = chosen.tasks if tasks is None else tasks
    seeds = [0] if seeds is None else seeds
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds: {seeds} is not allowed; give at least one, and each once")
    return [
        RunConfig(
            problem=problem,
            problem_settings=expanded,
            agent=agent,
            agent_settings=agent_expanded,
            seed=checks.integer("seed", seed),
            tasks=checks.integer("tasks", tasks, 1),
            engine=engine,
            device=check_device(device),
            measure_every=checks.integer("measure_every", measure_every),
            module=module,
        )
        for seed in seeds
    ]


def owns_loop(agent: str, problem: str) -> str:
    """Return the complaint that an agent which steps its environments cannot live in a stream."""
    name = problem.rpartition("/")[2]
    return (
        f"agent: {agent} steps its environment itself, which {name} is not made for; give it a "
        "drifting environment, such as DriftingCartPole-v0"
    )


def _check_published(preset: str, agent: str, chosen: presets.Preset) -> None:
    """Refuse an algorithm that the paper did not run on the problem: no setting would be its."""
    for part in agent.split("+"):
        if preset == "paper" and part in registry.ALGORITHMS and part not in chosen.agents:
            has = ", ".join(name for name in chosen.agents if name in registry.ALGORITHMS)
            raise ValueError(f"preset: paper has no settings for {part}; it has {has or 'none'}")


def problem_id(name: str, module: str = "") -> str:
    """Return the registered id of a problem, which may be given without our namespace.

    Args:
        name: of the problem.
        module: imported first, to register it.

    Raises:
        ValueError: there is no such problem or module.
    """
    if module:
        try:
            importlib.import_module(module)
        except Exception as error:  # another's module may fail in any way
            cause = checks.one_line(error)
            raise ValueError(f"problem: module {module!r} cannot be imported: {cause}") from error
    full = name if "/" in name else f"{NAMESPACE}/{name}"
    if full not in gym.registry:
        if "/" in name and not module and name.partition("/")[0] != NAMESPACE:
            raise ValueError(
                f"problem: {name!r} is not registered; give it as MODULE:{name}, where MODULE is "
                "the module that registers it"
            )
        checks.one_of("problem", name, [id.removeprefix(f"{NAMESPACE}/") for id in problem_ids()])
    if full not in problem_ids():
        raise ValueError(f"problem: {name!r} is not a stream of tasks; see continual-envs list")
    return full


def problem_ids() -> list[str]:
    """Return the ids of every registered stream of tasks, supervised or drifting."""
    return [id for id, spec in gym.registry.items() if is_stream(spec) or is_drift(spec)]


def is_control(problem: str, module: str = "") -> bool:
    """Return whether a problem is a drifting environment, not a supervised stream.

    Args:
        problem: registered id.
        module: imported first, to register it.
    """
    if module:
        importlib.import_module(module)
    return is_drift(gym.spec(problem))


def problem_parameters(problem: str) -> dict[str, inspect.Parameter]:
    """Return the settings of a problem with the defaults of its registration."""
    kwargs = gym.spec(problem).kwargs
    known = drift_parameters() if is_control(problem) else stream_parameters(kwargs["stream"])
    return {
        name: parameter.replace(default=kwargs.get(name, parameter.default))
        for name, parameter in known.items()
    }


def make_problem(config: RunConfig, privileged: bool) -> gym.Env[Any, Any]:
    """Build the environment of a run; a privileged agent is told of switches of task."""
    return gym.make(problem_name(config), **problem_settings(config, privileged))


def problem_name(config: RunConfig) -> str:
    """Return the id of a run's problem for `gym.make`, with the module that registers it."""
    return f"{config.module}:{config.problem}" if config.module else config.problem


def problem_settings(config: RunConfig, privileged: bool) -> dict[str, Any]:
    """Return the settings of a run's problem, which tells a privileged agent of switches."""
    settings = dict(config.problem_settings)
    if privileged and settings["disclosure"] == "hidden":
        settings["disclosure"] = "signalled"
    return settings


def parse_seeds(text: str, field: str = "seeds") -> list[int]:
    """Return the seeds of "0:5" (0 to 4) or "0,3,7".

    Raises:
        ValueError: something else, an empty range, a negative seed or one twice.
    """
    message = f"{field}: {text!r} is not allowed; give a range like 0:5 or a list like 0,3,7"
    try:
        if ":" in text:
            first, last = (int(part) for part in text.split(":"))
            seeds = list(range(first, last))
        else:
            seeds = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(message) from None
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ValueError(message)
    return seeds


def check_device(name: str) -> str:
    """Return `name` if torch can use it here, else raise a ValueError."""
    import torch

    count = torch.cuda.device_count()
    here = ["cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count))]
    device: str = checks.one_of("device", name, here)
    return device

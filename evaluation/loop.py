"""The loop that joins an agent to a problem: the only code that sees both sides."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np

import continual_envs
from agents import registry
from agents.base import Checkpointable, Inspectable, LearnerAgent, Transition, decide
from agents.engines import on_engine
from continual_envs.environment import StreamEnv, rewards
from evaluation import checkpoint
from evaluation.config import RunConfig, make_problem
from evaluation.description import continued, describe
from evaluation.measures import measure
from evaluation.records import Recorder, bin_edges, write_json

PROBE = 2000  # examples of the new task that the measures look at (Dohare et al. 2024)
STEPS = 256  # steps between looks at the clock; the fused engine soon takes more at a time
SOON = 0.05  # seconds in which it may take twice as many
SAVE_AFTER, SAVE_AT_MOST_EVERY = 60.0, 5.0  # seconds
Progress = Callable[[float], None]


class Life:
    """One agent living in one problem: how steps are taken, saved and continued.

    Args:
        config: what to build.

    Attributes:
        engine: what the agent really runs on.

    Raises:
        ValueError: the problem, agent or engine refuses its settings, or the agent needs a boundary
            that is hidden.
    """

    def __init__(self, config: RunConfig) -> None:
        env = make_problem(config, privileged=False)
        made: Any = registry.make(
            config.agent,
            env.observation_space,
            env.action_space,
            seed=config.seed,
            device=config.device,
            **config.agent_settings,
        )
        made, self.engine = on_engine(made, config.engine)
        acts = hasattr(made, "act")
        self.agent: Any = made if acts else LearnerAgent(made, env.action_space)
        self.inside = made
        self.by_chunk = not acts and hasattr(made, "update_many")
        self.needs_boundary = bool(getattr(made, "needs_boundary", False))
        self.reference = _reference(config.agent)
        hidden = config.problem_settings["disclosure"] == "hidden"
        if self.needs_boundary and not self.reference and hidden:
            raise ValueError(
                f"agent: {config.agent} needs to know the switches of task, which the problem "
                "hides; grant them with --problem-set disclosure=signalled"
            )
        self.env = make_problem(config, privileged=self.needs_boundary)
        num_tasks = config.problem_settings["num_tasks"]
        if num_tasks is not None and config.tasks > num_tasks:
            raise ValueError(
                f"tasks: {config.tasks} is not allowed; the problem ends at num_tasks={num_tasks}"
            )
        self.stream_env = _stream(self.env)
        self.observation, _ = self.env.reset(seed=config.seed)

    def can_continue(self) -> bool:
        """Return whether the agent can be saved and restored."""
        return isinstance(self.inside, Checkpointable)

    def advance(self, n: int, recorder: Recorder) -> None:
        """Live through the next `n` examples, a whole number of steps within one task."""
        if self.by_chunk:
            self._advance_by_chunk(n, recorder)
        else:
            self._advance_by_step(n, recorder)

    def measures(self) -> dict[str, float] | None:
        """Measure the network on examples of the present task, if it can be inspected."""
        if not isinstance(self.inside, Inspectable):
            return None
        stream, clock = self.stream_env.stream, self.stream_env.clock
        probe = stream.chunk(clock.examples, min(PROBE, stream.examples_per_task))
        return measure(self.inside.inspect(probe.examples(), probe.targets))

    def state_dict(self) -> dict[str, Any]:
        """Return environment and agent."""
        return {"env": continual_envs.state_dict(self.env), "agent": self.inside.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        continual_envs.load_state_dict(self.env, state["env"])
        self.inside.load_state_dict(state["agent"])
        self.observation = self.stream_env.observe()

    def _advance_by_chunk(self, n: int, recorder: Recorder) -> None:
        env, learner = self.stream_env, self.inside
        chunk = env.read(n)
        outputs = learner.update_many(chunk)
        predictions = decide(outputs, env.action_space)
        values = rewards(predictions, chunk.targets, env.stream.classes)
        recorder.add(values.reshape(-1, env.batch_size or 1).mean(axis=1), outputs, chunk.targets)
        if self.needs_boundary and env.clock.example == 0:
            learner.on_task_switch()

    def _advance_by_step(self, n: int, recorder: Recorder) -> None:
        for _ in range(n // (self.stream_env.batch_size or 1)):
            action = self.agent.act(self.observation)
            outputs = getattr(self.agent, "outputs", None)
            following, reward, terminated, truncated, info = self.env.step(action)
            recorder.add(np.array([reward]), outputs, np.reshape(info["target"], -1))
            self.agent.learn(
                Transition(
                    self.observation, action, float(reward), following, terminated, truncated, info
                )
            )
            self.observation = following


def run_one(config: RunConfig, folder: Path, progress: Progress = lambda tasks: None) -> None:
    """Run one cell into its folder, from where it was left; does nothing if it is done.

    A run that has come further than a smaller horizon now asks for ends where it is.

    Args:
        config: the cell.
        folder: the run folder, made if need be.
        progress: told of the tasks done, now and then, as a number with a fraction.

    Raises:
        ValueError: bad settings, or a damaged folder; nothing has then been written.
    """
    state = resumable(config, folder)
    if state is DONE:
        return
    before = _read_json(folder / "config.json") if state else {}
    if before:
        config = replace(config, engine=_engine(before))
    life = Life(config)
    stream = life.stream_env.stream
    batch = life.stream_env.batch_size or 1
    edges = bin_edges(stream.examples_per_task, batch)
    description = _describe(config, life, len(edges))
    if state:
        life.load_state_dict(state["life"])
        description = continued(before, description, life.stream_env.clock.task)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").unlink(missing_ok=True)
    write_json(folder / "config.json", description)
    recorder = Recorder(folder, stream.outcome, edges, batch, stream.anchor, stream.classes)
    nothing: dict[str, Any] = {"bytes": 0, "position": [0, 0, 0, 0], "seconds": 0.0}
    nothing |= {"rewards": [], "outputs": [], "targets": []}
    recorder.load_state_dict(state["recorder"] if state else nothing)
    if life.engine == "fused":
        life.inside.prepare(stream.chunk(life.stream_env.clock.examples, 1))
    started, spent = time.perf_counter(), state["seconds"] if state else 0.0
    saved = started

    def save() -> None:
        if life.can_continue():
            seconds = spent + time.perf_counter() - started
            content = {"recorder": recorder.sync(), "life": life.state_dict(), "seconds": seconds}
            identity = {"settings_hash": config.settings_hash, "seed": config.seed}
            checkpoint.save(content | identity, folder / "checkpoint.pt")

    def tell() -> None:
        clock = life.stream_env.clock
        progress(clock.task + clock.example / stream.examples_per_task)

    tell()  # where it was left, so that a projection counts only what is done now
    steps = STEPS
    while (clock := life.stream_env.clock).task < config.tasks:
        due = config.measure_every and clock.task % config.measure_every == 0
        if due and clock.example == 0 and (values := life.measures()):
            recorder.measure(values)
        left, looked = recorder.until_edge(), time.perf_counter()
        life.advance(min(left, steps * batch), recorder)
        if life.engine == "fused" and left > steps * batch:
            steps *= 1 + (time.perf_counter() - looked < SOON)
        between_tasks = life.stream_env.clock.example == 0
        if time.perf_counter() - saved > (SAVE_AT_MOST_EVERY if between_tasks else SAVE_AFTER):
            save()
            saved = time.perf_counter()
        tell()
    save()
    recorder.close()
    seconds = round(spent + time.perf_counter() - started, 3)
    result = {"tasks": clock.task, "seconds": seconds, "finished": True}
    write_json(folder / "result.json", result)


DONE: dict[str, Any] = {"done": True}


def resumable(config: RunConfig, folder: Path) -> dict[str, Any] | None:
    """Return the checkpoint to continue a cell from, DONE if nothing is left to do, or None.

    Reads and checks only.

    Raises:
        ValueError: the folder is of other settings, or a file in it is damaged; one line names it.
    """
    if not (folder / "config.json").exists():
        return None
    described = _read_json(folder / "config.json")
    identity = {"settings_hash": config.settings_hash, "seed": config.seed}
    if not _has(described, identity):
        raise ValueError(f"{folder}: holds another run; give another --out")
    if config.engine not in ("auto", _engine(described)):
        raise ValueError(
            f"engine: {config.engine!r} is not allowed; {folder} is of {_engine(described)!r}: "
            "ask for that or give another --out"
        )
    result = folder / "result.json"
    if result.exists():
        tasks = _read_json(result).get("tasks")
        if not isinstance(tasks, int):
            raise ValueError(f"{result}: damaged (no tasks); remove the run folder to start over")
        if tasks >= config.tasks:
            return DONE
    path = folder / "checkpoint.pt"
    if not path.exists():
        return None
    state = checkpoint.load(path, config.device)
    if not _has(state, identity):
        raise ValueError(f"{path}: belongs to another run; remove the run folder to start over")
    _check_records(folder / "records.jsonl", state["recorder"]["bytes"])
    return state


def _describe(config: RunConfig, life: Life, bins: int) -> dict[str, Any]:
    return describe(
        life.stream_env,
        problem=config.problem,
        problem_settings=config.problem_settings,
        agent=config.agent,
        agent_settings=config.agent_settings,
        seed=config.seed,
        bins=bins,
        tasks=config.tasks,
        engine=life.engine,
        device=config.device,
        threads=1,
        reference=life.reference,
        privileges=["task_switch"] if life.needs_boundary else [],
        measure_every=config.measure_every,
        purpose=config.purpose,
    )


def _engine(described: dict[str, Any]) -> str:
    """Return the engine that a run folder was made with."""
    return str(described.get("engine", "torch"))


def _reference(agent: str) -> str | None:
    return next((part for part in agent.split("+") if part in registry.REFERENCES), None)


def _stream(env: gym.Env[Any, Any]) -> StreamEnv:
    return cast(StreamEnv, env.unwrapped)


def _has(content: dict[str, Any], identity: dict[str, Any]) -> bool:
    return all(content.get(key) == value for key, value in identity.items())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict):
            return content
        cause = "not an object"
    except ValueError as error:
        cause = str(error)
    raise ValueError(f"{path}: damaged ({cause}); remove the run folder to start over")


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

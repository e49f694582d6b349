"""An agent in a supervised problem: here and in `evaluation.control` alone both sides are seen."""

from __future__ import annotations

from typing import Any, cast

import gymnasium as gym
import numpy as np

import continual_envs
from agents import registry
from agents.base import (
    Array,
    Checkpointable,
    Inspectable,
    LearnerAgent,
    OwnsLoop,
    Rewindable,
    Transition,
    decide,
)
from agents.engines import on_engine
from agents.engines.support import GRAPH_IS_TOLD
from continual_envs.core import Chunk, Clock, Held, Stream
from continual_envs.environment import StreamEnv, rewards
from evaluation.config import RunConfig, make_problem, owns_loop
from evaluation.measures import measure
from evaluation.records import Recorder, losses

PROTOCOLS = (("act", "learn"), ("predict", "update"))
PROBE = 2000  # examples of the new task that the measures look at (Dohare et al. 2024)
TEST_PIECE = 500  # held-out examples predicted at once


class Life:
    """One agent living in one problem: how steps are taken, saved and continued.

    Args:
        config: what to build.

    Attributes:
        engine: what the agent really runs on.
        distributions: whose versions matter besides those that always do.

    Raises:
        ValueError: the problem, agent or engine refuses its settings, or the agent needs a boundary
            that is hidden.
    """

    distributions: tuple[str, ...] = ()

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
        if isinstance(made, OwnsLoop):
            raise ValueError(owns_loop(config.agent, config.problem))
        if not any(all(hasattr(made, name) for name in pair) for pair in PROTOCOLS):
            raise ValueError(
                f"agent: {config.agent} has neither act and learn nor predict and update"
            )
        made, self.engine = on_engine(made, _engine(config.engine, _stream(env).stream))
        acts = hasattr(made, "act")
        self.agent: Any = made if acts else LearnerAgent(made, env.action_space)
        self.inside = made
        self.by_chunk = not acts and hasattr(made, "update_many")
        self.needs_boundary = bool(getattr(made, "needs_boundary", False))
        self.reference = reference_of(config.agent)
        check_boundary(config, self.needs_boundary, self.reference)
        self.env = make_problem(config, privileged=self.needs_boundary)
        num_tasks = config.problem_settings["num_tasks"]
        if num_tasks is not None and config.tasks > num_tasks:
            raise ValueError(
                f"tasks: {config.tasks} is not allowed; the problem ends at num_tasks={num_tasks}"
            )
        self.stream_env = _stream(self.env)
        self._best: tuple[float, Any] | None = None  # on the task's validation examples
        self.observation, told = self.env.reset(seed=config.seed)
        self._begin(told)

    @property
    def stream(self) -> Stream:
        """The stream that is lived in."""
        return self.stream_env.stream

    @property
    def clock(self) -> Clock:
        """Where it stands."""
        return self.stream_env.clock

    def can_continue(self) -> bool:
        """Return whether the agent can be saved and restored."""
        return isinstance(self.inside, Checkpointable)

    def unused(self) -> list[str]:
        """Return what the protocol grants and this agent does not know how to take."""
        told = self.stream_env.stream.disclosed
        reloads = isinstance(self.inside, Rewindable)
        listens = hasattr(self.inside, "on_privileges") or hasattr(self.inside, "act")
        return [name for name in told if not (reloads if name == "validation" else listens)]

    def settle(self) -> None:
        """Tell the agent what is disclosed with the present observation, before it is measured."""
        if not self.by_chunk:
            if isinstance(self.agent, LearnerAgent):
                self.agent.settle()
            return
        clock, stream = self.stream_env.clock, self.stream_env.stream
        if self.needs_boundary and clock.example == 0 and clock.task > 0:
            self.inside.on_task_switch()
        if told := stream.privileges(clock.task, clock.example):
            if hasattr(self.inside, "on_privileges"):
                self.inside.on_privileges(told)

    def left(self) -> int:
        """Return how many examples are left of the present pass over the task's data."""
        clock, size = self.stream_env.clock, self._pass(self.stream_env.clock.task)
        return size - clock.example % size

    def advance(self, n: int, recorder: Recorder) -> None:
        """Live through the next `n` examples, a whole number of steps within one pass.

        After a pass the agent is tested on what the task holds out, if it does.
        """
        before = self.stream_env.clock
        if self.by_chunk:
            chunk = self.stream_env.read(n)
            self.score(chunk, self.inside.update_many(chunk), recorder)
        else:
            self._advance_by_step(n, recorder)
        self.passed(before, recorder)

    def passed(self, before: Clock, recorder: Recorder) -> None:
        """Look at what the task of `before` holds out if a pass over its data has ended since."""
        size = self._pass(before.task)
        if (before.example + self.clock.examples - before.examples) % size == 0:
            self.look(before.task, recorder)

    def look(self, index: int, recorder: Recorder) -> None:
        """Test on what a task holds out; when it has ended, put the best parameters back."""
        stream = self.stream_env.stream
        task = stream.task_at(index)
        if task.test is not None:
            recorder.held_out("test", *self._test(task.test))
        if task.validation is None:
            return
        outcome, loss = self._test(task.validation)
        recorder.held_out("validation", outcome, loss)
        if stream.reloads and isinstance(self.inside, Rewindable):
            good = -outcome if stream.outcome == "error" else outcome
            good = good if np.isfinite(good) else -np.inf
            if self._best is None or good > self._best[0]:
                self._best = good, self.inside.snapshot()
            if self.stream_env.clock.example == 0:
                self.inside.rewind(self._best[1])
                self._best = None

    def score(self, chunk: Chunk, outputs: Array, recorder: Recorder) -> None:
        """Record what was predicted for a chunk."""
        env = self.stream_env
        predictions = decide(outputs, env.action_space, len(chunk))
        values = rewards(predictions, chunk.targets, env.stream.classes)
        if env.batch_size is not None:
            values = values.reshape(-1, env.batch_size).mean(axis=1)
        recorder.add(values, outputs, chunk.targets)

    def measures(self) -> dict[str, float] | None:
        """Measure the network on examples of the present task, if it can be inspected."""
        if not isinstance(self.inside, Inspectable):
            return None
        stream, clock = self.stream_env.stream, self.stream_env.clock
        probe = stream.chunk(clock.examples, min(PROBE, self._pass(clock.task)))
        return measure(self.inside.inspect(probe.examples(), probe.targets))

    def state_dict(self) -> dict[str, Any]:
        """Return environment and agent, and what did best on the task's validation examples."""
        env, agent = continual_envs.state_dict(self.env), self.inside.state_dict()
        return {"env": env, "agent": agent, "best": self._best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        continual_envs.load_state_dict(self.env, state["env"])
        self.inside.load_state_dict(state["agent"])
        self.observation = self.stream_env.observe()
        self._best = state["best"] and tuple(state["best"])
        self._begin(self.stream_env.disclosed())

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

    def _begin(self, told: dict[str, Any]) -> None:
        if not self.by_chunk and hasattr(self.agent, "begin"):
            self.agent.begin(told)

    def _pass(self, task: int) -> int:
        stream = self.stream_env.stream
        return stream.length(task) // stream.epochs

    def _test(self, held: Held) -> tuple[float, float | None]:
        """Return outcome and loss of what the agent says of held-out examples."""
        stream, inputs = self.stream_env.stream, held.examples()
        if not hasattr(self.inside, "act"):
            pieces = [inputs[i : i + TEST_PIECE] for i in range(0, len(inputs), TEST_PIECE)]
            outputs = np.concatenate([self.inside.predict(piece) for piece in pieces])
            said = decide(outputs, self.stream_env.action_space, len(inputs))
            loss = float(losses(outputs, held.targets, stream.classes).mean())
        else:
            said, loss = self._acted(inputs), None
        outcome = float(rewards(said, held.targets, stream.classes).mean())
        return (-outcome if stream.outcome == "error" else outcome), loss

    def _acted(self, inputs: Array) -> Array:
        """Return what an agent does when shown inputs, in batches of the size that it knows."""
        size, answer = self.stream_env.batch_size, getattr(self.agent, "answer", self.agent.act)
        if size is None:
            return np.array([answer(one) for one in inputs]).reshape(-1)
        filled = np.concatenate([inputs, np.repeat(inputs[-1:], -len(inputs) % size, axis=0)])
        batches = filled.reshape(-1, size, *inputs.shape[1:])
        return np.concatenate([np.asarray(answer(b)) for b in batches])[: len(inputs)]


def _engine(asked: str, stream: Stream) -> str:
    """Return the engine to ask for: protocols with more than a signal are not for all of them."""
    tells = type(stream).privileges is not Stream.privileges
    if asked == "torch" or not (tells or stream.reloads or stream.scored != "online"):
        return asked
    if asked == "auto":
        return "torch"
    told = set(stream.disclosed)
    graph = bool(told) and told <= GRAPH_IS_TOLD and not stream.reloads
    if asked == "graph" and graph:
        return asked
    needed = "'torch' or 'graph'" if graph else "'torch'"
    raise ValueError(f"engine: {asked!r} is not allowed; this problem needs {needed}")


def reference_of(agent: str) -> str | None:
    """Return which reference arm an agent is, if it is one."""
    return next((part for part in agent.split("+") if part in registry.REFERENCES), None)


def check_boundary(config: RunConfig, needed: bool, reference: str | None) -> None:
    """Refuse an agent that needs the switches of task where they are hidden, but for references."""
    hidden = config.problem_settings["disclosure"] == "hidden"
    if needed and not reference and hidden:
        raise ValueError(
            f"agent: {config.agent} needs to know the switches of task, which the problem "
            "hides; grant them with --problem-set disclosure=signalled"
        )


def _stream(env: gym.Env[Any, Any]) -> StreamEnv:
    return cast(StreamEnv, env.unwrapped)

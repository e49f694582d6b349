"""An agent in a problem: the only code that sees both sides."""

from __future__ import annotations

from typing import Any, cast

import gymnasium as gym
import numpy as np

import continual_envs
from agents import registry
from agents.base import Array, Checkpointable, Inspectable, LearnerAgent, Transition, decide
from agents.engines import on_engine
from continual_envs.core import Chunk
from continual_envs.environment import StreamEnv, rewards
from evaluation.config import RunConfig, make_problem
from evaluation.measures import measure
from evaluation.records import Recorder

PROBE = 2000  # examples of the new task that the measures look at (Dohare et al. 2024)


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

    def score(self, chunk: Chunk, outputs: Array, recorder: Recorder) -> None:
        """Record what was predicted for a chunk."""
        env = self.stream_env
        values = rewards(decide(outputs, env.action_space), chunk.targets, env.stream.classes)
        recorder.add(values.reshape(-1, env.batch_size or 1).mean(axis=1), outputs, chunk.targets)

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
        chunk = self.stream_env.read(n)
        self.score(chunk, self.inside.update_many(chunk), recorder)
        if self.needs_boundary and self.stream_env.clock.example == 0:
            self.inside.on_task_switch()

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


def _reference(agent: str) -> str | None:
    return next((part for part in agent.split("+") if part in registry.REFERENCES), None)


def _stream(env: gym.Env[Any, Any]) -> StreamEnv:
    return cast(StreamEnv, env.unwrapped)

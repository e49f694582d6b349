"""An agent in a drifting environment, which it steps itself or is stepped through."""

from __future__ import annotations

from typing import Any

import numpy as np

import continual_envs
from agents import registry
from agents.base import OwnsLoop, Transition
from continual_envs import copies
from continual_envs.control.stream import DriftStream
from continual_envs.core import Clock
from evaluation.config import RunConfig, make_problem, problem_name, problem_settings
from evaluation.episodes import EpisodeRecorder, Watch, bins_of_steps, check_episode, drift_env
from evaluation.life import check_boundary, reference_of
from evaluation.measures import measure

STEPS = 100  # of an agent that does not step its environments itself, between looks at the clock


class ControlLife:
    """One agent living in copies of one drifting environment; see `evaluation.life.Life`.

    It goes on in cycles: one update cycle of an agent that owns its loop, else `STEPS` steps.
    Between two cycles measures are taken, of an agent that owns its loop, and it is told of a
    switch, if it needs to know; another is told through `info`.

    Args:
        config: what to build.

    Raises:
        ValueError: the problem or agent refuses its settings, the agent needs a boundary that is
            hidden, or it cannot act.
    """

    engine = "torch"

    def __init__(self, config: RunConfig) -> None:
        if config.engine not in ("auto", "torch"):
            raise ValueError(
                f"engine: {config.engine!r} is not allowed; this problem needs 'torch'"
            )
        env = make_problem(config, privileged=False)
        check_episode(env)
        self.inside: Any = registry.make(
            config.agent,
            env.observation_space,
            env.action_space,
            seed=config.seed,
            device=config.device,
            **config.agent_settings,
        )
        env.close()
        self.owns_loop = isinstance(self.inside, OwnsLoop)
        if not self.owns_loop and hasattr(self.inside, "enter"):
            raise ValueError(
                f"agent: {config.agent} has enter, but not all of enter, cycle and copies"
            )
        if not self.owns_loop and not hasattr(self.inside, "act"):
            name = config.problem.rpartition("/")[2]
            raise ValueError(
                f"agent: {config.agent} learns from targets, which {name} does not have; give one "
                "that acts, such as sb3/ppo"
            )
        self.needs_boundary = bool(getattr(self.inside, "needs_boundary", False))
        self.reference = reference_of(config.agent)
        check_boundary(config, self.needs_boundary, self.reference)
        number = self.inside.copies if self.owns_loop else 1
        # One that owns its loop is told between cycles, any other through `info`.
        told = self.needs_boundary and not self.owns_loop
        self.envs = copies(problem_name(config), number, **problem_settings(config, told))
        self._check_cycle(config)
        self.watch = Watch(self.envs)
        self.distributions = self.stream.body.distributions
        if "sb3/" in config.agent:
            self.distributions += ("stable-baselines3",)
        # Until a reference is told, it is still the network of the task before.
        self._lags = self.owns_loop and self.needs_boundary and self.reference
        self._told = 0
        if self._lags:
            self.watch.tell(0)
        if self.owns_loop:
            self.inside.enter(self.watch.envs)
        else:
            self.observation, info = self.watch.envs[0].reset(seed=config.seed)
            if hasattr(self.inside, "begin"):
                self.inside.begin(info)

    @property
    def stream(self) -> DriftStream:
        """What changes and when."""
        return drift_env(self.envs[0]).stream

    @property
    def clock(self) -> Clock:
        """Where the copies stand; the task is that which every copy has reached."""
        clocks = [drift_env(env).clock for env in self.envs]
        begun = max(c.examples - c.example for c in clocks if c.task <= self.watch.task)
        return Clock(self.watch.task, clocks[0].examples - begun, clocks[0].examples)

    @property
    def bins(self) -> int:
        """Bins a task."""
        return bins_of_steps(self.stream.examples_per_task)

    def recorder(self, folder: Any) -> EpisodeRecorder:
        """Return the recorder, which from now on is told what happens."""
        self.watch.recorder = EpisodeRecorder(folder, self.stream, self._updates)
        return self.watch.recorder

    def can_continue(self) -> bool:
        """Return whether the agent can be saved and restored."""
        return hasattr(self.inside, "state_dict") and hasattr(self.inside, "load_state_dict")

    def unused(self) -> list[str]:
        """Return what the protocol grants and the agent does not take: nothing is granted."""
        return []

    def advance(self) -> None:
        """Live through one cycle."""
        if self.owns_loop:
            before = self.clock.examples
            self.inside.cycle()
            if self.clock.examples == before:
                raise ValueError("agent: a cycle took no step in its first environment")
        else:
            for _ in range(STEPS):
                self._step()

    def settle(self) -> None:
        """Tell the agent of a switch in the cycle that is over, if it is to be told."""
        if self.owns_loop and self.needs_boundary and self.watch.task > self._told:
            self.inside.on_task_switch()
            if self._lags:
                self.watch.tell(self.watch.task)
        self._told = self.watch.task

    def measures(self) -> dict[str, float] | None:
        """Measure the network on the latest observations, if it can be inspected."""
        probe = self.watch.probe()
        if not self.owns_loop or not hasattr(self.inside, "inspect") or not len(probe):
            return None
        values = measure(self.inside.inspect(probe), rare_at_most=True)
        if hasattr(self.inside, "take_largest_change"):
            values["largest_change"] = self.inside.take_largest_change()
        return values

    def state_dict(self) -> dict[str, Any]:
        """Return environments, agent and what was counted."""
        state = {
            "envs": [continual_envs.state_dict(env) for env in self.envs],
            "agent": self.inside.state_dict(),
            "watch": self.watch.state_dict(),
            "told": self._told,
        }
        return state if self.owns_loop else state | {"observation": np.copy(self.observation)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for env, saved in zip(self.envs, state["envs"], strict=True):
            continual_envs.load_state_dict(env, saved)
        self.watch.load_state_dict(state["watch"])
        self._told = state["told"]
        if not self.owns_loop:
            self.observation = state["observation"]
        self.inside.load_state_dict(state["agent"])  # last: it restores global generators

    def _updates(self) -> int:
        return int(getattr(self.inside, "updates", 0))

    def _check_cycle(self, config: RunConfig) -> None:
        """Refuse an agent that would be told of a switch when half a task is over."""
        steps, period = getattr(self.inside, "cycle_steps", 0), self.stream.examples_per_task
        if self.needs_boundary and 2 * steps > period:
            raise ValueError(
                f"period: {period} is not allowed for {config.agent}, which is told of a switch "
                f"every {steps} steps; give at least {2 * steps}, or have it learn more often"
            )

    def _step(self) -> None:
        env, agent = self.watch.envs[0], self.inside
        action = agent.act(self.observation)
        following, reward, terminated, truncated, info = env.step(action)
        agent.learn(
            Transition(
                self.observation, action, float(reward), following, terminated, truncated, info
            )
        )
        self.observation = following
        if terminated or truncated:
            self.observation, info = env.reset()
            if hasattr(agent, "begin"):
                agent.begin(info)

"""Recording episodes: what the copies of a drifting environment pay, bin by bin.

A line of kind "online" has the mean return of the episodes that ended in the bin ("return", None
where none did) and their number ("episodes"); "examples" are steps of all copies together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from continual_envs.control.drift import DriftEnv
from continual_envs.control.stream import DriftStream
from evaluation.records import BINS, Lines

PROBE = 1000  # latest observations that the measures look at (Dohare et al. 2024)
BIN = 100_000  # steps at most, as published

Array = NDArray[Any]


def bins_of_steps(period: int) -> int:
    """Return bins a task: ten, or more so that a bin has at most 100,000 steps."""
    return min(max(BINS, -(-period // BIN)), period)


class EpisodeRecorder(Lines):
    """Averages episodic returns over bins of steps and appends a line for each.

    A task's last bin ends where its last copy moves on. Episodes of a copy that is already there
    count for the task that they were in.

    Args:
        folder: the run folder, which exists.
        stream: of the problem.
        updates: how many there have been, asked when a bin ends.
    """

    def __init__(
        self, folder: Path, stream: DriftStream, updates: Callable[[], int] = lambda: 0
    ) -> None:
        super().__init__(folder)
        self._stream, self._ask = stream, updates
        self._bins = bins_of_steps(stream.examples_per_task)
        self._returns: list[float] = []
        self._ahead: list[tuple[int, float]] = []
        self._known = (-1, 0.0)  # a task and its anchor, which takes a while to find
        self._open()

    def step(self) -> None:
        """Count a step of any copy; the episodes that it ended are to be told before."""
        self._examples += 1
        while self._examples >= self._edge:
            self._end_bin()

    def episode(self, task: int, value: float) -> None:
        """Take in the return of an episode that has ended in a task."""
        if task > self.task:
            self._ahead.append((task, value))
        else:
            self._returns.append(value)

    def end_task(self) -> None:
        """Begin the next task."""
        while self._bin < self._bins:
            self._end_bin()
        self.task, self._bin, self._begun = self.task + 1, 0, self._examples
        waiting, self._ahead = self._ahead, []
        for task, value in waiting:
            self.episode(task, value)
        self._open()

    def measure(self, values: dict[str, float], took: float) -> None:
        """Write a line of measures, taken where the run stands."""
        self._updates = self._ask()
        super().measure(values, took)

    def sync(self) -> dict[str, Any]:
        """Force all lines to disk and return the recorder's state."""
        return super().sync() | {"returns": list(self._returns), "ahead": list(self._ahead)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; lines written after it are cut off."""
        super().load_state_dict(state)
        self._returns, self._ahead = list(state["returns"]), list(state["ahead"])
        self._open()

    def _open(self) -> None:
        """Know where the present bin ends; the last one of a task has no fixed end."""
        self._edge: float = np.inf
        if self._bin < self._bins - 1:
            ahead = self._stream.start(self.task + 1) - self._begun
            self._edge = self._begun + ahead * (self._bin + 1) // self._bins

    def _end_bin(self) -> None:
        self._seconds += self._lap()
        self._updates = self._ask()
        self._write(
            {
                "kind": "online",
                "task": self.task,
                "bin": self._bin,
                "updates": self._updates,
                "examples": self._examples,
                "return": float(np.mean(self._returns)) if self._returns else None,
                "episodes": len(self._returns),
                "loss": None,
                "anchor": self._anchor(),
                "seconds": round(self._seconds, 6),
            }
        )
        self._file.flush()
        self._lap()  # the anchor takes time that is not the agent's
        self._seconds, self._returns = 0.0, []
        self._bin += 1
        self._open()

    def _anchor(self) -> float:
        """Return the random policy's return in the present task, measured once."""
        if self._known[0] != self.task:
            self._known = self.task, self._stream.anchor(self.task)
        return self._known[1]


def check_episode(env: gym.Env[Any, Any]) -> None:
    """Refuse a drifting environment whose time limit is not its body's, on which anchors rest.

    Raises:
        ValueError: one line names the limit.
    """
    limit = drift_env(env).stream.body.episode_steps
    if env.spec is None or env.spec.max_episode_steps != limit:
        given = env.spec and env.spec.max_episode_steps
        raise ValueError(
            f"max_episode_steps: {given} is not allowed; a recorded episode has at most {limit}"
        )


class Watch:
    """What happens in the copies of one stream: counts it, and tells a recorder if there is one.

    Args:
        envs: the copies.

    Attributes:
        envs: the copies under watch; only these are to be stepped.
        recorder: is told of steps, episodes and switches.
        task: the task that every copy has reached.
    """

    def __init__(self, envs: Sequence[gym.Env[Any, Any]]) -> None:
        self.envs = [Watched(env, self, copy) for copy, env in enumerate(envs)]
        self.recorder: EpisodeRecorder | None = None
        self.task = 0
        self._tasks, self._returns = [0] * len(envs), [0.0] * len(envs)
        self._running, self._counts = [False] * len(envs), [True] * len(envs)
        self._known: int | None = None
        space = envs[0].observation_space
        self._seen = np.zeros((PROBE, *(space.shape or ())), dtype=space.dtype)
        self._steps = 0

    def probe(self) -> Array:
        """Return the latest observations, at most `PROBE`, shape (n, d)."""
        return self._seen[: self._steps].copy()

    def tell(self, task: int) -> None:
        """Count from now on only episodes of which the task was known when they began.

        Args:
            task: the latest that is known.
        """
        self._known = task
        for copy, running in enumerate(self._running):
            if not running:
                self._counts[copy] = self._tasks[copy] <= task

    def began(self, copy: int) -> None:
        """Take note that a copy has begun an episode.

        One that was broken off counts with what it had earned, so that none can be hidden.
        """
        if self._running[copy]:
            self._end(copy)
        self._returns[copy], self._running[copy] = 0.0, False
        self._tasks[copy] = drift_env(self.envs[copy]).clock.task
        self._counts[copy] = self._known is None or self._tasks[copy] <= self._known
        self.task = min(self._tasks)
        while self.recorder is not None and self.recorder.task < self.task:
            self.recorder.end_task()

    def stepped(self, copy: int, observation: Array, reward: float, ended: bool) -> None:
        """Take note of a step."""
        self._seen[self._steps % PROBE] = observation
        self._steps += 1
        self._returns[copy] += reward
        self._running[copy] = not ended
        if ended:
            self._end(copy)
        if self.recorder is not None:
            self.recorder.step()

    def state_dict(self) -> dict[str, Any]:
        """Return what was counted."""
        return {
            "tasks": list(self._tasks),
            "returns": list(self._returns),
            "running": list(self._running),
            "counts": list(self._counts),
            "known": self._known,
            "steps": self._steps,
            "seen": self._seen[: self._steps].copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._tasks, self._returns = list(state["tasks"]), list(state["returns"])
        self._running, self._counts = list(state["running"]), list(state["counts"])
        self._known = state["known"]
        self._steps, self.task = state["steps"], min(state["tasks"])
        self._seen[: len(state["seen"])] = state["seen"]

    def _end(self, copy: int) -> None:
        if self._counts[copy] and self.recorder is not None:
            self.recorder.episode(self._tasks[copy], self._returns[copy])


class Watched(gym.Wrapper[Any, Any, Any, Any]):
    """A copy that tells a watch what happens in it."""

    def __init__(self, env: gym.Env[Any, Any], watch: Watch, copy: int) -> None:
        super().__init__(env)
        self._watch, self._copy = watch, copy

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        result = self.env.reset(**how)
        self._watch.began(self._copy)
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take a step."""
        result = self.env.step(action)
        observation, reward, terminated, truncated, _ = result
        self._watch.stepped(self._copy, observation, float(reward), terminated or truncated)
        return result


def drift_env(env: gym.Env[Any, Any]) -> DriftEnv:
    """Return the drifting environment inside its wrappers."""
    return cast(DriftEnv, env.unwrapped)

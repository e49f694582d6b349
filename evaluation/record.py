"""Recording for loops that are not ours: a wrapper around the environment writes the run folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from continual_envs import checks
from continual_envs.environment import StreamEnv
from evaluation.config import problem_parameters
from evaluation.description import describe
from evaluation.records import Recorder, bin_edges, write_json


class Record(gym.Wrapper[Any, Any, Any, Any]):
    """Writes what a script's agent earns into a run folder that `score` and `report` read.

    Put it around one of our problems and live in it with any loop or library. The stream of the
    first `reset` is recorded; a later `reset` begins another, which is not. `close` marks the run
    as done. A folder that holds something is refused, never overwritten.

    Args:
        env: a stream made with `gym.make`, with any wrappers that leave the reward alone.
        folder: the run folder.
        agent: what the tables call the agent.
        settings: of the agent, JSON values; they tell groups of runs apart.
        seed: of the agent; the stream's is that of the first reset.

    Raises:
        ValueError: the environment is not a stream, or the folder holds something.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        folder: str | Path,
        *,
        agent: str,
        settings: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(env)
        self.folder = Path(folder)
        if not isinstance(env.unwrapped, StreamEnv):
            raise ValueError(f"env: {env} is not a stream of tasks; make one of our problems")
        if self.folder.exists() and any(self.folder.iterdir()):
            raise ValueError(f"folder: {folder} is not empty; give a new one")
        self._inside = env.unwrapped
        self._agent, self._settings = agent, dict(settings or {})
        self._seed = checks.integer("seed", seed)
        self._recorder: Recorder | None = None
        self._started = time.perf_counter()

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; the first time, write config.json and begin to record."""
        observation, info = self.env.reset(**arguments)
        if self._recorder is not None:
            self._finish()
        elif not (self.folder / "config.json").exists():
            stream, batch = self._inside.stream, self._inside.batch_size or 1
            edges = bin_edges(stream.examples_per_task, batch)
            config = self._describe(len(edges))
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / "config.json", config)
            self._recorder = Recorder(
                self.folder, stream.outcome, edges, batch, stream.anchor, stream.classes
            )
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment and record the reward."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._recorder is not None:
            self._recorder.add(np.array([float(reward)]), None, np.reshape(info["target"], -1))
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Mark the run as done and close the environment."""
        if self._recorder is not None:
            self._finish()
        super().close()

    def _finish(self) -> None:
        assert self._recorder is not None
        self._recorder.close()
        seconds = round(time.perf_counter() - self._started, 3)
        result = {"tasks": self._recorder.task, "seconds": seconds, "finished": True}
        write_json(self.folder / "result.json", result)
        self._recorder = None

    def _describe(self, bins: int) -> dict[str, Any]:
        spec = self.env.spec
        if spec is None:
            raise ValueError(f"env: {self.env} has no id; make it with gym.make")
        defaults = {name: one.default for name, one in problem_parameters(spec.id).items()}
        return describe(
            self._inside,
            problem=spec.id,
            problem_settings=defaults | {k: v for k, v in spec.kwargs.items() if k != "stream"},
            agent=self._agent,
            agent_settings=self._settings,
            seed=self._seed,
            bins=bins,
        )

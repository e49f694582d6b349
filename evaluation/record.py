"""Recording for loops that are not ours: a wrapper around the environment writes the run folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from continual_envs import checks
from continual_envs.control.drift import DriftEnv
from continual_envs.environment import StreamEnv
from evaluation.api import check_writable
from evaluation.config import problem_parameters
from evaluation.description import describe
from evaluation.episodes import EpisodeRecorder, Watch, bins_of_steps, check_episode
from evaluation.folder import write_json, write_result
from evaluation.records import Recorder, bins_of
from evaluation.settings import expand, is_plain


class Record(gym.Wrapper[Any, Any, Any, Any]):
    """Writes what a script's agent earns into a run folder that `score` and `report` read.

    Put it around one of our problems and live in it with any loop or library. The stream of the
    first `reset` is recorded; a later `reset` that begins another (in a drifting environment one
    with a seed, elsewhere any) ends the recording. `close` marks the run as done. A folder that
    holds something is refused, never overwritten.

    Runs are compared seed by seed, so the first `reset` takes the seed given here and no other.

    Args:
        env: a problem made with `gym.make`, with any wrappers that leave the reward alone.
        folder: the run folder.
        agent: what the tables call the agent.
        settings: of the agent, JSON values; they tell groups of runs apart.
        seed: of the stream and of the agent.

    Raises:
        ValueError: the environment is not a problem of ours, or its reward is changed; the folder
            holds something or cannot be written; or JSON cannot hold the settings.
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
        self._watch = Watch([env]) if isinstance(env.unwrapped, DriftEnv) else None
        super().__init__(self._watch.envs[0] if self._watch else env)
        self.folder = Path(folder)
        if not isinstance(env.unwrapped, StreamEnv | DriftEnv):
            raise ValueError(f"env: {env} is not a stream of tasks; make one of our problems")
        inside: Any = env
        while isinstance(inside, gym.Wrapper):
            if isinstance(inside, gym.RewardWrapper | gym.wrappers.NormalizeReward):
                name = type(inside).__name__
                raise ValueError(f"env: {name} changes the reward; put it around Record instead")
            inside = inside.env
        if env.spec is None:
            raise ValueError(f"env: {env} has no id; make it with gym.make")
        if isinstance(env.unwrapped, DriftEnv):
            check_episode(env)
        check_writable("folder", self.folder)
        if self.folder.exists() and any(self.folder.iterdir()):
            raise ValueError(f"folder: {folder} is not empty; give a new one")
        if not isinstance(agent, str) or not agent:
            raise ValueError(f"agent: {agent!r} is not allowed; give a name")
        for name, value in (settings or {}).items():
            if not is_plain(value):
                raise ValueError(f"{name}: {value!r} is not allowed; give what JSON can hold")
        self._inside = env.unwrapped
        self._agent, self._settings = agent, dict(settings or {})
        self._seed = checks.integer("seed", seed)
        self._recorder: Recorder | EpisodeRecorder | None = None
        self._started = time.perf_counter()

    def reset(self, *, seed: int | None = None, **more: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; the first time, write config.json and begin to record.

        Raises:
            ValueError: the first seed is not that of the recording.
        """
        first = not (self.folder / "config.json").exists()
        if first and seed not in (None, self._seed):
            raise ValueError(f"seed: {seed} is not the {self._seed} of the recording; give it both")
        observation, info = self.env.reset(seed=self._seed if first else seed, **more)
        if self._recorder is not None and (self._watch is None or seed is not None):
            self._finish()
        elif first:
            self._begin()
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment and record the reward."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if isinstance(self._recorder, Recorder):
            self._recorder.add(np.array([float(reward)]), None, np.reshape(info["target"], -1))
            self._recorder.flush()  # a script of somebody else's may end anywhere
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Mark the run as done and close the environment."""
        if self._recorder is not None:
            self._finish()
        super().close()

    def _begin(self) -> None:
        inside = self._inside
        if isinstance(inside, DriftEnv):
            self._write_config(bins_of_steps(inside.stream.examples_per_task))
            self._recorder = EpisodeRecorder(self.folder, inside.stream)
            if self._watch is not None:
                self._watch.recorder = self._recorder
            return
        stream, batch = inside.stream, inside.batch_size or 1
        bins = bins_of(stream, batch)
        self._write_config(len(bins(0)))
        self._recorder = Recorder(
            self.folder, stream.outcome, bins, batch, stream.anchor, stream.classes
        )

    def _finish(self) -> None:
        assert self._recorder is not None
        self._recorder.close()
        write_result(self.folder, self._recorder.task, time.perf_counter() - self._started)
        self._recorder = None
        if self._watch is not None:
            self._watch.recorder = None

    def _write_config(self, bins: int) -> None:
        config = self._describe(bins)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "config.json", config)

    def _describe(self, bins: int) -> dict[str, Any]:
        spec, inside = self.env.spec, self._inside
        assert spec is not None
        known = problem_parameters(spec.id)
        given = {name: value for name, value in spec.kwargs.items() if name in known}
        return describe(
            inside.stream,
            problem=spec.id,
            problem_settings=expand(known, {}, given, "setting"),
            agent=self._agent,
            agent_settings=self._settings,
            seed=self._seed,
            bins=bins,
            distributions=inside.stream.body.distributions if isinstance(inside, DriftEnv) else (),
            scored="online",  # what is held out is not looked at
        )

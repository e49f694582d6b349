"""Several drifting environments, or several copies of one, behind one call."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

from continual_envs import checks, state
from continual_envs.control.drift import DriftEnv, Tally
from continual_envs.control.stream import DriftStream
from continual_envs.core import Clock


class DriftVectorEnv(SyncVectorEnv):
    """Members of one problem; member i of seed s is the environment of seed s + i, bit for bit.

    Autoreset is Gymnasium's default, in the step after an episode's end.

    Args:
        num_envs: how many.
        shared_stream: all show stream s, with different episodes, and their steps count together;
            see `continual_envs.copies`.
        max_episode_steps: the time limit of every member, which `gym.make_vec` passes on; None has
            none.
        **settings: of `DriftEnv`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        shared_stream: bool = False,
        max_episode_steps: int | None = None,
        **settings: Any,
    ) -> None:
        checks.integer("num_envs", num_envs, 1)
        checks.flag("shared_stream", shared_stream)
        make = functools.partial(_member, max_episode_steps, settings)
        super().__init__([make] * num_envs)
        self._shared = shared_stream
        if shared_stream:
            tally = Tally()
            for copy, env in enumerate(self._drifting()):
                env.share(tally, copy)

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin as each member does; see `gymnasium.vector.SyncVectorEnv.reset`.

        Raises:
            ValueError: seeds of copies of one stream that are not s, s + 1, ...
        """
        if self._shared and seed is not None and not isinstance(seed, int):
            seed = list(seed)
            first = seed[0] if seed else None
            if first is None or seed != [first + i for i in range(self.num_envs)]:
                raise ValueError(
                    f"seed: {seed} is not allowed with shared_stream; give s, or s, s + 1, ..."
                )
        return super().reset(seed=seed, options=options)

    @property
    def streams(self) -> list[DriftStream]:
        """The members' streams."""
        return [env.stream for env in self._drifting()]

    @property
    def clocks(self) -> list[Clock]:
        """Where each member stands; members switch at ends of their own episodes."""
        return [env.clock for env in self._drifting()]

    def state_dict(self) -> dict[str, Any]:
        """Return all that decides what every member does next."""
        return {
            "members": [state.state_dict(env) for env in self.envs],
            "observations": np.array(self._observations),
            "ended": np.array(self._autoreset_envs),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a state; needs no reset before.

        Raises:
            ValueError: it is of another problem, setting or number of members.
        """
        if len(saved["members"]) != self.num_envs:
            found = len(saved["members"])
            raise ValueError(f"num_envs: the state is of {found!r}, not of {self.num_envs!r}")
        for env, member in zip(self.envs, saved["members"], strict=True):
            state.load_state_dict(env, member)
        self._env_obs = list(np.array(saved["observations"]))
        self._observations = np.array(saved["observations"])
        self._autoreset_envs = np.array(saved["ended"])

    def _drifting(self) -> list[DriftEnv]:
        return [env.unwrapped for env in self.envs]  # type: ignore[misc]


def _member(limit: int | None, settings: dict[str, Any]) -> gym.Env[Any, Any]:
    env = DriftEnv(**settings)
    return env if limit is None else TimeLimit(env, limit)

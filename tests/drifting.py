"""Drifting environments in short tasks, and how tests live in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from continual_envs.registration import NAMESPACE

CARTPOLE, ACROBOT = f"{NAMESPACE}/DriftingCartPole-v0", f"{NAMESPACE}/DriftingAcrobot-v0"
SHORT: dict[str, Any] = {"period": 50, "max_episode_steps": 30}
each_classic = pytest.mark.parametrize("problem", [CARTPOLE, ACROBOT])


def live(env: Any, steps: int) -> list[Any]:
    """Take random steps with a reset after every episode; return all that came back."""
    generator, came, space = np.random.default_rng(0), [], env.action_space
    for _ in range(steps):
        if isinstance(space, spaces.Box):
            action = generator.uniform(space.low, space.high).astype(space.dtype)
        else:
            action = generator.integers(space.n)
        came.append(env.step(action))
        if came[-1][2] or came[-1][3]:
            came.append(env.reset())
    return came

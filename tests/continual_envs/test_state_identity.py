"""A state is refused by a stream that shows something else."""

from typing import Any

import gymnasium as gym
import pytest

import continual_envs

DIGITS = "continual_envs/PermutedDigits-v0"


def test_a_state_of_other_settings_is_refused() -> None:
    env = gym.make(DIGITS, permute="pixels")
    env.reset(seed=0)
    state = continual_envs.state_dict(env)
    continual_envs.load_state_dict(gym.make(DIGITS), state)  # pixels is the default
    others: list[dict[str, Any]] = [
        {"permute": "labels"},
        {"batch_size": 1},
        {"examples_per_task": 100},
    ]
    for other in others:
        with pytest.raises(ValueError, match="^[a-z_]+: the state is of [^\n]+$"):
            continual_envs.load_state_dict(gym.make(DIGITS, **other), state)


def test_a_state_of_another_number_of_members_is_refused() -> None:
    envs = gym.make_vec(DIGITS, num_envs=3)
    envs.reset(seed=0)
    state = continual_envs.state_dict(envs)
    with pytest.raises(ValueError, match="^members: the state is of 3, not of 2$"):
        continual_envs.load_state_dict(gym.make_vec(DIGITS, num_envs=2), state)

"""The registered problems in small settings, and how tests roll them out and compare."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from continual_envs.registration import NAMESPACE, PROBLEMS

SMALL: dict[str, dict[str, Any]] = {
    "PermutedMNIST-v0": {"dataset": "digits", "examples_per_task": 48},
    "PermutedDigits-v0": {"permute": "both", "examples_per_task": 48},
    "SlowlyChangingRegression-v0": {"examples_per_task": 48},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "single": {},
    "batch": {"batch_size": 16},
    "finite": {"num_tasks": 2, "disclosure": "identified"},
}
STEPS_A_TASK = {"single": 48, "batch": 3, "finite": 48}
IDS = sorted(PROBLEMS)


def make(problem: str, variant: str = "single", **settings: Any) -> gym.Env:
    """What a user gets: the problem through `gym.make`, wrappers included."""
    settings = SMALL[problem] | VARIANTS[variant] | settings
    return gym.make(f"{NAMESPACE}/{problem}", **settings)


def make_vec(problem: str, num_envs: int, variant: str = "single", **settings: Any) -> Any:
    settings = SMALL[problem] | VARIANTS[variant] | settings
    return gym.make_vec(f"{NAMESPACE}/{problem}", num_envs=num_envs, **settings)


def rollout(env: Any, steps: int) -> list[Any]:
    """Take `steps` actions sampled from the action space and return everything that came back."""
    seen = []
    for _ in range(steps):
        action = env.action_space.sample()
        seen.append((action, *env.step(action)))
    return seen


def start(env: Any, seed: int, steps: int) -> list[Any]:
    """Reset and roll out, with the action space seeded alike."""
    env.action_space.seed(seed)
    return [env.reset(seed=seed), *rollout(env, steps)]


def same(one: Any, other: Any) -> bool:
    """Whether two nested results are equal bit for bit, types included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and one.tobytes() == other.tobytes()
    return bool(one == other)

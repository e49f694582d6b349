"""Two small problems that can be saved, and sb3 agents that learn from them within a second."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv, PendulumEnv
from gymnasium.wrappers import TimeLimit

from agents import registry


class Pole(CartPoleEnv):
    """CartPole with a state."""

    def state_dict(self) -> dict[str, Any]:
        state, generator = np.copy(self.state), self.np_random.bit_generator.state
        return {"state": state, "beyond": self.steps_beyond_terminated, "generator": generator}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state, self.steps_beyond_terminated = np.copy(state["state"]), state["beyond"]
        self.np_random.bit_generator.state = state["generator"]


class Swing(PendulumEnv):
    """Pendulum with a state."""

    def state_dict(self) -> dict[str, Any]:
        return {"state": np.copy(self.state), "generator": self.np_random.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state, self.last_u = np.copy(state["state"]), None
        self.np_random.bit_generator.state = state["generator"]


OFF = {"buffer_size": 150, "hidden": (16, 12), "batch_size": 32}
SMALL: dict[str, dict[str, Any]] = {
    "sb3/ppo": {"n_steps": 128, "n_epochs": 2, "hidden": (16, 12)},
    "sb3/a2c": {"hidden": (16, 12)},
    "sb3/dqn": {**OFF, "target_update_interval": 50, "exploration_steps": 300},
    "sb3/sac": OFF,
    "sb3/td3": OFF,
    "sb3/ddpg": OFF,
}
METHODS = "l2+l2-init+weight-clipping+upgd+continual-backprop+shrink-perturb+redo+regrama"
HOT: dict[str, Any] = {
    "l2.weight_decay": 1e-3,
    "l2-init.weight_decay": 1e-3,
    "upgd.weight_decay": 1e-3,
    "upgd.noise_std": 1e-3,
    "continual-backprop.replacement_rate": 0.01,
    "continual-backprop.maturity": 5,
    "shrink-perturb.weight_decay": 1e-3,
    "shrink-perturb.noise_std": 1e-4,
    "redo.period": 7,
    "redo.tau": 0.2,
    "regrama.period": 5,
    "regrama.tau": 0.2,
}
NULL: dict[str, Any] = {
    "l2.weight_decay": 0.0,
    "l2-init.weight_decay": 0.0,
    "weight-clipping.kappa": None,
    "upgd.weight_decay": 0.0,
    "upgd.noise_std": 0.0,
    "upgd.protect": False,
    "continual-backprop.replacement_rate": 0.0,
    "shrink-perturb.weight_decay": 0.0,
    "shrink-perturb.noise_std": 0.0,
    "redo.period": 0,
    "regrama.period": 0,
}


EITHER = ("sb3/ppo", "sb3/a2c")  # take actions of both kinds


def problem(algorithm: str, discrete: bool = True) -> gym.Env[Any, Any]:
    """Return CartPole for the algorithms that choose among actions, Pendulum for the others."""
    pole = discrete if algorithm in EITHER else algorithm == "sb3/dqn"
    return TimeLimit(Pole() if pole else Swing(), max_episode_steps=60)


def build(
    algorithm: str, methods: str = "", seed: int = 3, discrete: bool = True, **settings: Any
) -> Any:
    """Return a small agent that lives in nothing yet."""
    env = problem(algorithm, discrete)
    name = f"{algorithm}+{methods}" if methods else algorithm
    given = SMALL[algorithm] | settings
    return registry.make(name, env.observation_space, env.action_space, seed=seed, **given)


def alive(
    algorithm: str,
    methods: str = "",
    cycles: int = 0,
    seed: int = 3,
    discrete: bool = True,
    **settings: Any,
) -> Any:
    """Return a small agent that has lived for some cycles."""
    agent = build(algorithm, methods, seed, discrete, **settings)
    agent.enter([problem(algorithm, discrete) for _ in range(agent.copies)])
    for _ in range(cycles):
        agent.cycle()
    return agent


def values(agent: Any) -> list[torch.Tensor]:
    """Return copies of all parameters, targets included."""
    return [value.clone() for value in agent.model.policy.state_dict().values()]


def observations(agent: Any, n: int = 20) -> np.ndarray:
    """Return random observations, (n, d)."""
    space = agent.model.observation_space
    assert isinstance(space, spaces.Box)
    drawn = np.random.default_rng(0).normal(size=(n, *space.shape))
    return drawn.astype(np.float32)

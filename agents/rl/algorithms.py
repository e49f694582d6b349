"""The algorithms by name; `agents.rl.algorithm` says what they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from agents.networks.spec import Activation
from agents.rl.algorithm import Algorithm
from agents.rl.anatomy import DDPG_PARTS, DQN_PARTS, ON_POLICY_PARTS, SAC_PARTS, TD3_PARTS


@dataclass(frozen=True, kw_only=True)
class OnPolicy(Algorithm):
    """What PPO and A2C share; actor and critic are separate networks.

    `max_grad_norm` may be None, without which SB3 always clips.
    """

    hidden: tuple[int, ...] = (64, 64)
    activation: Activation = "tanh"
    epsilon: float = 1e-5
    n_steps: int
    gae_lambda: float
    normalize_advantage: bool
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float | None = 0.5

    rhythm = "n_steps"
    parts = ON_POLICY_PARTS
    actions = (spaces.Box, spaces.Discrete)

    def __post_init__(self) -> None:
        """Refuse advantages that cannot be normalised, too."""
        super().__post_init__()
        if self.normalize_advantage and self.n_steps * self.copies == 1:
            raise ValueError("n_steps: 1 is not allowed; one advantage cannot be normalised")

    def _architecture(self) -> Any:
        return {"pi": list(self.hidden), "vf": list(self.hidden)}


@dataclass(frozen=True, kw_only=True)
class PPO(OnPolicy):
    """Proximal policy optimization.

    What Dohare et al. 2024 set: hidden [256, 256], activation relu, initialiser lecun, step_size
    1e-4, epsilon 1e-8, batch_size 128, vf_coef 1, max_grad_norm null (they clip at 1e9);
    clip_range_vf null, ent_coef 0, n_steps 2048, n_epochs 10, gamma 0.99, gae_lambda 0.95 and
    clip_range 0.2 are the defaults. SB3 differs from their code in: advantages are normalised in
    each minibatch, not over the rollout; a time limit is bootstrapped from the value of the last
    observation; actions are clipped to their space.
    """

    step_size: float = 3e-4
    n_steps: int = 2048
    batch_size: int = 64
    n_epochs: int = 10
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    clip_range_vf: float | None = None
    normalize_advantage: bool = True
    target_kl: float | None = None

    name = "PPO"

    def __post_init__(self) -> None:
        """Refuse minibatches of one, too, whose advantages cannot be normalised, or of too many."""
        super().__post_init__()
        steps = self.n_steps * self.copies
        if self.batch_size > steps:
            raise ValueError(
                f"batch_size: {self.batch_size} is not allowed; give at most n_steps * copies = "
                f"{steps}"
            )
        if self.normalize_advantage and self.batch_size == 1:
            raise ValueError("batch_size: 1 is not allowed; one advantage cannot be normalised")


@dataclass(frozen=True, kw_only=True)
class A2C(OnPolicy):
    """Advantage actor-critic.

    `optimizer` stands for SB3's use_rms_prop, `epsilon` for its rms_prop_eps; `betas` are for adam.
    """

    step_size: float = 7e-4
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"
    n_steps: int = 5
    gae_lambda: float = 1.0
    normalize_advantage: bool = False

    name = "A2C"

    def _optimizer(self) -> dict[str, Any]:
        if self.optimizer == "adam":
            return super()._optimizer()
        kwargs = {"alpha": 0.99, "eps": self.epsilon, "weight_decay": 0}
        return {"optimizer_class": torch.optim.RMSprop, "optimizer_kwargs": kwargs}


@dataclass(frozen=True, kw_only=True)
class OffPolicy(Algorithm):
    """What the algorithms with a replay buffer share; `train_freq` counts steps."""

    buffer_size: int = 1_000_000
    learning_starts: int = 100
    batch_size: int = 256
    tau: float = 0.005
    train_freq: int = 1
    gradient_steps: int = 1
    n_steps: int = 1

    rhythm = "train_freq"


@dataclass(frozen=True, kw_only=True)
class DQN(OffPolicy):
    """Deep Q-learning.

    `exploration_steps` stands for SB3's exploration_fraction, since a stream has no end: the share
    of random actions falls linearly over so many steps of all copies, counted from a restart too.
    """

    step_size: float = 1e-4
    hidden: tuple[int, ...] = (64, 64)
    batch_size: int = 32
    tau: float = 1.0
    train_freq: int = 4
    target_update_interval: int = 10_000
    exploration_steps: int = 10_000
    exploration_initial_eps: float = 1.0
    exploration_final_eps: float = 0.05
    max_grad_norm: float | None = 10.0

    name = "DQN"
    parts = DQN_PARTS
    actions = (spaces.Discrete,)

    @property
    def horizon(self) -> int:
        """Steps that SB3 takes for the whole training."""
        return self.exploration_steps

    def _more(self, env: gym.Env[Any, Any]) -> dict[str, Any]:
        return {"exploration_fraction": 1.0}


@dataclass(frozen=True, kw_only=True)
class SAC(OffPolicy):
    """Soft actor-critic; the optimizer of the entropy's weight stays SB3's."""

    step_size: float = 3e-4
    hidden: tuple[int, ...] = (256, 256)
    ent_coef: float | str = "auto"
    target_update_interval: int = 1
    target_entropy: float | str = "auto"

    name = "SAC"
    parts = SAC_PARTS
    actions = (spaces.Box,)


@dataclass(frozen=True, kw_only=True)
class DDPG(OffPolicy):
    """Deep deterministic policy gradient.

    `action_noise_std` is the standard deviation of Gaussian noise on actions scaled to [-1, 1]; SB3
    has none unless it is given a noise, and then these policies would hardly explore.
    """

    step_size: float = 1e-3
    hidden: tuple[int, ...] = (400, 300)
    action_noise_std: float = 0.1

    name = "DDPG"
    parts = DDPG_PARTS
    actions = (spaces.Box,)

    def _more(self, env: gym.Env[Any, Any]) -> dict[str, Any]:
        from stable_baselines3.common.noise import NormalActionNoise

        assert env.action_space.shape is not None
        mean = np.zeros(env.action_space.shape)
        noise = NormalActionNoise(mean, np.full_like(mean, self.action_noise_std))
        return {"action_noise": noise if self.action_noise_std else None}


@dataclass(frozen=True, kw_only=True)
class TD3(DDPG):
    """DDPG with twin critics, delayed updates of the policy and noise on the target's actions."""

    policy_delay: int = 2
    target_policy_noise: float = 0.2
    target_noise_clip: float = 0.5

    name = "TD3"
    parts = TD3_PARTS

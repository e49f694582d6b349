"""What the algorithms share: settings, and what Stable-Baselines3 is given for them.

A setting has SB3's name, meaning and default unless its class says otherwise. Shared by all are:

Settings:
    step_size: SB3's learning_rate, constant.
    hidden: units of each hidden layer, of the actor and of each critic; () is a linear map.
    activation: see `agents.networks.parts.ACTIVATIONS`.
    initialiser: "sb3" is what SB3 draws: orthogonal with gain sqrt(2) (output of the actor 0.01, of
        the critic 1) for PPO and A2C, torch's default for the others. "lecun" is U(-b, b) with
        b = sqrt(3 / fan_in) in every layer and biases 0, as Dohare et al. 2024 have it.
    betas: of Adam.
    epsilon: added to the root of Adam's second moment.
    copies: how many copies of the problem the agent lives in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import nn

from agents.networks.spec import Activation
from agents.rl.anatomy import Part
from agents.rl.settings import check

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "swish": nn.SiLU,
}
# Not passed on to SB3's constructors as they are.
OURS = (
    "step_size",
    "hidden",
    "activation",
    "initialiser",
    "optimizer",
    "betas",
    "epsilon",
    "copies",
    "exploration_steps",
    "action_noise_std",
)


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """Settings that all algorithms share; see the module.

    Attributes:
        name: of SB3's class.
        parts: what its optimizers train.
        actions: the kinds of action space it can use.
        rhythm: the setting that says how many steps come between two trainings.

    Raises:
        ValueError: a value that is not allowed.
    """

    step_size: float
    hidden: tuple[int, ...]
    activation: Activation = "relu"
    initialiser: Literal["sb3", "lecun"] = "sb3"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    gamma: float = 0.99
    copies: int = 1

    name: ClassVar[str]
    rhythm: ClassVar[str]
    parts: ClassVar[tuple[Part, ...]]
    actions: ClassVar[tuple[type[spaces.Space[Any]], ...]]

    def __post_init__(self) -> None:
        """Refuse what SB3 would refuse, or take and fail on later."""
        for field in fields(self):
            check(field.name, getattr(self, field.name))

    @property
    def period(self) -> int:
        """Steps of every copy between two trainings."""
        steps: int = getattr(self, self.rhythm)
        return steps

    @property
    def horizon(self) -> int:
        """Steps that SB3 takes for the whole training, which only schedules look at."""
        return 1

    def build(self, env: Any, seed: int, device: str) -> BaseAlgorithm:
        """Return SB3's algorithm for a vector environment, every setting given."""
        import stable_baselines3

        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in OURS}
        if "max_grad_norm" in given and given["max_grad_norm"] is None:
            given["max_grad_norm"] = math.inf
        kind: type[BaseAlgorithm] = getattr(stable_baselines3, self.name)
        architecture = {"net_arch": self._architecture(), **self._optimizer()}
        architecture["activation_fn"] = MODULES[self.activation]
        given |= {"learning_rate": self.step_size, "policy_kwargs": architecture}
        try:
            return kind("MlpPolicy", env, seed=seed, device=device, **given, **self._more(env))
        except MemoryError as error:  # of a buffer
            raise ValueError(f"agent: sb3/{self.name.lower()} does not fit: {error}") from error

    def _architecture(self) -> Any:
        return list(self.hidden)

    def _optimizer(self) -> dict[str, Any]:
        kwargs = {"betas": tuple(self.betas), "eps": self.epsilon}
        return {"optimizer_class": torch.optim.Adam, "optimizer_kwargs": kwargs}

    def _more(self, env: gym.Env[Any, Any]) -> dict[str, Any]:
        """Return arguments of SB3 that are no settings of ours."""
        return {}

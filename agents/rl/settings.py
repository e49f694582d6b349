"""Checks of the settings that the algorithms share, by name."""

from __future__ import annotations

from typing import Any

from agents.networks.parts import ACTIVATIONS
from continual_envs import checks

# Least values of whole numbers.
WHOLE = {
    "n_steps": 1,
    "batch_size": 1,
    "n_epochs": 1,
    "buffer_size": 1,
    "learning_starts": 0,
    "train_freq": 1,
    "gradient_steps": -1,
    "target_update_interval": 1,
    "policy_delay": 1,
    "exploration_steps": 1,
    "copies": 1,
}
NUMBERS: dict[str, dict[str, float]] = {
    "step_size": {"above": 0},
    "epsilon": {"above": 0},
    "gamma": {"low": 0, "high": 1},
    "gae_lambda": {"low": 0, "high": 1},
    "clip_range": {"above": 0},
    "clip_range_vf": {"above": 0},
    "ent_coef": {"low": 0},
    "vf_coef": {"low": 0},
    "max_grad_norm": {"above": 0},
    "target_kl": {"above": 0},
    "tau": {"above": 0, "high": 1},
    "exploration_initial_eps": {"low": 0, "high": 1},
    "exploration_final_eps": {"low": 0, "high": 1},
    "action_noise_std": {"low": 0},
    "target_policy_noise": {"low": 0},
    "target_noise_clip": {"low": 0},
    "target_entropy": {},
}
# None switches these off.
OPTIONAL = ("clip_range_vf", "max_grad_norm", "target_kl")
CHOICES = {
    "initialiser": ("sb3", "lecun"),
    "optimizer": ("rmsprop", "adam"),
    "activation": tuple(ACTIVATIONS),
}


def check(name: str, value: Any) -> None:
    """Refuse a value that its setting cannot have.

    Raises:
        ValueError: one line that names the setting.
    """
    if value is None and name in OPTIONAL:
        return
    if name in WHOLE:
        checks.integer(name, value, WHOLE[name])
    elif name in ("ent_coef", "target_entropy") and isinstance(value, str):
        _check_auto(name, value)
    elif name in NUMBERS:
        checks.number(name, value, **NUMBERS[name])
    elif name in CHOICES:
        checks.one_of(name, value, CHOICES[name])
    elif name == "normalize_advantage":
        checks.flag(name, value)
    elif name == "betas":
        _check_sequence(name, value, "two numbers like [0.9, 0.999]", 2)
        for beta in value:
            checks.number(name, beta, 0, below=1)
    elif name == "hidden":
        _check_sequence(name, value, "a list like [64, 64]")
        for units in value:
            checks.integer(name, units, 1)


def _check_sequence(name: str, value: Any, example: str, length: int | None = None) -> None:
    if not isinstance(value, tuple | list) or (length is not None and len(value) != length):
        raise ValueError(f"{name}: {value!r} is not allowed; give {example}")


def _check_auto(name: str, value: str) -> None:
    """Refuse words other than "auto" and, of the entropy's weight, "auto_" and a start above 0."""
    start = value.removeprefix("auto_") if name == "ent_coef" else value
    try:
        allowed = value == "auto" or (value != start and 0 < float(start) < float("inf"))
    except ValueError:
        allowed = False
    if not allowed:
        other = ", 'auto_0.1'" if name == "ent_coef" else ""
        raise ValueError(f"{name}: {value!r} is not allowed; give a number or 'auto'{other}")

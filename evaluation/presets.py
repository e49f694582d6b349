"""Sizes to run at: what fits a laptop, and what the paper published.

An entry under "*" is for the base of every agent, or a plugin, that has the setting; an entry
under a part's name is for that part of a composition, or with a dot for another one beside it. The
agent's own defaults fill the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents import registry
from continual_envs import checks


@dataclass(frozen=True)
class Preset:
    """The horizon and settings of one problem."""

    tasks: int = 50
    problem: dict[str, Any] = field(default_factory=dict)
    agents: dict[str, dict[str, Any]] = field(default_factory=dict)


MOMENTUM: dict[str, Any] = {"step_size": 0.01, "momentum": 0.9}
# Kumar et al. 2023, arXiv 2308.11958; their shrink and perturb is another one than ours.
KUMAR: dict[str, dict[str, Any]] = {
    "*": {"network": "small_cnn", "optimizer": "adam", "step_size": 1e-4},
    "adam": {"step_size": 1e-4},
    "layer-norm": {"step_size": 1e-3},
    "l2": {"step_size": 1e-3, "weight_decay": 1e-3},
    "l2-init": {"step_size": 1e-3, "weight_decay": 1e-3},
    "continual-backprop": {"step_size": 1e-3, "replacement_rate": 1e-4, "maturity": 100},
    "redo": {"period": 120, "tau": 0.0},
}

# PPO of Dohare et al. 2024. Every arm with a remedy has equal betas; that with L2 alone decays ten
# times as much as those that have it beside another. Differs from the published code in: moments
# and step counts of a replaced or recycled unit are cleared (there they stay), and what
# `agents.rl.algorithms.PPO` says. Of shrink and perturb in PPO no settings are known.
PPO: dict[str, dict[str, Any]] = {
    "sb3/ppo": {
        "hidden": [256, 256],
        "activation": "relu",
        "initialiser": "lecun",
        "step_size": 1e-4,
        "epsilon": 1e-8,
        "n_steps": 2048,
        "batch_size": 128,
        "n_epochs": 10,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "clip_range": 0.2,
        "ent_coef": 0.0,
        "vf_coef": 1.0,
        "max_grad_norm": 1e9,
    },
    "equal-betas": {"beta": 0.99},
    "l2": {"weight_decay": 1e-3},
    "shrink-perturb": {"weight_decay": 1e-4},
    "continual-backprop": {
        "replacement_rate": 1e-4,
        "maturity": 10_000,
        "utility": "contribution",
        "utility_decay": 0.99,
        "replacement": "bernoulli",
        "profile": "code",
        "l2.weight_decay": 1e-4,
    },
    "redo": {"tau": 0.1, "period": 100, "l2.weight_decay": 1e-4},  # grid .01 .03 .1 x 10 to 1e5
}
SLIPPERY = ("Ant", "Hopper", "Walker2d", "HalfCheetah")  # published: the first
STATIONARY = ("Ant", "Hopper", "Walker2d")

# PPO in eight copies, which makes a stream a matter of minutes. The step size is large, so that
# what is lost shows early.
CONTROL = {
    "sb3/ppo": {
        "hidden": [64, 64],
        "activation": "relu",
        "step_size": 0.003,
        "copies": 8,
        "n_steps": 64,
        "batch_size": 128,
        "n_epochs": 10,
    }
}

LAPTOP = {
    **{
        f"continual_envs/Slippery{body}-v0": Preset(
            tasks=5, problem={"period": 200_000}, agents=PPO
        )
        for body in SLIPPERY
    },
    **{
        f"continual_envs/Stationary{body}-v0": Preset(
            tasks=10, problem={"period": 100_000}, agents=PPO
        )
        for body in STATIONARY
    },
    "continual_envs/DriftingCartPole-v0": Preset(
        tasks=11, problem={"period": 40_000}, agents=CONTROL
    ),
    "continual_envs/DriftingAcrobot-v0": Preset(
        tasks=11, problem={"period": 40_000}, agents=CONTROL
    ),
    "continual_envs/PermutedMNIST-v0": Preset(
        tasks=20, agents={"*": {"step_size": 0.003}, "adam": {"step_size": 1e-4}}
    ),
    "continual_envs/PermutedDigits-v0": Preset(tasks=100, agents={"*": {"hidden": [32, 32]}}),
    "continual_envs/SlowlyChangingRegression-v0": Preset(
        tasks=100, agents={"*": {"hidden": [5]}, "adam": {"step_size": 0.01}}
    ),
    "continual_envs/ContinualImageNet-v0": Preset(
        tasks=20, problem={"epochs": 20}, agents={"*": MOMENTUM, "adam": {"step_size": 1e-3}}
    ),
    "continual_envs/KumarContinualImageNet-v0": Preset(tasks=50, agents=KUMAR),
    "continual_envs/ProceduralPairs-v0": Preset(
        tasks=20, problem={"epochs": 20}, agents={"*": MOMENTUM, "adam": {"step_size": 1e-3}}
    ),
    "continual_envs/IncrementalCIFAR100-v0": Preset(
        tasks=20,
        problem={"epochs": 4, "augment": False},
        agents={"*": MOMENTUM | {"network": "small_cnn"}, "adam": {"step_size": 1e-3}},
    ),
}

# Dohare et al. 2024 and its published configurations. Where they searched a grid, it is named
# beside the value taken from it. Methods have the profile of the code, which made the published
# results.
PAPER = {
    "continual_envs/PermutedMNIST-v0": Preset(
        tasks=800,
        agents={
            "*": {"step_size": 0.003, "hidden": [2000, 2000, 2000]},
            "adam": {"step_size": 5e-5},  # grid 1e-4, 5e-5, 3e-5
            "l2": {"weight_decay": 1e-4},  # grid 1e-3, 1e-4, 1e-5
            "shrink-perturb": {"weight_decay": 1e-4, "noise_std": 1e-5},  # noise 1e-4, 1e-5, 1e-6
            "dropout": {"dropout_rate": 0.03},
            "continual-backprop": {
                "replacement_rate": 1e-5,  # grid 1e-4, 1e-5, 1e-6
                "maturity": 100,
                "utility": "adaptable_contribution",
                "utility_decay": 0.99,
                "replacement": "counter",
                "profile": "code",
            },
        },
    ),
    "continual_envs/SlowlyChangingRegression-v0": Preset(
        tasks=300,
        problem={"profile": "paper"},
        agents={
            "*": {"step_size": 0.01, "hidden": [5]},  # grid 0.01, 0.003, 0.001; Adam too
            "adam": {"step_size": 0.01},
            "l2": {"weight_decay": 1e-3},  # grid 1e-6 to 1
            "shrink-perturb": {"weight_decay": 1e-2, "noise_std": 1e-3},  # noise 1e-6 to 1e-1
            "continual-backprop": {
                "replacement_rate": 1e-4,  # grid 1e-6 to 1e-2
                "maturity": 10,  # what the published scripts run with; their configs say 100
                "utility": "adaptable_contribution",
                "utility_decay": 0.99,
                "replacement": "bernoulli",
                "profile": "code",
            },
        },
    ),
    "continual_envs/ContinualImageNet-v0": Preset(
        tasks=2000,  # of backprop; 5000 of the others
        problem={"dataset": "imagenet"},
        agents={
            "*": MOMENTUM | {"network": "convnet"},  # backprop: steps 0.01, 0.001, 0.0001
            "adam": {"step_size": 1e-3},  # not published; the usual one
            "linear": MOMENTUM,
            "l2": {"step_size": 0.03, "weight_decay": 3e-6},
            "shrink-perturb": {"weight_decay": 1e-5, "noise_std": 1e-5},
            "continual-backprop": {
                "replacement_rate": 3e-4,
                "maturity": 100,
                "utility": "adaptable_contribution",
                "utility_decay": 0.99,
                "replacement": "counter",
                "profile": "code",
            },
        },
    ),
    "continual_envs/KumarContinualImageNet-v0": Preset(
        tasks=500, problem={"dataset": "imagenet"}, agents=KUMAR
    ),
    # Every published arm has the weight decay: l2, fresh+l2, head-reset+l2, shrink-perturb and
    # l2+continual-backprop.
    "continual_envs/IncrementalCIFAR100-v0": Preset(
        tasks=20,
        agents={
            "*": {
                "network": "resnet18",
                "step_size": 0.1,
                "momentum": 0.9,
                "decay_epochs": [60, 120, 160],
            },
            "adam": {"step_size": 1e-3},  # not published; the usual one
            "l2": {"weight_decay": 5e-4},
            "shrink-perturb": {"weight_decay": 5e-4, "noise_std": 1e-5},
            "continual-backprop": {
                "replacement_rate": 1e-5,
                "maturity": 1000,
                "utility": "contribution",
                "utility_decay": 0.99,
                "replacement": "counter",
                "profile": "code",
            },
        },
    ),
    **{f"continual_envs/Slippery{body}-v0": Preset(tasks=10, agents=PPO) for body in SLIPPERY},
    **{f"continual_envs/Stationary{body}-v0": Preset(tasks=50, agents=PPO) for body in STATIONARY},
}


def lookup(problem: str, preset: str) -> Preset:
    """Return the preset of a problem; one without a laptop entry has 50 tasks and no settings.

    Raises:
        ValueError: an unknown preset, or a problem that the paper does not have.
    """
    checks.one_of("preset", preset, ("laptop", "paper"))
    if preset == "paper" and problem not in PAPER:
        published = ", ".join(name.rpartition("/")[2] for name in PAPER)
        raise ValueError(f"preset: paper has no settings for {problem}; it has {published}")
    return PAPER[problem] if preset == "paper" else LAPTOP.get(problem, Preset())


def agent_settings(preset: Preset, agent: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the preset's settings of an agent, under the names in `known`."""
    build, parts = registry.factory(agent), agent.split("+")
    public = getattr(build, "public", lambda part, name: name)
    result = {public("*", name): value for name, value in preset.agents.get("*", {}).items()}
    for part, values in preset.agents.items():
        for key, value in values.items() if part in parts else ():
            owner, _, name = key.rpartition(".")
            if not owner or owner in parts:
                result[public(owner or part, name)] = value
    return {name: value for name, value in result.items() if name in known}

"""The tables of problems: one row makes an id known to Gymnasium, single and vectorised."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from continual_envs import checks

NAMESPACE = "continual_envs"

STREAMS = "continual_envs.streams"
# An id, its stream, and the defaults of its settings that differ from the signature.
PROBLEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "PermutedMNIST-v0": ("permuted_mnist:PermutedMNIST", {}),
    "PermutedDigits-v0": ("permuted_digits:PermutedDigits", {}),
    "SlowlyChangingRegression-v0": ("slowly_changing_regression:SlowlyChangingRegression", {}),
    "ContinualImageNet-v0": (
        "continual_imagenet:ContinualImageNet",
        {"batch_size": 100, "disclosure": "signalled"},
    ),
    "KumarContinualImageNet-v0": (
        "continual_imagenet:KumarContinualImageNet",
        {"batch_size": 100, "disclosure": "signalled"},
    ),
    "ProceduralPairs-v0": (
        "procedural_pairs:ProceduralPairs",
        {"batch_size": 100, "disclosure": "signalled"},
    ),
    "IncrementalCIFAR100-v0": (
        "incremental_cifar100:IncrementalCIFAR100",
        {"batch_size": 90, "disclosure": "signalled"},
    ),
}

BODIES = "continual_envs.control"
# An id, its body, its drift, steps of a task, and the time limit of an episode.
CONTROL: dict[str, tuple[str, str, int, int]] = {
    "SlipperyAnt-v0": ("mujoco:Ant", "friction", 2_000_000, 1000),
    "SlipperyHopper-v0": ("mujoco:Hopper", "friction", 2_000_000, 1000),
    "SlipperyWalker2d-v0": ("mujoco:Walker2d", "friction", 2_000_000, 1000),
    "SlipperyHalfCheetah-v0": ("mujoco:HalfCheetah", "friction", 2_000_000, 1000),
    "StationaryAnt-v0": ("mujoco:Ant", "none", 1_000_000, 1000),
    "StationaryHopper-v0": ("mujoco:Hopper", "none", 1_000_000, 1000),
    "StationaryWalker2d-v0": ("mujoco:Walker2d", "none", 1_000_000, 1000),
    "DriftingCartPole-v0": ("classic:CartPole", "offset", 80_000, 500),
    "DriftingAcrobot-v0": ("classic:Acrobot", "offset", 80_000, 500),
}


def register_stream(id: str, stream: str, **settings: Any) -> None:
    """Register a supervised problem with Gymnasium.

    Args:
        id: full environment id with a version, such as "mine/Drift-v0".
        stream: "module:Class" of a `continual_envs.core.Stream` subclass.
        **settings: defaults of its settings that differ from its signature; plain values.
    """
    gym.register(
        id=id,
        entry_point="continual_envs.environment:StreamEnv",
        vector_entry_point="continual_envs.environment:StreamVectorEnv",
        kwargs={"stream": stream, **settings},
    )


def register_control(
    id: str, body: str, *, drift: str, period: int, max_episode_steps: int, **settings: Any
) -> None:
    """Register a drifting environment with Gymnasium.

    Args:
        id: full environment id with a version, such as "mine/SlipperySnake-v0".
        body: "module:Class" of a `continual_envs.control.body.Body` subclass.
        drift: default of what changes.
        period: default of the mean steps of a task.
        max_episode_steps: the body's `episode_steps`.
        **settings: defaults of other settings of `control.drift.DriftEnv`; plain values.

    Raises:
        ValueError: a setting that it does not have.
    """
    for name in settings:
        checks.one_of("setting", name, ("low", "high", "scale", "schedule", "disclosure"))
    gym.register(
        id=id,
        entry_point="continual_envs.control.drift:DriftEnv",
        vector_entry_point="continual_envs.control.vector:DriftVectorEnv",
        max_episode_steps=max_episode_steps,
        kwargs={"body": body, "drift": drift, "period": period, **settings},
    )


def is_stream(spec: EnvSpec) -> bool:
    """Return whether a registered environment is a supervised stream: it is made from one."""
    return "stream" in spec.kwargs


def is_drift(spec: EnvSpec) -> bool:
    """Return whether a registered environment is a drifting one: it is made from a body."""
    return {"body", "drift", "period"} <= spec.kwargs.keys()


def register_problems() -> None:
    """Register every row of the tables; called by `import continual_envs`."""
    for name, (stream, settings) in PROBLEMS.items():
        register_stream(f"{NAMESPACE}/{name}", f"{STREAMS}.{stream}", **settings)
    for name, (body, drift, period, limit) in CONTROL.items():
        register_control(
            f"{NAMESPACE}/{name}",
            f"{BODIES}.{body}",
            drift=drift,
            period=period,
            max_episode_steps=limit,
        )

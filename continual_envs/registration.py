"""The table of problems: one row makes an id known to Gymnasium, single and vectorised."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

NAMESPACE = "continual_envs"

PROBLEMS = {
    "PermutedMNIST-v0": "continual_envs.streams.permuted_mnist:PermutedMNIST",
    "PermutedDigits-v0": "continual_envs.streams.permuted_digits:PermutedDigits",
    "SlowlyChangingRegression-v0": (
        "continual_envs.streams.slowly_changing_regression:SlowlyChangingRegression"
    ),
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


def register_problems() -> None:
    """Register every row of the table; called by `import continual_envs`."""
    for name, stream in PROBLEMS.items():
        register_stream(f"{NAMESPACE}/{name}", stream)

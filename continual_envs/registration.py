"""The table of problems: one row makes an id known to Gymnasium, single and vectorised."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

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
    for name, (stream, settings) in PROBLEMS.items():
        register_stream(f"{NAMESPACE}/{name}", f"{STREAMS}.{stream}", **settings)

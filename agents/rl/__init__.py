"""Algorithms of Stable-Baselines3 as agents of the suite."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.rl.sb3 import SB3Agent


def build(*spaces: Any, **arguments: Any) -> SB3Agent:
    """Return an `SB3Agent` of these arguments.

    Raises:
        ValueError: Stable-Baselines3 is not installed, or refuses a setting.
    """
    if find_spec("stable_baselines3") is None:
        raise ValueError(
            "agent: Stable-Baselines3 is not installed; run pip install 'continual-envs[sb3]'"
        )
    from agents.rl.sb3 import SB3Agent

    return SB3Agent(*spaces, **arguments)

"""What a simulator needs to drift: a way to make it, to change it in place, to save it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym

from continual_envs.control.changes import Change


class Body(ABC):
    """A bare simulator, without wrappers, whose physics can be changed in place.

    Attributes:
        name: of the simulator, with a version; part of the content hash.
        episode_steps: the time limit of an episode, as registered.
        drifts: what can drift, with default ranges. The values of a `LogUniform` go to `apply`.
        distributions: whose versions a result depends on, besides Gymnasium's.
        env: the simulator; observations are vectors, actions Discrete or a bounded Box.
    """

    name: ClassVar[str]
    episode_steps: ClassVar[int]
    drifts: ClassVar[Mapping[str, Change]]
    distributions: ClassVar[tuple[str, ...]] = ()
    env: gym.Env[Any, Any]

    @abstractmethod
    def __init__(self, render_mode: str | None = None) -> None:
        """Make the simulator.

        Raises:
            ValueError: something that it needs is not installed; one line says how to get it.
        """

    @abstractmethod
    def apply(self, drift: str, value: float) -> None:
        """Set the physics from now on, through resets too, whatever it was before."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return all that decides how the simulator goes on but for what `apply` sets.

        Plain arrays, numbers and strings; its generator included.
        """

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`; needs no reset before."""

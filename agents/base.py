"""The two small protocols by which anything takes part; no inheritance needed.

A *learner* is a supervised update rule, an *agent* is anything that acts in an environment. Every
learner becomes an agent through `LearnerAgent`. An agent that must step its environments itself has
`OwnsLoop` instead of `act` and `learn`. What a plugin can do beyond the minimum it says by
having the methods of `Inspectable`, `Checkpointable` or `Rewindable`, the attribute
`needs_boundary`, or `on_privileges(info)`: told, at least before every pass and maybe again within
it, what the protocol discloses. Examples that a task holds out are shown to `act` after the last
`learn` of a pass; an agent that has then started over, since it was told of a switch, may have
`answer(observation)`, which is asked in place of `act` and says what it would have said before.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from continual_envs.core import Chunk

Array = NDArray[Any]


@dataclass(frozen=True)
class Transition:
    """One step of an environment as an agent sees it; `info` holds exactly what is disclosed."""

    observation: Any
    action: Any
    reward: float
    next_observation: Any
    terminated: bool
    truncated: bool
    info: dict[str, Any]


@runtime_checkable
class Agent(Protocol):
    """Anything that acts in an environment."""

    def act(self, observation: Any) -> Any:
        """Return an action for `observation`; acting twice gives the same answer."""

    def learn(self, transition: Transition) -> None:
        """Learn from one transition, after its action was scored."""


@runtime_checkable
class Learner(Protocol):
    """A supervised update rule; outputs are class scores (n, classes) or values (n, 1)."""

    def predict(self, inputs: Array) -> Array:
        """Return the outputs for inputs (n, d) and change nothing."""

    def update(self, inputs: Array, targets: Array) -> Array:
        """Learn from inputs (n, d) and targets (n,); return what `predict` said before.

        A learner that says of a batch to learn from something else than of one to be tested on, as
        with batch normalisation, returns that, and has a method `anticipate(inputs)` that says it.
        """

    def update_many(self, chunk: Chunk) -> Array:
        """Update on the chunk batch by batch; return every output before its own update."""


@runtime_checkable
class Rewindable(Protocol):
    """Can go back to earlier parameters, for protocols that stop early."""

    def snapshot(self) -> Any:
        """Return a copy of parameters and running statistics: plain tensors, arrays, numbers."""

    def rewind(self, snapshot: Any) -> None:
        """Put them back; the optimizer stays as it is."""


@runtime_checkable
class Checkpointable(Protocol):
    """Can be stopped and continued: plain tensors, arrays, numbers and strings only."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides what comes next."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`; tensors read from a file are on the CPU."""


@dataclass(frozen=True)
class Inspection:
    """What the measures read of a network, as numpy arrays.

    Attributes:
        features: activations h of each hidden layer on the probe, (n, units); of a channel the
            mean |h| over its positions. A residual stream is a layer at each point where it is
            read.
        weights: weight matrices and kernels.
        parameters: all parameters.
        initial_parameters: the same at the (latest) initialisation.
        gradients: gradient of the mean loss on the probe, one array a parameter.
        active: share of the probe's examples (and positions) where a unit is not 0, (units,) of
            each hidden layer.
    """

    features: list[Array]
    weights: list[Array]
    parameters: list[Array]
    initial_parameters: list[Array]
    gradients: list[Array]
    active: list[Array] = field(default_factory=list)


@runtime_checkable
class Inspectable(Protocol):
    """Lets the evaluation look inside a supervised learner or agent; changes nothing."""

    def inspect(self, inputs: Array, targets: Array) -> Inspection:
        """Return activations, weights and gradients on a probe of (n, d) inputs."""


@runtime_checkable
class OwnsLoop(Protocol):
    """Steps its environments itself, in cycles between which it can be measured and saved.

    `copies` is how many copies of one problem it lives in. It may also have `updates`, the
    optimizer steps so far; `cycle_steps`, the steps of all copies in a cycle; `on_task_switch()`
    with `needs_boundary`, called between cycles; `inspect(observations)`, which returns an
    `Inspection` of the latest observations (n, d), without gradients; `take_largest_change()`, the
    largest sum of |change| over all parameters in one rollout's updates since it was last asked.
    """

    copies: int

    def enter(self, envs: Sequence[gym.Env[Any, Any]]) -> None:
        """Live in these copies from now on; copy i is reset with the agent's seed + i."""

    def cycle(self) -> None:
        """Act for a while and learn from it."""


def decide(outputs: Array, action_space: spaces.Space[Any], n: int) -> Array:
    """Turn outputs (n, k) into predictions (n,): the first best class, or the value.

    Raises:
        ValueError: the outputs have another shape: k is the number of classes, or 1 for values.
    """
    regression = isinstance(action_space, spaces.Box)
    k = 1
    if isinstance(action_space, spaces.MultiDiscrete):
        k = int(action_space.nvec[0])
    elif isinstance(action_space, spaces.Discrete):
        k = int(action_space.n)
    if np.shape(outputs) != (n, k):
        raise ValueError(f"outputs: shape {np.shape(outputs)} is not allowed; give ({n}, {k})")
    predictions: Array = outputs[:, 0] if regression else np.argmax(outputs, axis=1)
    return predictions


class LearnerAgent:
    """A learner that acts: predicts what it is shown and updates when told the target.

    Attributes:
        learner: the learner inside.
        outputs: its outputs for the latest observation, shape (B, k).
    """

    def __init__(self, learner: Learner, action_space: spaces.Space[Any]) -> None:
        self.learner = learner
        self.needs_boundary = bool(getattr(learner, "needs_boundary", False))
        self.outputs: Array | None = None
        self._told: dict[str, Any] = {}
        self._action_space = action_space
        self._single = isinstance(action_space, spaces.Discrete) or action_space.shape == (1,)

    def begin(self, info: dict[str, Any]) -> None:
        """Take note of what is disclosed with an observation: the first, before any transition."""
        # Copies, since an environment may use its arrays again.
        self._told = {key: copy.copy(value) for key, value in info.items() if key != "target"}

    def settle(self) -> None:
        """Tell the learner what was disclosed with the present observation; `act` does so first."""
        told, self._told = self._told, {}
        if self.needs_boundary and told.get("task_switch"):
            self.learner.on_task_switch()  # type: ignore[attr-defined]
        if told and hasattr(self.learner, "on_privileges"):
            self.learner.on_privileges(told)

    def act(self, observation: Any) -> Any:
        """Return the learner's prediction for one observation or a batch."""
        self.settle()
        said = getattr(self.learner, "anticipate", self.learner.predict)
        batch = self._batch(observation)
        self.outputs = said(batch)
        actions = decide(self.outputs, self._action_space, len(batch))
        return actions[0] if isinstance(self._action_space, spaces.Discrete) else actions

    def learn(self, transition: Transition) -> None:
        """Update on the observation and the target that `info` has disclosed."""
        targets = np.reshape(transition.info["target"], -1)
        self.learner.update(self._batch(transition.observation), targets)
        self.begin(transition.info)

    def state_dict(self) -> dict[str, Any]:
        """Return the learner's state."""
        state: dict[str, Any] = self.learner.state_dict()  # type: ignore[attr-defined]
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the learner's state."""
        self.learner.load_state_dict(state)  # type: ignore[attr-defined]

    def _batch(self, observation: Any) -> Array:
        batch: Array = np.asarray(observation)
        return batch[None] if self._single and batch.ndim in (1, 3) else batch

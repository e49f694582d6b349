"""CartPole and Acrobot of Gymnasium's classic control, which need nothing installed.

The default drift is that of the control experiments of TRAC (Muppidi et al., 2024): a fixed offset
on every sensor, normal with standard deviation 2, none at the first level. A level of theirs is 200
iterations of up to two episodes of 400 steps, and so has no fixed number of steps; ours, the
registered period, is 80,000. Episodes are up to 500 steps long, as Gymnasium has them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from gymnasium.envs.classic_control.acrobot import AcrobotEnv
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from continual_envs.control.body import Body
from continual_envs.control.changes import Change, LogUniform, Offset, Unchanged


class Classic(Body):
    """A simulator whose state is the attribute `state` and a generator."""

    episode_steps: ClassVar[int] = 500
    drifts: ClassVar[Mapping[str, Change]] = {
        "offset": Offset(2.0),
        "length": LogUniform(0.5, 2.0),
        "mass": LogUniform(0.5, 2.0),
        "force": LogUniform(0.5, 2.0),
        "none": Unchanged(),
    }
    env: Any

    @abstractmethod
    def apply(self, drift: str, value: float) -> None:
        """Multiply the simulator's own length, mass or force by `value`."""

    def state_dict(self) -> dict[str, Any]:
        """Return state and generator."""
        state = self.env.state
        return {
            "state": None if state is None else np.array(state),
            "np_random": self.env.np_random.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.env.state = None if state["state"] is None else np.array(state["state"])
        self.env.np_random.bit_generator.state = state["np_random"]


class CartPole(Classic):
    """Balance a pole on a cart; length and mass are those of the pole."""

    name: ClassVar[str] = "CartPole-v1"

    def __init__(self, render_mode: str | None = None) -> None:
        self.env = CartPoleEnv(render_mode=render_mode)
        self._own = self.env.length, self.env.masspole, self.env.force_mag

    def apply(self, drift: str, value: float) -> None:
        """Multiply the pole's half-length, its mass or the force on the cart by `value`."""
        env = self.env
        env.length, env.masspole, env.force_mag = (
            own * (value if drift == name else 1.0)
            for own, name in zip(self._own, ("length", "mass", "force"), strict=True)
        )
        env.total_mass = env.masspole + env.masscart
        env.polemass_length = env.masspole * env.length

    def state_dict(self) -> dict[str, Any]:
        """Return state, generator, and how long ago the pole fell."""
        return super().state_dict() | {"fallen": self.env.steps_beyond_terminated}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        super().load_state_dict(state)
        self.env.steps_beyond_terminated = state["fallen"]


class Acrobot(Classic):
    """Swing two links up; both keep their shape, so that lengths, masses and inertias agree.

    A factor f on the length of both links moves their centres of mass by f and multiplies their
    moments of inertia by f^2; the goal, one link above the axle, is one link of that length. A
    factor f on their masses multiplies the moments by f, which is a torque of 1/f.
    """

    name: ClassVar[str] = "Acrobot-v1"

    def __init__(self, render_mode: str | None = None) -> None:
        self.env = AcrobotEnv(render_mode=render_mode)

    def apply(self, drift: str, value: float) -> None:
        """Multiply the length of both links, their mass or the torque by `value`."""
        length, mass, force = (
            value if drift == name else 1.0 for name in ("length", "mass", "force")
        )
        env, own = self.env, AcrobotEnv
        env.LINK_LENGTH_1, env.LINK_LENGTH_2 = (
            length * own.LINK_LENGTH_1,
            length * own.LINK_LENGTH_2,
        )
        env.LINK_COM_POS_1, env.LINK_COM_POS_2 = (
            length * own.LINK_COM_POS_1,
            length * own.LINK_COM_POS_2,
        )
        env.LINK_MASS_1, env.LINK_MASS_2 = mass * own.LINK_MASS_1, mass * own.LINK_MASS_2
        env.LINK_MOI = mass * length**2 * own.LINK_MOI
        env.AVAIL_TORQUE = [force * torque for torque in own.AVAIL_TORQUE]

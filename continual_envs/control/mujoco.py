"""Ant, Hopper, Walker2d and HalfCheetah of Gymnasium, for which MuJoCo must be installed.

The friction drift is that of Dohare et al. (Nature 2024): one sliding coefficient for all geoms,
log-uniform in [0.02, 2], drawn anew every two million steps. It is set on every geom, since MuJoCo
takes the larger of the two in a contact and the floor's alone would change nothing.

Differs from the paper in: bodies of version 5 on the `mujoco` package, not of version 3 on
`mujoco-py`, so that returns cannot be compared with the paper's; values are a function of (seed,
task), not of its file; a switch is due a period after the last one was due, where the published
code counts from the last switch itself. As there, the first task's friction is drawn too.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from continual_envs.control.body import Body
from continual_envs.control.changes import Change, LogUniform, Offset, Unchanged

OLDEST, NEWEST = (3, 1), (4, 0)  # trajectories of version 4 differ from those of version 3
INSTALL = "pip install 'continual-envs[mujoco]'"


class MuJoCo(Body):
    """One of Gymnasium's bodies: `name` is that of its module and class in lower case.

    Attributes:
        module: of its class in `gymnasium.envs.mujoco`.
        kind: name of its class.
    """

    module: ClassVar[str]
    kind: ClassVar[str]
    episode_steps: ClassVar[int] = 1000
    distributions: ClassVar[tuple[str, ...]] = ("mujoco",)
    drifts: ClassVar[Mapping[str, Change]] = {
        "friction": LogUniform(0.02, 2.0),
        "gravity": LogUniform(0.5, 2.0),
        "offset": Offset(1.0),
        "none": Unchanged(),
    }
    env: Any

    def __init__(self, render_mode: str | None = None) -> None:
        self._mujoco = mujoco = _required(self.name)
        module = importlib.import_module(f"gymnasium.envs.mujoco.{self.module}")
        heard = mujoco.get_mju_user_warning()
        mujoco.set_mju_user_warning(_ignore)
        try:
            self.env = getattr(module, self.kind)(render_mode=render_mode)
        finally:
            mujoco.set_mju_user_warning(heard)
        self._gravity = np.array(self.env.model.opt.gravity)

    def apply(self, drift: str, value: float) -> None:
        """Set the sliding friction of every geom, or multiply the body's own gravity."""
        model = self.env.model
        if drift == "friction":
            model.geom_friction[:, 0] = value
        else:
            model.opt.gravity[:] = value * self._gravity

    def state_dict(self) -> dict[str, Any]:
        """Return the integrator's state, every array of the simulation, and the generator.

        The integrator's state alone is not enough: Ant's reward reads positions left behind by the
        last substep.
        """
        model, data = self.env.model, self.env.data
        spec = self._mujoco.mjtState.mjSTATE_INTEGRATION
        integration = np.empty(self._mujoco.mj_stateSize(model, spec))
        self._mujoco.mj_getState(model, data, integration, spec)
        return {
            "integration": integration,
            "arrays": {name: np.array(getattr(data, name)) for name in _arrays(data)},
            "np_random": self.env.np_random.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`; arrays sized by the present contacts are left to the next step."""
        model, data = self.env.model, self.env.data
        spec = self._mujoco.mjtState.mjSTATE_INTEGRATION
        self._mujoco.mj_setState(model, data, np.array(state["integration"]), spec)
        for name, saved in state["arrays"].items():
            array = getattr(data, name)
            if array.shape == saved.shape:
                array[...] = saved
        self.env.np_random.bit_generator.state = state["np_random"]


class Ant(MuJoCo):
    """A torso on four legs."""

    name, module, kind = "Ant-v5", "ant_v5", "AntEnv"


class Hopper(MuJoCo):
    """One leg that hops in a plane."""

    name, module, kind = "Hopper-v5", "hopper_v5", "HopperEnv"


class Walker2d(MuJoCo):
    """Two legs that walk in a plane."""

    name, module, kind = "Walker2d-v5", "walker2d_v5", "Walker2dEnv"


class HalfCheetah(MuJoCo):
    """Two legs that run in a plane; its episodes end by the time limit only."""

    name, module, kind = "HalfCheetah-v5", "half_cheetah_v5", "HalfCheetahEnv"


def _ignore(message: str) -> None:
    """Drop what MuJoCo says of Gymnasium's model files (HalfCheetah's has a deprecated attribute).

    It would be written to a file in the working folder at every making.
    """


def _arrays(data: Any) -> tuple[str, ...]:
    """Return the names of the arrays of a simulation."""
    public = (name for name in dir(data) if not name.startswith("_"))
    return tuple(name for name in public if isinstance(getattr(data, name), np.ndarray))


def _required(body: str) -> Any:
    """Return the module `mujoco`.

    Raises:
        ValueError: it, or what Gymnasium's bodies import beside it, is absent or not supported.
    """
    for name in ("mujoco", "imageio", "packaging"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ValueError(f"{name}: not installed; {body} needs it: {INSTALL}") from error
    mujoco = importlib.import_module("mujoco")
    if not OLDEST <= tuple(map(int, mujoco.__version__.split(".")[:2])) < NEWEST:
        raise ValueError(
            f"mujoco: version {mujoco.__version__} is not allowed; "
            f"{body} needs at least 3.1 and below 4: {INSTALL}"
        )
    return mujoco

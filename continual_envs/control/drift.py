"""A simulator whose physics or sensors drift, as an environment."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Any, get_args

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from continual_envs import checks
from continual_envs.control.body import Body
from continual_envs.control.changes import LogUniform, Offset, adjusted
from continual_envs.control.schedule import Kind, Schedule
from continual_envs.control.stream import DriftStream
from continual_envs.core import Clock
from continual_envs.reel import Disclosure
from continual_envs.seeding import Purpose, words


class Tally:
    """What the copies of one stream share: its seed and the steps of all of them together.

    Attributes:
        seed: of the stream; -1 before the first reset of any copy.
        steps: since the stream began.
        life: how often a stream was started; a copy that was not reset since is of an earlier one.
    """

    def __init__(self) -> None:
        self.seed, self.steps, self.life = -1, 0, 0

    def start(self, seed: int) -> None:
        """Start a stream at its step 0."""
        self.seed, self.steps, self.life = seed, 0, self.life + 1


class DriftEnv(gym.Env[NDArray[Any], Any]):
    """A body whose physics or sensors are others in every task; the agent sees only the body.

    `reset(seed=s)` starts stream s at task 0. `reset()` begins a new episode of the same stream,
    and is where a task ends: the first episode end at or after the task's nominal last step moves
    on to the next task, by one at most. What a task is depends on (seed, index) alone, when it
    comes also on the agent. Observations, rewards and ends are the simulator's; its own `info` is
    passed on.

    Args:
        body: a `control.body.Body` subclass or its "module:Class".
        drift: what changes, one of the body's `drifts`; "none" leaves tasks that are all the same.
        low: least value of a drift with a range, above 0; None is the body's default for it.
        high: largest value.
        scale: standard deviation of a drift of sensors; None is the body's default.
        period: mean steps of a task, counted over all copies of the stream.
        schedule: "periodic", or "random": lengths uniform in [period / 2, 3 * period / 2].
        disclosure: "hidden" tells nothing of tasks; "signalled" adds `info["task_switch"]`, true
            when the returned observation is the first of a new task; "identified" also
            `info["task"]`.
        render_mode: of the simulator.

    Raises:
        ValueError: a setting is unknown or out of range, or the simulator not installed; one line
            says which.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array", "depth_array", "rgbd_tuple"]}

    def __init__(
        self,
        body: str | type[Body],
        *,
        drift: str,
        low: float | None = None,
        high: float | None = None,
        scale: float | None = None,
        period: int,
        schedule: Kind = "periodic",
        disclosure: Disclosure = "hidden",
        render_mode: str | None = None,
    ) -> None:
        self._kind = checks.loaded("body", body)
        checks.one_of("drift", drift, self._kind.drifts)
        self._drift = drift
        self._change = adjusted(self._kind.drifts[drift], drift, low=low, high=high, scale=scale)
        self._schedule = Schedule(schedule, period)
        self._disclosure = checks.one_of("disclosure", disclosure, get_args(Disclosure))
        self._body = self._kind(render_mode)
        inner = self._body.env
        _check_spaces(self._kind, inner)
        self.metadata, self.render_mode = inner.metadata, inner.render_mode
        self.action_space, space = inner.action_space, inner.observation_space
        if isinstance(self._change, Offset):
            space = spaces.Box(-np.inf, np.inf, space.shape, space.dtype)  # type: ignore[arg-type]
        self.observation_space = space
        self._tally, self._copy, self._life = Tally(), 0, -1
        self._stream = self._of(0)
        self._enter(0, 0)

    @property
    def stream(self) -> DriftStream:
        """What changes and when, for the seed being shown; for the evaluation."""
        return self._stream

    @property
    def clock(self) -> Clock:
        """Where the stream stands, in steps; for the recorder, never for the agent."""
        steps = self._tally.steps
        return Clock(self._task, steps - self._began, steps)

    @property
    def simulator(self) -> gym.Env[Any, Any]:
        """The bare simulator."""
        return self._body.env

    def share(self, tally: Tally, copy: int) -> None:
        """Become copy `copy` of the stream that `tally` counts; to be called before any reset.

        Copy i of stream s is reset with seed s + i, as vector environments do; its episodes have
        noise of their own, which no copy of another stream has.
        """
        self._tally, self._copy = tally, copy

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start stream `seed` at task 0; without a seed, begin the next episode of the stream."""
        super().reset(seed=seed)
        tally, noise, switched = self._tally, None, False
        if seed is None and self._life == tally.life:
            switched = tally.steps >= self._end
            if switched:
                self._enter(self._task + 1, tally.steps)
        else:
            self._begin(seed)
            noise = self._noise(tally.seed)
        observation, info = self._body.env.reset(seed=noise, options=options)
        if self._offset is not None:
            observation = observation + self._offset
        return observation, self._told(info, switched)

    def step(self, action: Any) -> tuple[NDArray[Any], Any, bool, bool, dict[str, Any]]:
        """Take one step of the simulator; the task changes in `reset` only."""
        tally = self._tally
        if self._life != tally.life:
            raise gym.error.ResetNeeded("call reset before step")
        observation, reward, terminated, truncated, info = self._body.env.step(action)
        tally.steps += 1
        if self._offset is not None:
            observation = observation + self._offset
        if self._disclosure != "hidden":
            info = self._told(info, False)
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        """Render the simulator."""
        return self._body.env.render()

    def close(self) -> None:
        """Close the simulator."""
        self._body.env.close()

    def state_dict(self) -> dict[str, Any]:
        """Return where stream and simulator stand, as plain arrays, numbers and strings."""
        return {
            **self._identity(),
            "seed": self._tally.seed,
            "steps": self._tally.steps,
            "task": self._task,
            "began": self._began,
            "started": self._life == self._tally.life,
            "np_random": self.np_random.bit_generator.state,
            "simulator": self._body.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`, in the physics of its task; needs no reset before.

        Raises:
            ValueError: it is of another body, drift, range, schedule or copy.
        """
        for name, here in self._identity().items():
            if state[name] != here:
                raise ValueError(f"{name}: the state is of {state[name]!r}, not of {here!r}")
        tally = self._tally
        tally.seed, tally.steps = state["seed"], state["steps"]
        self._life = tally.life if state["started"] else -1
        self._stream = self._of(max(tally.seed, 0))
        self._enter(state["task"], state["began"])
        self.np_random.bit_generator.state = state["np_random"]
        self._body.load_state_dict(state["simulator"])

    def __getstate__(self) -> dict[str, Any]:
        """Pickle and copy the simulator by its state: Gymnasium's MuJoCo bodies would lose it."""
        return vars(self) | {"_body": self._body.state_dict()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        """Make the simulator anew."""
        vars(self).update(saved)
        self._body = self._kind(self.render_mode)
        self._enter(self._task, self._began)
        self._body.load_state_dict(saved["_body"])

    def _noise(self, seed: int) -> int:
        """Return the seed of this copy's episodes, of the first one that of the stream itself."""
        if self._copy == 0:
            return seed
        return int(words(seed, Purpose.COPIES, self._copy, 1)[0] >> np.uint64(33))

    def _identity(self) -> dict[str, Any]:
        return {
            "body": f"{self._kind.__module__}.{self._kind.__qualname__}",
            "drift": self._drift,
            "range": asdict(self._change),
            "schedule": asdict(self._schedule),
            "copy": self._copy,
        }

    def _of(self, seed: int) -> DriftStream:
        (sensors,) = self._body.env.observation_space.shape  # type: ignore[misc]
        return DriftStream(seed, self._kind, self._drift, self._change, self._schedule, sensors)

    def _begin(self, seed: int | None) -> None:
        """Start the stream of `seed`, or join the one that another copy has started."""
        tally = self._tally
        if seed is not None:
            seed = checks.integer("seed", seed, self._copy) - self._copy
        elif tally.seed >= 0:
            seed = tally.seed
        else:
            seed = int(self.np_random.bit_generator.random_raw()) >> 33  # type: ignore[attr-defined]
        if self._life == tally.life or seed != tally.seed:
            tally.start(seed)
        self._life = tally.life
        self._stream = self._of(seed)
        self._enter(0, 0)

    def _enter(self, task: int, began: int) -> None:
        """Have the physics and the sensors of a task that begins at step `began`."""
        self._task, self._began, self._end = task, began, self._stream.start(task + 1)
        self._offset: NDArray[Any] | None = None
        value = self._stream.value(task)
        if isinstance(self._change, Offset):
            self._offset = np.asarray(value, dtype=self.observation_space.dtype)
        elif isinstance(self._change, LogUniform):
            self._body.apply(self._drift, float(value))

    def _told(self, info: dict[str, Any], switched: bool) -> dict[str, Any]:
        """Return the simulator's info and what is disclosed of tasks."""
        if self._disclosure == "hidden":
            return info
        told = {**info, "task_switch": switched}
        return told if self._disclosure == "signalled" else {**told, "task": self._task}


def _check_spaces(kind: type[Body], env: gym.Env[Any, Any]) -> None:
    """Refuse a body whose observations are no vectors or whose actions nothing bounds."""
    seen, done = env.observation_space, env.action_space
    if not isinstance(seen, spaces.Box) or len(seen.shape) != 1:
        raise ValueError(f"body: {kind.__name__} shows {seen}; it must be a Box of one dimension")
    if not isinstance(done, spaces.Discrete):
        if not isinstance(done, spaces.Box) or not done.is_bounded():
            raise ValueError(f"body: {kind.__name__} takes {done}; give Discrete or a bounded Box")


def parameters() -> dict[str, inspect.Parameter]:
    """Return the settings of every drifting environment but its body and how it is rendered."""
    every = dict(inspect.signature(DriftEnv, eval_str=True).parameters)
    return {name: every[name] for name in every if name not in ("body", "render_mode")}

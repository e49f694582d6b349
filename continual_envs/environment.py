"""Streams as Gymnasium environments: one learner (`StreamEnv`) or several (`StreamVectorEnv`)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from continual_envs import checks
from continual_envs.core import Chunk, Clock, Stream
from continual_envs.reel import Disclosure, Inputs, Reel

LOOKED_AT = 200  # tasks whose passes must be whole batches, where tasks differ in length


class StreamEnv(gym.Env[Inputs, Any]):
    """A stream as an environment: predict the target of what is shown, then be told it.

    Observation: inputs, float32, shape (d,), or (B, d) with `batch_size=B`.
    Action: the prediction: a class (Discrete, MultiDiscrete of B) or values, shape (1,) or (B,).
    `step(prediction for x_t)` returns x_{t+1}, the reward for x_t (1/0 correct or minus the squared
    error; a batch's mean) and `info["target"]`, the target of x_t. `terminated` is always False.

    Args:
        stream: a Stream subclass or its "module:Class".
        batch_size: examples a step; None shows one example without a batch axis.
        num_tasks: truncate after so many tasks; None never ends.
        disclosure: "hidden" tells nothing of tasks; "signalled" adds `info["task_switch"]`, true
            when the returned observation is the first of a new task; "identified" also
            `info["task"]`.
        **settings: keyword arguments of the stream.

    Raises:
        ValueError: a setting is unknown or out of range; one line says which.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(
        self,
        stream: str | type[Stream],
        *,
        batch_size: int | None = None,
        num_tasks: int | None = None,
        disclosure: Disclosure = "hidden",
        **settings: Any,
    ) -> None:
        make, settings = _factory(stream, batch_size, settings)
        self._reel = Reel(make, settings, None, batch_size, num_tasks, disclosure)
        self.observation_space, self.action_space = _spaces(self.stream, batch_size)

    @property
    def stream(self) -> Stream:
        """The stream being read."""
        return self._reel.streams[0]

    @property
    def clock(self) -> Clock:
        """Where the stream stands; for the recorder, never for the agent."""
        return self._reel.clock

    @property
    def batch_size(self) -> int | None:
        """Examples a step, or None for one without a batch axis."""
        return self._reel.batch_size

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Inputs, dict[str, Any]]:
        """Start stream `seed` at task 0; without a seed, draw the seed of a new stream."""
        super().reset(seed=seed)
        self._reel.start(_stream_seed(self.np_random, seed), 0)
        return self.observe(), self._reel.disclosed()

    def step(self, action: Any) -> tuple[Inputs, float, bool, bool, dict[str, Any]]:
        """Score the prediction of the present example(s) and show the next; see the class.

        The last step of `num_tasks` tasks returns the last observation again, and truncates.

        Raises:
            ValueError: the action has the wrong shape, or is no label.
            RuntimeError: the stream has ended.
        """
        predictions = np.asarray(action)
        if predictions.shape != self.action_space.shape:
            raise ValueError(
                f"action: shape {predictions.shape} is not allowed; give {self.action_space.shape}"
            )
        targets = self._reel.targets()
        classes = self.stream.classes
        if classes is not None:
            _check_labels(predictions, classes)
        if self.batch_size is None:  # numpy is slow at single numbers
            value = reward(predictions.item(), targets.item(), classes)
        else:
            value = float(rewards(predictions, targets, classes).mean())
        truncated = self._reel.advance()
        info = {"target": targets, **self._reel.disclosed()}
        return self._reel.inputs(), value, False, truncated, info

    def observe(self) -> Inputs:
        """Return the present observation again, as after `load_state_dict`."""
        return self._reel.inputs()

    def disclosed(self) -> dict[str, Any]:
        """Return what is disclosed of the present observation, as `reset` and `step` did."""
        return self._reel.disclosed()

    def read(self, n: int) -> Chunk:
        """Return the next `n` examples as a chunk and move the clock past them, as steps would.

        Raises:
            ValueError: `n` is not a multiple of the batch size or passes the end of the stream.
        """
        return self._reel.read(n)

    def state_dict(self) -> dict[str, Any]:
        """Return the position and generator as plain numbers and strings."""
        return {**self._reel.state_dict(), "np_random": self.np_random.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where `state` was taken; needs no reset before."""
        self.np_random.bit_generator.state = state["np_random"]
        self._reel.load_state_dict(state)


class StreamVectorEnv(gym.vector.VectorEnv[Inputs, Any, NDArray[Any]]):
    """Several members of one problem in one array; member i of seed s is the stream of seed s + i.

    Everything is as in `StreamEnv` with a leading axis of `num_envs`. All members switch task
    together, so `clock` is one clock. Nothing ever ends but a finite stream, so there is nothing to
    reset: autoreset is DISABLED and a step after truncation raises.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}

    def __init__(
        self,
        stream: str | type[Stream],
        num_envs: int = 1,
        *,
        batch_size: int | None = None,
        num_tasks: int | None = None,
        disclosure: Disclosure = "hidden",
        **settings: Any,
    ) -> None:
        self.num_envs = checks.integer("num_envs", num_envs, 1)
        make, settings = _factory(stream, batch_size, settings)
        self._reel = Reel(make, settings, num_envs, batch_size, num_tasks, disclosure)
        single = _spaces(self.streams[0], batch_size)
        self.single_observation_space, self.single_action_space = single
        self.observation_space, self.action_space = (batch_space(s, num_envs) for s in single)

    @property
    def streams(self) -> Sequence[Stream]:
        """The members' streams."""
        return self._reel.streams

    @property
    def clock(self) -> Clock:
        """Where every member stands."""
        return self._reel.clock

    def reset(  # type: ignore[override]  # Gymnasium also allows a list of seeds
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Inputs, dict[str, Any]]:
        """Start the streams `seed`, `seed + 1`, ... at task 0."""
        super().reset(seed=seed)
        self._reel.start(_stream_seed(self.np_random, seed), 0)
        return self._reel.inputs(), self._info()

    def step(
        self, actions: Any
    ) -> tuple[Inputs, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Score every member's prediction and show the next examples."""
        predictions = np.asarray(actions)
        if predictions.shape != self.action_space.shape:
            raise ValueError(
                f"actions: shape {predictions.shape} is not allowed; give {self.action_space.shape}"
            )
        targets, classes = self._reel.targets(), self.streams[0].classes
        if classes is not None:
            _check_labels(predictions, classes)
        values = rewards(predictions, targets, classes)
        values = values.reshape(self.num_envs, -1).mean(axis=1)
        truncated = np.full(self.num_envs, self._reel.advance())
        info = self._info(target=targets)
        return self._reel.inputs(), values, np.zeros_like(truncated), truncated, info

    def state_dict(self) -> dict[str, Any]:
        """Return the position and generator as plain numbers and strings."""
        return {**self._reel.state_dict(), "np_random": self.np_random.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where `state` was taken; needs no reset before."""
        self.np_random.bit_generator.state = state["np_random"]
        self._reel.load_state_dict(state)

    def _info(self, **entries: Any) -> dict[str, Any]:
        """Return entries in Gymnasium's vector form: an array and a mask `_key` of who has it."""
        told = [self._reel.disclosed()]
        if told[0]:
            told += [self._reel.disclosed(member) for member in range(1, self.num_envs)]
        for key in told[0]:
            entries[key] = np.stack([np.asarray(mine[key]) for mine in told])
        everyone = np.ones(self.num_envs, dtype=bool)
        return entries | {f"_{key}": everyone for key in entries}


def _check_labels(predictions: NDArray[Any], classes: int) -> None:
    """Refuse what is no label; scored, an index off by one would look like a poor learner."""
    if predictions.ndim:
        low, high = predictions.min(), predictions.max()
    else:
        low = high = predictions.item()
    if not (predictions.dtype.kind in "iu" and 0 <= low and high < classes):
        wrong = low if low < 0 or high < classes else high
        raise ValueError(
            f"action: {wrong} is not allowed; give whole numbers from 0 to {classes - 1}"
        )


def reward(prediction: float, target: float, classes: int | None) -> float:
    """Return what `rewards` does of one example."""
    if classes is not None:
        return float(prediction == target)
    error = prediction - target
    return -(error * error)


def rewards(
    predictions: NDArray[Any], targets: NDArray[Any], classes: int | None
) -> NDArray[np.float64]:
    """Return 1/0 for correct labels, or minus the squared error, of each example."""
    if classes is not None:
        return (predictions == targets).astype(np.float64)
    errors = predictions.astype(np.float64)
    errors -= targets
    errors *= errors
    return np.negative(errors, out=errors)


def parameters(stream: str | type[Stream]) -> dict[str, inspect.Parameter]:
    """Return the settings of a problem: those of its stream, then those of every environment."""
    own = dict(inspect.signature(checks.loaded("stream", stream), eval_str=True).parameters)
    shared = dict(inspect.signature(StreamEnv, eval_str=True).parameters)
    for name in ("seed", "stream", "settings"):
        own.pop(name, None)
        shared.pop(name, None)
    return own | shared


def _factory(
    stream: str | type[Stream], batch_size: int | None, settings: dict[str, Any]
) -> tuple[Callable[[int], Stream], dict[str, Any]]:
    """Return seed -> stream and all its settings but the task length."""
    size = 1 if batch_size is None else checks.integer("batch_size", batch_size, 1)
    kind = checks.loaded("stream", stream)
    if "render_mode" in settings:  # the error by which Stable-Baselines3 learns there is none
        raise TypeError("got an unexpected keyword argument 'render_mode'")
    known = parameters(kind)
    for name in settings:
        checks.one_of("setting", name, known)
    settings = _in_whole_batches(kind, settings, size)
    own = inspect.signature(kind).parameters
    complete = {n: settings.get(n, p.default) for n, p in own.items()}
    for name in ("seed", "examples_per_task"):
        complete.pop(name, None)
    return functools.partial(kind, **settings), complete


def _in_whole_batches(kind: type[Stream], settings: dict[str, Any], size: int) -> dict[str, Any]:
    """Return settings whose passes are whole batches: a task length left to the stream is cut.

    Raises:
        ValueError: they are not, and the length is given or the stream's own.
    """
    one = kind(0, **settings)
    natural = one.examples_per_task // one.epochs
    if type(one).length is not Stream.length:
        passes = [one.length(index) // one.epochs for index in range(LOOKED_AT)]
        natural = next((n for n in passes if n % size), natural)
    if natural < size:
        raise ValueError(f"batch_size: {size} is not allowed; a task has {natural} examples")
    if natural % size == 0:
        return settings
    own = inspect.signature(kind).parameters
    if "examples_per_task" not in own:
        other = ", or other train_images" if "train_images" in own else ""
        raise ValueError(
            f"batch_size: {size} is not allowed; give a divisor of the {natural} examples of a pass"
            f"{other}"
        )
    if settings.get("examples_per_task") is not None:
        raise ValueError(
            f"examples_per_task: {natural} is not allowed; give a multiple of batch_size={size}"
        )
    return settings | {"examples_per_task": natural // size * size * one.epochs}


def _spaces(stream: Stream, batch_size: int | None) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    lead = () if batch_size is None else (batch_size,)
    low, high = stream.input_range
    observation = spaces.Box(low, high, (*lead, *stream.inputs_shape), np.float32)
    if stream.classes is None:
        limit = stream.limit
        return observation, spaces.Box(-limit, limit, (batch_size or 1,), np.float32)
    if batch_size is None:
        return observation, spaces.Discrete(stream.classes)
    return observation, spaces.MultiDiscrete([stream.classes] * batch_size)


def _stream_seed(generator: np.random.Generator, seed: int | None) -> int:
    """Return `seed`, or a new one: raw words, whose stream numpy promises across versions."""
    if seed is not None:
        return seed
    return int(generator.bit_generator.random_raw()) >> 33  # type: ignore[attr-defined]

"""Several streams read in step: the inside of the single and of the vector environment."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from continual_envs import checks
from continual_envs.core import Chunk, Clock, Stream

Disclosure = Literal["hidden", "signalled", "identified"]
Inputs = NDArray[np.float32]
READ_AHEAD = 2**22  # numbers, or 16 MiB, of inputs copied at once: what makes `step` cheap


class Reel:
    """Members' streams read in step, some steps ahead.

    Args:
        make: seed -> stream.
        settings: of the stream, defaults included; part of what a state is compared by.
        members: how many streams, of consecutive seeds; None is one without an axis of its own.
        batch_size: examples a step, a divisor of the task length; None is one.
        num_tasks: where a finite stream ends.
        disclosure: what `disclosed` tells.
    """

    def __init__(
        self,
        make: Callable[[int], Stream],
        settings: dict[str, Any],
        members: int | None,
        batch_size: int | None,
        num_tasks: int | None,
        disclosure: Disclosure,
    ) -> None:
        self.batch_size = batch_size
        self.size = batch_size or 1
        self.num_tasks = None if num_tasks is None else checks.integer("num_tasks", num_tasks, 1)
        levels = ("hidden", "signalled", "identified")
        self.disclosure = checks.one_of("disclosure", disclosure, levels)
        self._make, self._settings = make, settings
        self.streams = [make(seed) for seed in range(members or 1)]
        one = self.streams[0]
        self._tells = type(one).privileges is not Stream.privileges
        self._end = math.inf  # of the streams, once one has started
        lead = tuple(n for n in (members, batch_size) if n is not None)
        self._inputs_shape = (*lead, *one.inputs_shape)
        self._targets_shape = (*lead, 1) if batch_size is None and one.classes is None else lead
        self._position, self._clock = 0, Clock(0, 0, 0)
        self._started = False
        self._ahead = max(1, min(256, READ_AHEAD // math.prod(self._inputs_shape)))
        self._block_start = 0
        self._inputs: Inputs = np.empty(0, dtype=np.float32)
        self._targets: NDArray[Any] = np.empty(0)

    @property
    def clock(self) -> Clock:
        """Where every member stands."""
        if self._clock.examples != self._position:
            self._clock = Clock(*self.streams[0].locate(self._position), self._position)
        return self._clock

    def start(self, seed: int, position: int) -> None:
        """Stand at `position` of the streams `seed`, `seed + 1`, ..."""
        if seed != self.streams[0].seed:
            self.streams = [self._make(seed + i) for i in range(len(self.streams))]
            self._clock = Clock(0, 0, 0)  # tasks of another seed may have other lengths
        if self.num_tasks is not None:
            self._end = self.streams[0].start(self.num_tasks)
        self._position, self._started = position, True
        self._inputs = self._inputs[:0]

    def inputs(self) -> Inputs:
        """Return a copy of the present inputs, or of the last ones at the end.

        Shape (members, B, d), without the axes that there are not. A view would keep the whole
        block alive, and through its base show the examples to come.
        """
        row = self._row()  # may replace the block
        return self._inputs[row].copy()

    def targets(self) -> NDArray[Any]:
        """Return a copy of the present targets, in the shape of the action."""
        self._require_running()
        row = self._row()
        targets = self._targets[row]
        return targets.copy() if self._targets_shape else targets

    def advance(self) -> bool:
        """Move one step on; return whether a finite stream has now ended."""
        self._position += self.size
        return self._ended()

    def read(self, n: int) -> Chunk:
        """Return the next `n` examples of the only member and move past them."""
        self._require_running()
        checks.integer("n", n, 1)
        if n % self.size:
            raise ValueError(f"n: {n} is not allowed; give a multiple of batch_size={self.size}")
        left = self._end - self._position
        if n > left:
            raise ValueError(f"n: {n} is not allowed; num_tasks={self.num_tasks} leaves {left}")
        chunk = self.streams[0].chunk(self._position, n)
        self._position += n
        return chunk

    def disclosed(self, member: int = 0) -> dict[str, Any]:
        """Return what protocol and level of disclosure tell of a member's present observation."""
        if self.disclosure == "hidden" and not self._tells:
            return {}
        stream, ended = self.streams[member], self._ended()
        told = stream.privileges(*stream.locate(self._position - self.size * ended))
        if self.disclosure == "hidden":
            return told
        task, example = stream.locate(self._position)  # at the end, the last is shown again
        told |= {"task_switch": example == 0 and task > 0 and not ended}
        return told if self.disclosure == "signalled" else {**told, "task": task - ended}

    def state_dict(self) -> dict[str, Any]:
        """Return where the streams stand, and what they are."""
        seed = self.streams[0].seed
        where = {"stream_seed": seed, "position": self._position, "started": self._started}
        return where | self._identity()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where `state` was taken.

        Raises:
            ValueError: it is of another stream, setting, batch size or number of members.
        """
        for name, here in self._identity().items():
            if state[name] != here:
                raise ValueError(f"{name}: the state is of {state[name]!r}, not of {here!r}")
        self.start(state["stream_seed"], state["position"])
        self._started = state["started"]

    def _identity(self) -> dict[str, Any]:
        kind, length = type(self.streams[0]), self.streams[0].examples_per_task
        return {
            "stream": f"{kind.__module__}.{kind.__qualname__}",
            "settings": self._settings,
            "examples_per_task": length,
            "batch_size": self.batch_size,
            "members": len(self.streams),
        }

    def _row(self) -> int:
        """Return the row of the block that holds the present step, reading ahead if needed."""
        self._require_started()
        position = self._position - self.size * self._ended()
        row = (position - self._block_start) // self.size
        if not 0 <= row < len(self._inputs):
            self._fill(position)
            row = 0
        return row

    def _fill(self, position: int) -> None:
        task, example = self.streams[0].locate(position)
        left = (self.streams[0].length(task) - example) // self.size  # of this task, or 1
        steps, size = max(1, min(self._ahead, left)), self.size
        for member, stream in enumerate(self.streams):
            chunk = stream.chunk(position, steps * size)
            if member == 0:
                lead = (steps, len(self.streams), size)
                inputs = np.empty((*lead, *stream.inputs_shape), dtype=np.float32)
                targets = np.empty(lead, dtype=chunk.targets.dtype)
            inputs[:, member] = chunk.examples().reshape(steps, size, *stream.inputs_shape)
            targets[:, member] = chunk.targets.reshape(steps, size)
        self._inputs = inputs.reshape(steps, *self._inputs_shape)
        self._targets = targets.reshape(steps, *self._targets_shape)
        self._block_start = position

    def _ended(self) -> bool:
        return self._position >= self._end

    def _require_started(self) -> None:
        if not self._started:
            raise gym.error.ResetNeeded("call reset before step")

    def _require_running(self) -> None:
        self._require_started()
        if self._ended():
            raise RuntimeError(f"step: the stream ended after num_tasks={self.num_tasks} tasks")

"""Slowly-changing regression ("bit flipping"): a fixed target, inputs that drift a bit at a time.

Source: Dohare et al., Nature 632 (2024), arXiv 2306.13812, and its published code, which differs
from the text in three ways: how many bits change, whether the constant input is shown, and the
thresholds of half the target's units. `profile` says which is meant.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from continual_envs import checks
from continual_envs.core import Stream, Task
from continual_envs.seeding import Purpose, bits, words
from continual_envs.transforms import Identity

BITS, SLOW_BITS, UNITS, BETA = 20, 15, 100, 0.7


class SlowlyChangingRegression(Stream):
    """Predict the output of a fixed random network of 100 threshold units from 20 bits.

    15 slow bits stand still within a task; the other 5 are drawn anew for every example. The target
    network has weights and biases of +1 or -1; unit i fires if its pre-activation is above
    21 * 0.7 - S_i. Observation float32 of 0 and 1, shape (21,) with a constant 1 (profile "paper")
    or (20,) ("code"); action one value; outcome squared error, anchor the task's best constant.

    Args:
        seed: stream seed; also draws the target network.
        profile: "paper": S_i = number of -1 among the input weights and the bias. "code": the bias
            enters with the opposite sign, so S_i = (20 - sum of weights + bias) / 2.
        flip: "one" flips one slow bit at a switch, "all" draws all 15 anew; default "one" for
            profile "paper", "all" for "code".
        examples_per_task: examples between switches.
    """

    outcome: ClassVar[Literal["error"]] = "error"
    limit = UNITS + 1.0

    def __init__(
        self,
        seed: int,
        *,
        profile: Literal["paper", "code"] = "paper",
        flip: Literal["one", "all"] | None = None,
        examples_per_task: int = 10_000,
    ) -> None:
        super().__init__(seed)
        self._profile = checks.one_of("profile", profile, ("paper", "code"))
        default = "one" if profile == "paper" else "all"
        self._flip = checks.one_of("flip", default if flip is None else flip, ("one", "all"))
        self.examples_per_task = checks.integer("examples_per_task", examples_per_task, 1)
        self.inputs_shape = (BITS + 1,) if profile == "paper" else (BITS,)
        self._target = target_network(seed, self._profile)
        self._drifted = (0, bits(seed, Purpose.DRIFT, 0, (1, SLOW_BITS))[0])

    def task(self, index: int) -> Task:
        """Return task `index`: its slow bits beside fresh fast ones, and the target's outputs."""
        n = self.examples_per_task
        # A task has 2**5 different inputs: the target network is asked once about each.
        places = np.arange(BITS - SLOW_BITS)
        distinct = np.ones((2 ** len(places), BITS + 1), dtype=np.float32)
        distinct[:, :SLOW_BITS] = self._slow_bits(index)
        distinct[:, SLOW_BITS:BITS] = np.arange(len(distinct))[:, None] >> places & 1
        # The fast bits of an example are the low bits of a word, and so is the place of its input.
        drawn = words(self.seed, Purpose.NOISE, index, n).astype(np.int64) & (len(distinct) - 1)
        targets = target_outputs(distinct[:, :BITS], *self._target)[drawn]
        inputs = distinct[:, : self.inputs_shape[0]].take(drawn, axis=0)  # faster than by brackets
        return Task(index, inputs, np.arange(n), Identity(), targets)

    def _slow_bits(self, index: int) -> NDArray[np.uint8]:
        if self._flip == "all":
            return bits(self.seed, Purpose.DRIFT, index, (1, SLOW_BITS))[0]
        start, state = self._drifted
        if start > index:
            start, state = 0, bits(self.seed, Purpose.DRIFT, 0, (1, SLOW_BITS))[0]
        state = state.copy()
        for step in range(start + 1, index + 1):
            # 2**64 is not a multiple of 15: the remainder favours some bits by one part in 1e18
            state[int(words(self.seed, Purpose.DRIFT, step, 1)[0]) % SLOW_BITS] ^= 1
        self._drifted = (index, state)
        return state


def target_network(seed: int, profile: str) -> tuple[NDArray[np.float32], ...]:
    """Return weights (100, 20), biases and thresholds (100,), output weights and bias (101,)."""
    signs = 2.0 * bits(seed, Purpose.TARGET, 0, (UNITS, BITS + 2)).astype(np.float32) - 1
    weights, biases, outputs = signs[:, :BITS], signs[:, BITS], signs[:, BITS + 1]
    output_bias = 2.0 * bits(seed, Purpose.TARGET, 1, (1, 1)).astype(np.float32)[0] - 1
    if profile == "paper":
        negatives = (BITS + 1 - weights.sum(axis=1) - biases) / 2
    else:
        negatives = (BITS - weights.sum(axis=1) + biases) / 2
    thresholds = np.float32(BETA * (BITS + 1)) - negatives
    return weights, biases, thresholds, np.concatenate([outputs, output_bias])


def target_outputs(
    inputs: NDArray[np.float32],
    weights: NDArray[np.float32],
    biases: NDArray[np.float32],
    thresholds: NDArray[np.float32],
    outputs: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the target network's output for bits (n, 20): float32 (n,), exact small integers."""
    fires = inputs @ weights.T + biases > thresholds
    return (fires @ outputs[:-1] + outputs[-1]).astype(np.float32)

"""The fused engine: a NetworkLearner's mathematics in one compiled loop over examples (CPU)."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agents import seeding
from agents.base import Array, Inspection
from agents.engines import kernel, parts
from agents.engines.layout import Data, Net, Noise
from agents.engines.support import supports
from agents.learner import NetworkLearner
from agents.methods.continual_backprop import ContinualBackprop
from continual_envs.core import Chunk
from continual_envs.transforms import Identity, Pixels

DRAWS_AT_ONCE = 1 << 20


class FusedLearner:
    """Takes a learner over: the same protocol and the same mathematics, compiled.

    What the torch engine defines holds here to rounding, dropped and replaced units included. Only
    the noise of shrink and perturb is of draws of its own, of the same distribution. The learner
    given serves inspection and restarts from now on and is not to be used otherwise. Results do not
    depend on how examples are divided into chunks of whole batches.

    Args:
        learner: freshly built or restored.

    Raises:
        ValueError: it is not supported; one line says why.
    """

    def __init__(self, learner: NetworkLearner) -> None:
        if reason := supports(learner):
            raise ValueError(f"engine: 'fused' is not allowed; {reason}")
        self.learner = learner
        self.batch_size, self.needs_boundary = learner.batch_size, learner.needs_boundary
        replacing = [m for m in learner.methods if isinstance(m, ContinualBackprop)]
        self._take(max((int(method._updates) for method in replacing), default=0))

    def predict(self, inputs: Array) -> Array:
        """Return the outputs, (n, k), in evaluation mode; changes nothing."""
        data, (net, noise) = self._shown(inputs), self._settled()
        draws = None if self._parts.rule.keep == 1 else np.empty(0, np.float32)
        targets = np.zeros(len(inputs), self._dtype)
        return self._run(False, net, noise, draws, data, None, targets, 1)

    def update(self, inputs: Array, targets: Array) -> Array:
        """Take one step on (n, d) inputs and (n,) targets; return what `predict` said."""
        return self._learn(self._shown(inputs), None, targets, len(inputs))

    def update_many(self, chunk: Chunk) -> Array:
        """Update on every batch of the chunk in turn; return all outputs, (len(chunk), k)."""
        data, levels = self._read(chunk)
        return self._learn(data, levels, chunk.targets, self.batch_size)

    def prepare(self, chunk: Chunk) -> None:
        """Compile what chunks like this one need, if it is not in the cache; changes nothing."""
        none = replace(chunk, rows=chunk.rows[:0], which=chunk.which[:0], targets=chunk.targets[:0])
        with interrupts_held():
            self.update_many(none)

    def on_task_switch(self) -> None:
        """Tell the methods that the next example is of a new task."""
        if self.needs_boundary:
            clock = int(self._parts.net.clock[0])
            self.learner.on_task_switch()
            self._take(clock)

    def inspect(self, inputs: Array, targets: Array) -> Inspection:
        """Return activations, weights and the gradient of the mean loss on a probe."""
        net, noise = self._settled()
        if noise is not None and noise.lazy:
            kernel.pay_all(net, self._parts.rule, noise, self._work)
        parts.write_back(net, self._parts.online, self.learner)
        return self.learner.inspect(inputs, targets)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all arrays, debts included, and of what is left to the learner."""
        return {
            "arrays": {name: array.copy() for name, array in self._parts.state().items()},
            "initial": {name: value.clone() for name, value in self.learner._initial.items()},
            "dropout": self.learner._dropout.get_state(),
            "restarts": self.learner._restarts,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, taken from a fused learner of the same settings and seed."""
        for name, array in self._parts.state().items():
            array[...] = state["arrays"][name]
        self.learner._initial = {name: value.clone() for name, value in state["initial"].items()}
        seeding.restore(self.learner._dropout, state["dropout"])
        self.learner._restarts = int(state["restarts"])

    @property
    def _dtype(self) -> np.dtype[Any]:
        return self._parts.net.weights.dtype

    def _take(self, clock: int) -> None:
        self._parts = parts.take(self.learner, clock)
        self._work = parts.work(self._parts.net, self.batch_size)

    def _settled(self) -> tuple[Net, Noise | None]:
        """Return network and noise; copies where reading them pays debts."""
        net, noise = self._parts.net, self._parts.noise
        if noise is None or not noise.lazy:
            return net, noise
        return net._replace(weights=net.weights.copy()), noise._replace(paid=noise.paid.copy())

    def _learn(self, data: Data, levels: Array | None, targets: Array, batch: int) -> Array:
        net, noise, rule = self._parts.net, self._parts.noise, self._parts.rule
        goals = np.array(targets, self._dtype)
        if len(goals) != len(data.rows):
            raise ValueError(f"targets: {len(goals)} for {len(data.rows)} inputs; give one each")
        if not rule.regression:
            _check("targets", goals, int(net.sizes[-1]))
        if batch > self._work.lengths.shape[1]:
            self._work = parts.work(net, batch)
        said = []
        for span in self._spans(len(goals), batch):
            some = data._replace(rows=data.rows[span], which=data.which[span])
            draws = self._draws(span)
            said.append(self._run(True, net, noise, draws, some, levels, goals[span], batch))
        return said[0] if len(said) == 1 else np.concatenate(said)

    def _run(
        self,
        learning: bool,
        net: Net,
        noise: Noise | None,
        draws: Array | None,
        data: Data,
        levels: Array | None,
        goals: Array,
        batch: int,
    ) -> Array:
        out, own = np.empty((len(goals), net.sizes[-1]), self._dtype), self._parts
        with flushed():
            kernel.run(
                learning, net, own.rule, self._work, own.online, own.momentum, own.moments, noise,
                own.units, draws, data, levels, goals, None if batch == 1 else batch, out,
            )  # fmt: skip
        return out

    def _spans(self, n: int, batch: int) -> Iterator[slice]:
        """Yield all examples, or as many whole batches at a time as dropout draws for."""
        hidden, most = int(self._parts.net.sizes[1:-1].sum()), n
        if self._parts.rule.keep < 1 and hidden:
            most = max(DRAWS_AT_ONCE // (hidden * batch), 1) * batch
        for start in range(0, max(n, 1), max(most, 1)):
            yield slice(start, min(start + most, n))

    def _draws(self, span: slice) -> Array | None:
        """Draw what dropout needs for some examples: what torch would, layer by layer."""
        if self._parts.rule.keep == 1:
            return None
        n = (span.stop - span.start) * int(self._parts.net.sizes[1:-1].sum())
        drawn: Array = torch.rand(n, generator=self.learner._dropout).numpy()
        return drawn

    def _read(self, chunk: Chunk) -> tuple[Data, Array | None]:
        """Return a chunk as the kernel reads it, in place where it knows how."""
        inputs, places = chunk.inputs, int(self._parts.net.sizes[0])
        known = inputs.flags.c_contiguous and inputs.ndim == 2 and inputs.shape[1] >= places
        pixels = [t for t in chunk.transforms if type(t) is Pixels]
        alike = len(pixels) == len(chunk.transforms) and len({t.divisor for t in pixels}) == 1
        if known and alike and inputs.dtype == np.uint8:
            levels = np.arange(256, dtype=np.float32) / np.float32(pixels[0].divisor)
            columns = np.stack([t.columns for t in pixels])
            data = _data(inputs, chunk.rows, columns, chunk.which)
            return data, levels.astype(self._dtype)
        if known and inputs.dtype == self._dtype:
            if all(type(t) is Identity for t in chunk.transforms):
                return _data(inputs, chunk.rows, np.arange(places)[None], 0 * chunk.which), None
        return self._shown(chunk.examples()), None

    def _shown(self, inputs: Array) -> Data:
        """Return inputs (n, d) as the kernel reads them."""
        n, places = len(inputs), int(self._parts.net.sizes[0])
        if np.shape(inputs) != (n, places):
            raise ValueError(f"inputs: shape {np.shape(inputs)} is not allowed; give (n, {places})")
        rows, columns = np.arange(n), np.arange(places)[None]
        return _data(np.asarray(inputs, self._dtype), rows, columns, np.zeros(n, np.int64))


def _data(inputs: Array, rows: Array, columns: Array, which: Array) -> Data:
    """Return examples by index, checked: the kernel would read past the ends."""
    _check("rows", rows, len(inputs))
    _check("columns", columns, inputs.shape[1])
    _check("which", which, len(columns))
    return Data(*map(_frozen, (inputs, rows, columns, which)))


def _check(name: str, values: Array, end: int) -> None:
    if values.size and not (values.min() >= 0 and values.max() < end):
        raise ValueError(f"{name}: a value is not allowed; give whole numbers from 0 to {end - 1}")


def _frozen(array: Array) -> Array:
    """Return a read-only, contiguous view or copy: one type, so that one version is compiled."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait: a compiler that calls back into Python may lose the interrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield  # interrupts are the main thread's
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)
        if caught:
            signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    """Flush denormal numbers to zero on this thread, where moments that decay make many."""
    before = bool(np.float32(1e-38) * np.float32(0.1) == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)

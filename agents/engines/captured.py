"""One update of a stack of learners, recorded as a CUDA graph and replayed."""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from agents.base import Array
from agents.batch import Batch
from agents.engines.feed import Feed, Shown
from agents.engines.stack import Stack
from agents.learner import NetworkLearner, hooks

WARM_UP = 3  # updates made before one is recorded: libraries settle in them


class Recording(Protocol):
    """A recorded update."""

    def replay(self) -> None:
        """Make it again."""


class CapturedUpdate:
    """The update of `NetworkLearner`, of all members at once and without a look at any value.

    The first few updates are made one kernel after the other, as all are on another device.

    Args:
        learners: see `Stack`.

    Attributes:
        stack: what is updated.
        feed: where examples come from and outputs go to.
        records: whether updates are recorded.
    """

    def __init__(self, learners: Sequence[NetworkLearner]) -> None:
        first = learners[0]
        self.stack = Stack(learners)
        self.feed = Feed(
            members=len(learners),
            outputs=first.module.spec.outputs,
            batch=first.batch_size,
            targets=first._dtype if first.regression else torch.int64,
            dtype=first._dtype,
            device=first.device,
        )
        self._module, self._loss = first.module, first._loss
        self._two_modes, self._image = first.module.spec.two_modes, first.module.spec.image
        self._device, self._batch = first.device, first.batch_size
        self.records = first.device.type == "cuda"
        self._before = hooks(self.stack.methods, "before_step")
        self._after = hooks(self.stack.methods, "after_step")
        self._gradients: Callable[..., Any] = grad(self._judge, has_aux=True)
        if self.stack.lead:
            self._gradients = vmap(self._gradients)
        self._recording: Recording | None = None
        self._to_warm_up: float = 0

    def learn(self, examples: Sequence[Shown], at_once: bool = False) -> Array:
        """Update on the examples of every member; return outputs (P, n, k).

        Args:
            examples: of each member.
            at_once: in one update instead of batch by batch, the last of which may be smaller.
        """
        if self.feed.load(examples):
            self._recording = None
            self._to_warm_up = WARM_UP if self.records else math.inf
        n = len(examples[0].rows)
        whole = 0 if at_once and n != self._batch else n // self._batch
        self._run(whole)
        if rest := n - whole * self._batch:
            self._step(rest)
        return self.feed.answers(n)

    def _run(self, updates: int) -> None:
        first = int(min(updates, self._to_warm_up))
        if first:
            with _aside(self._device):
                for _ in range(first):
                    self._step(self._batch)
            self._to_warm_up -= first
        if updates == first:
            return
        if self._recording is None:
            self._recording = self._record()
        for _ in range(updates - first):
            self._recording.replay()

    def _record(self) -> Recording:
        """Record an update without making it."""
        with torch.cuda.device(self._device), _uncollected():
            graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            for generator in self._generators():
                graph.register_generator_state(generator)
            with torch.cuda.graph(graph, stream=stream):
                self._step(self._batch)
        return graph

    def _step(self, n: int) -> None:
        """Make the next update, of n examples of each member.

        It is what `NetworkLearner` defines, in a form that can be repeated: the host looks at no
        value and counts nothing, and whatever outlives the update stays where it lies.
        """
        stack, alone = self.stack, not self.stack.lead
        x, y = (t[0] if alone else t for t in self.feed.next(n))
        x = x.view(*x.shape[:-1], *self._image) if self._image else x
        gradients, (outputs, loss, features) = self._gradients(stack.params, x, y)
        said = self._evaluated(x) if self._two_modes else outputs
        for name, parameter in stack.params.items():
            parameter.grad = gradients[name].contiguous()
        with torch.no_grad():
            batch = Batch(x, y, said, loss, features)
            for before in self._before:
                before(batch)
            stack.optimizer.step()
            for after in self._after:
                after(batch)
            self.feed.answer(said[None] if alone else said)

    def _forward(self, params: dict[str, Tensor], x: Tensor) -> tuple[Tensor, list[Tensor]]:
        result: tuple[Tensor, list[Tensor]] = functional_call(self._module, params, (x,))
        return result

    def _judge(self, params: dict[str, Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, Any]:
        """Return a member's loss, for its gradient, and what else an update needs."""
        outputs, features = self._forward(params, x)
        loss = self._loss(outputs, y)
        return loss, (outputs, loss, features)

    def _evaluated(self, x: Tensor) -> Tensor:
        self._module.eval()
        outputs, _ = self._forward(self.stack.params, x)
        self._module.train()
        return outputs

    def _generators(self) -> list[torch.Generator]:
        """Return what an update draws from by state; only a single network does."""
        own = [g for method in self.stack.methods for g in getattr(method, "_generators", [])]
        return [*own, self._module.dropout] if self._two_modes else own


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector out: a recording of before that it frees would end a capture."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _aside(device: torch.device) -> Iterator[None]:
    """Work on another stream, as is due before a capture."""
    if device.type != "cuda":
        yield
        return
    main = torch.cuda.current_stream(device)
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    side.wait_stream(main)
    with torch.cuda.stream(side):
        yield
    main.wait_stream(side)

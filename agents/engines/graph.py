"""The graph engine: an update captured as a CUDA graph and replayed, for one network or several.

Launched one by one, the many small kernels of an update cost more than what they compute. A graph
launches them as one; many small networks, stacked on a leading axis, share even that.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agents.base import Array, Inspection
from agents.engines.captured import CapturedUpdate
from agents.engines.feed import listed, shown
from agents.engines.support import SEES_ALL, stacks, unknown
from agents.learner import NetworkLearner
from continual_envs.core import Chunk


class GraphLearner:
    """Takes one or several learners over: the same mathematics, an update as one launch.

    What happens rarely is left to the learners, to which the present state is copied before a
    prediction, a measure, a checkpoint or a restart. A checkpoint is therefore the torch engine's,
    one a member, and may go on in any company. Without CUDA the same updates are made one kernel
    after the other, for tests.

    Args:
        learners: freshly built or restored; of equal settings and after equally many updates; seeds
            may differ. From now on they are not to be used otherwise.

    Attributes:
        members: each learner as the rest of the suite sees it.

    Raises:
        ValueError: they are not supported; one line says why.
    """

    def __init__(self, learners: Sequence[NetworkLearner]) -> None:
        self.learners, first = list(learners), learners[0]
        reason = unknown(first, "graph") or (stacks(first) if len(self.learners) > 1 else None)
        if reason:
            raise ValueError(f"engine: 'graph' is not allowed; {reason}")
        self.batch_size, self.needs_boundary = first.batch_size, first.needs_boundary
        self.members = [Member(self, i) for i in range(len(self.learners))]
        self._ahead = False  # of the learners

    def update_many(self, chunks: Sequence[Chunk]) -> list[Array]:
        """Update each member on its chunk, batch by batch; return all outputs, (n, k) each.

        Raises:
            ValueError: not one chunk a member, or they differ in length.
        """
        lengths = [len(chunk) for chunk in chunks]
        if len(lengths) != len(self.learners) or len(set(lengths)) > 1:
            n = len(self.learners)
            raise ValueError(f"chunks: of {lengths} examples; give {n} of the same length")
        places, most = self.learners[0].module.spec.inputs, self._update.feed.capacity
        said = []
        for start in range(0, max(lengths[0], 1), most):
            parts = [_part(chunk, start, start + most) for chunk in chunks]
            said.append(self._update.learn([shown(part, places) for part in parts]))
        self._ahead = True
        return list(np.concatenate(said, axis=1))

    def update(self, inputs: Array, targets: Array) -> Array:
        """Take one step of a single member on (n, d) inputs and (n,) targets; see `Learner`."""
        (_,) = self.learners
        self._ahead = True
        own = np.array(inputs)  # a caller may fill the same array again, unseen by `Feed`
        (said,) = self._update.learn([listed(own, targets)], at_once=True)
        outputs: Array = said
        return outputs

    def on_task_switch(self) -> None:
        """Tell the methods that the next example is of a new task."""
        if self.needs_boundary:
            self.write_back()
            for learner in self.learners:
                learner.on_task_switch()
            self.take()

    def on_privileges(self, info: dict[str, Any]) -> None:
        """Zero the output layers if told so; see `NetworkLearner`.

        A pass means nothing here, since a learner whose step size follows them is refused.

        Raises:
            ValueError: told of classes that are not seen yet.
        """
        if "seen" in info:
            raise ValueError(f"engine: 'graph' is not allowed; {SEES_ALL}")
        if info.get("zero_head"):
            self.write_back()
            for learner in self.learners:
                learner.on_privileges(info)
            self.take()

    def write_back(self) -> None:
        """Bring the learners to the present state."""
        if self._ahead:
            self._update.stack.write_back()
            self._ahead = False

    def take(self) -> None:
        """Go on from the learners' state; what was captured stays valid."""
        if "_update" in vars(self):
            self._update.stack.take()

    @functools.cached_property
    def _update(self) -> CapturedUpdate:
        """Made when first learned with, since learners may be restored or joined before."""
        return CapturedUpdate(self.learners)


class Member:
    """One of the learners inside: a `Learner`, which learns by itself only if it is alone.

    Args:
        whole: what it is a member of.
        index: which one.

    Attributes:
        whole: what it is a member of.
        learner: what it was, which is at the present state only when asked through this.
    """

    def __init__(self, whole: GraphLearner, index: int) -> None:
        self.whole, self.learner = whole, whole.learners[index]
        self.batch_size, self.needs_boundary = whole.batch_size, whole.needs_boundary

    def predict(self, inputs: Array) -> Array:
        """Return the outputs, (n, k), in evaluation mode; changes nothing."""
        with torch.no_grad():
            return self._present().predict(inputs)

    def update(self, inputs: Array, targets: Array) -> Array:
        """Take one gradient step on (n, d) inputs and (n,) targets; return what `predict` said."""
        return self.whole.update(inputs, targets)

    def update_many(self, chunk: Chunk) -> Array:
        """Update on every batch of the chunk in turn; return all outputs, (len(chunk), k)."""
        (outputs,) = self.whole.update_many([chunk])
        return outputs

    def on_task_switch(self) -> None:
        """Tell the methods that the next example is of a new task."""
        self.whole.on_task_switch()

    def on_privileges(self, info: dict[str, Any]) -> None:
        """Take note of what the problem discloses before a pass over a task's data."""
        self.whole.on_privileges(info)

    def inspect(self, inputs: Array, targets: Array) -> Inspection:
        """Return activations, weights and the gradient of the mean loss on a probe."""
        return self._present().inspect(inputs, targets)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that the torch engine would have."""
        return self._present().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, of the torch engine or of any member of this one."""
        self._present().load_state_dict(state)
        self.whole.take()

    def _present(self) -> NetworkLearner:
        self.whole.write_back()
        return self.learner


def _part(chunk: Chunk, start: int, end: int) -> Chunk:
    span = slice(start, end)
    return replace(
        chunk, rows=chunk.rows[span], which=chunk.which[span], targets=chunk.targets[span]
    )

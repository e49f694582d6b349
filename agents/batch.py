"""What one update has seen, for the methods, and a training pass made ahead of its update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """What one update has seen: passed to the methods before and after the optimizer's step.

    Loss and features are those of the training pass, outputs are what was predicted before it; the
    two passes differ under dropout. An algorithm of reinforcement learning shows the features only.
    """

    inputs: Tensor | None
    targets: Tensor | None
    outputs: Tensor | None
    loss: Tensor | None
    features: Sequence[Tensor]


@dataclass(frozen=True)
class Pending:
    """A training pass made ahead of its update: its outputs and features, with their graph.

    Buffers are what the running statistics become when the update comes.
    """

    inputs: Tensor
    outputs: Tensor
    features: Any
    buffers: dict[str, Tensor]

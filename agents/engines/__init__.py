"""Faster ways to compute what `agents.learner.NetworkLearner` defines."""

from __future__ import annotations

from typing import Any

from agents.engines.support import captures, supports

# From about here on the matrix products of torch win where inputs are dense; where most are 0, or
# in narrow networks, only later (benchmarks/scaling.py).
FASTER_UP_TO = 4_000_000  # examples times parameters, but for one example
EXAMPLES_AT_MOST = 64


def on_engine(made: Any, engine: str) -> tuple[Any, str]:
    """Return an agent on an engine, and which engine that is.

    Args:
        made: a learner or agent, freshly built.
        engine: "torch", "fused", "graph", or "auto": fused where it is supported and faster, else
            torch.

    Raises:
        ValueError: "fused" or "graph" was asked for and is not supported; one line says why.
    """
    if engine == "torch":
        return made, "torch"
    if engine == "graph":
        if reason := captures(made):
            raise ValueError(f"engine: 'graph' is not allowed; {reason}")
        from agents.engines.graph import GraphLearner

        return GraphLearner([made]).members[0], "graph"
    reason = supports(made)
    if engine == "auto" and (reason or not faster(made)):
        return made, "torch"
    if reason:
        raise ValueError(f"engine: 'fused' is not allowed; {reason}")
    from agents.engines.fused import FusedLearner  # numba takes a moment to import

    return FusedLearner(made), "fused"


def faster(learner: Any) -> bool:
    """Return whether the fused engine is likely to be faster than torch for a supported learner."""
    size = learner.batch_size
    work = size * sum(parameter.numel() for parameter in learner.module.parameters())
    return bool(size == 1 or (size <= EXAMPLES_AT_MOST and work <= FASTER_UP_TO))

"""Faster ways to compute what `agents.learner.NetworkLearner` defines."""

from __future__ import annotations

from typing import Any

from agents.engines.support import captures, supports

# Examples an update. At 32 the engine gains a fifth or a half, by the processor, and only where
# most inputs are 0; at 64 matrix products may win (benchmarks/scaling.py).
FASTER_UP_TO = 16


def on_engine(made: Any, engine: str) -> tuple[Any, str]:
    """Return an agent on an engine, and which engine that is.

    Args:
        made: a learner or agent, freshly built.
        engine: "torch", "fused", "graph", or "auto": fused where it is supported and faster, else
            torch.

    Raises:
        ValueError: "fused" or "graph" was asked for and is not supported; one line says why.
    """
    if engine == "torch" or (engine == "auto" and getattr(made, "batch_size", 1) > FASTER_UP_TO):
        return made, "torch"
    if engine == "graph":
        if reason := captures(made):
            raise ValueError(f"engine: 'graph' is not allowed; {reason}")
        from agents.engines.graph import GraphLearner

        return GraphLearner([made]).members[0], "graph"
    if reason := supports(made):
        if engine == "auto":
            return made, "torch"
        raise ValueError(f"engine: 'fused' is not allowed; {reason}")
    from agents.engines.fused import FusedLearner  # numba takes a moment to import

    return FusedLearner(made), "fused"

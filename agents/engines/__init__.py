"""Faster ways to compute what `agents.learner.NetworkLearner` defines."""

from __future__ import annotations

from typing import Any

from agents.engines.support import supports


def on_engine(made: Any, engine: str) -> tuple[Any, str]:
    """Return an agent on an engine, and which engine that is.

    Args:
        made: a learner or agent, freshly built.
        engine: "torch", "fused", or "auto": fused where it is supported.

    Raises:
        ValueError: "fused" was asked for and is not supported; one line says why.
    """
    if engine == "torch":
        return made, "torch"
    if reason := supports(made):
        if engine == "auto":
            return made, "torch"
        raise ValueError(f"engine: 'fused' is not allowed; {reason}")
    from agents.engines.fused import FusedLearner  # numba takes a moment to import

    return FusedLearner(made), "fused"

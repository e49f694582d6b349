"""Which learners the engines can take over; importing this needs no compiler."""

from __future__ import annotations

from typing import Any

import torch

from agents.learner import NetworkLearner
from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.dropout import Dropout
from agents.methods.equal_betas import EqualBetas
from agents.methods.fresh import Fresh
from agents.methods.l2 import L2
from agents.methods.l2_init import L2Init
from agents.methods.layer_norm import LayerNorm
from agents.methods.online_norm import OnlineNorm
from agents.methods.shrink_perturb import ShrinkPerturb
from agents.methods.weight_clipping import WeightClipping
from agents.networks.convnet import ConvNet
from agents.networks.mlp import MLP
from agents.optimizers import ElementwiseAdam

NETWORKS: dict[str, tuple[tuple[type, ...], str]] = {
    "fused": ((MLP,), "multilayer perceptrons"),
    "graph": ((MLP, ConvNet), "multilayer perceptrons and networks without batch normalisation"),
}
BOTH = (ContinualBackprop, Dropout, EqualBetas, Fresh, L2, LayerNorm, ShrinkPerturb)
METHODS: dict[str, tuple[type, ...]] = {
    "fused": (*BOTH, OnlineNorm),
    "graph": (*BOTH, L2Init, WeightClipping),
}
OPTIMIZERS = (torch.optim.SGD, torch.optim.Adam, ElementwiseAdam)
SHRINKS_AT_MOST = 0.5
GRAPH_DEVICE = "cuda"
SEES_ALL = "the graph engine does not know classes that are not seen yet"
GRAPH_IS_TOLD = {"epoch", "head"}  # what it understands of `Stream.disclosed`


def supports(learner: Any) -> str | None:
    """Return None if the fused engine can take `learner` over, else one line saying why not."""
    if reason := unknown(learner, "fused"):
        return reason
    if learner.module.spec.image is not None:
        return "the fused engine knows vectors only, not images"
    if learner.device.type != "cpu":
        return f"the fused engine runs on the CPU only, not on {learner.device}"
    for method in learner.methods:
        if sum(type(other) is type(method) for other in learner.methods) > 1:
            return f"the fused engine takes one {_name(method)} only"
    shrunk = learner.optimizer.param_groups[0]["lr"] * total_decay(learner)
    if is_plain_sgd(learner) and shrunk > SHRINKS_AT_MOST:
        return (
            f"weight_decay: step_size * weight_decay = {shrunk:g} is too large for the fused "
            f"engine; at most {SHRINKS_AT_MOST}"
        )
    return None


def captures(learner: Any) -> str | None:
    """Return None if the graph engine can take `learner` over, else one line saying why not."""
    if reason := unknown(learner, "graph"):
        return reason
    if learner.device.type != GRAPH_DEVICE:
        return f"the graph engine runs on a CUDA device only, not on {learner.device}"
    return None


def stacks(learner: NetworkLearner) -> str | None:
    """Return None if learners like this one can be members of one stack, else why not.

    Those that draw at every step would need a generator and launches of its own for every member.
    """
    for kind in (Dropout, ShrinkPerturb):
        if method_of(learner, kind):
            return f"learners with {kind.__name__} draw one by one and cannot be stacked"
    return None


def unknown(learner: Any, engine: str) -> str | None:
    """Return the part of a learner that an engine does not know, as one line, or None."""
    networks, words = NETWORKS[engine]
    if type(learner) is not NetworkLearner:
        return f"the {engine} engine knows our {words} only, not {_name(learner)}"
    if type(learner.module) not in networks:
        return f"the {engine} engine knows our {words} only, not {_name(learner.module)}"
    for method in learner.methods:
        if type(method) not in METHODS[engine]:
            return f"the {engine} engine does not know the method {_name(method)}"
    if type(learner.optimizer) not in OPTIMIZERS:
        return f"the {engine} engine does not know the optimizer {_name(learner.optimizer)}"
    if engine == "graph" and learner._decay_epochs:
        return "decay_epochs: the graph engine keeps one step size"
    if engine == "graph" and learner._seen is not None:
        return SEES_ALL
    return None


def total_decay(learner: NetworkLearner) -> float:
    """Return the weight decay of all methods together."""
    both = (method_of(learner, L2), method_of(learner, ShrinkPerturb))
    return float(sum(method.weight_decay for method in both if method))


def is_plain_sgd(learner: NetworkLearner) -> bool:
    """Return whether the optimizer is SGD without momentum."""
    optimizer = learner.optimizer
    return isinstance(optimizer, torch.optim.SGD) and not optimizer.param_groups[0]["momentum"]


def method_of(learner: NetworkLearner, kind: type) -> Any:
    """Return the learner's method of a kind, or None."""
    return next((method for method in learner.methods if type(method) is kind), None)


def _name(thing: Any) -> str:
    return type(thing).__name__

"""Tiny problems, agents whose methods act often, and bare networks for the tests of the agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from agents import registry, seeding
from agents.batch import Batch
from agents.learner import NetworkLearner
from agents.network import Network
from agents.networks.mlp import MLP
from agents.networks.spec import NetworkSpec
from continual_envs.core import Chunk

INPUTS, CLASSES, HIDDEN = 7, 4, (8, 6)

# Every agent of ours alone, and compositions of those that could get in each other's way.
AGENTS = (
    *(base for base in registry.BASES if "/" not in base),
    *(method for method in registry.METHODS if method != "equal-betas"),
    "adam+equal-betas",
    "adam+continual-backprop",
    "l2+continual-backprop+shrink-perturb+layer-norm",
    "adam+fresh+dropout+shrink-perturb+continual-backprop",
)
# Settings under which a method does something within a few updates.
HOT: dict[str, dict[str, Any]] = {
    "l2": {"weight_decay": 0.01},
    "l2-init": {"weight_decay": 0.1},
    "weight-clipping": {"kappa": 0.9},
    "upgd": {"noise_std": 0.1, "utility_decay": 0.9, "weight_decay": 0.1},
    "shrink-perturb": {"weight_decay": 0.01, "noise_std": 0.01},
    "dropout": {"dropout_rate": 0.3},
    "continual-backprop": {
        "replacement_rate": 0.05,
        "maturity": 3,
        "utility": "adaptable_contribution",
        "profile": "code",
    },
    "redo": {"period": 5, "tau": 0.5},
    "regrama": {"period": 5, "tau": 0.5},
}


def problem(kind: str = "classes", batch: int | None = None) -> tuple[spaces.Box, Any]:
    """Return the spaces of a problem of 7 inputs and 4 classes, or one value."""
    lead = () if batch is None else (batch,)
    observations = spaces.Box(-10.0, 10.0, (*lead, INPUTS), np.float32)
    if kind == "values":
        return observations, spaces.Box(-10.0, 10.0, (batch or 1,), np.float32)
    if batch is None:
        return observations, spaces.Discrete(CLASSES)
    return observations, spaces.MultiDiscrete([CLASSES] * batch)


def build(name: str, kind: str = "classes", batch: int | None = None, **settings: Any) -> Any:
    """Return an agent with a small network and `HOT` settings where none are given."""
    seed = settings.pop("seed", 0)
    parts = name.split("+")
    hot = {f"{part}.{key}": value for part in parts for key, value in HOT.get(part, {}).items()}
    if "linear" not in parts:
        hot["hidden"] = HIDDEN
    chosen = registry.canonical(name, hot) | registry.canonical(name, settings)
    return registry.make(name, *problem(kind, batch), seed=seed, **chosen)


def float64(
    methods: Sequence[Any] = (), kind: str = "classes", batch: int | None = None, **settings: Any
) -> NetworkLearner:
    """Return a small learner in double precision."""
    settings = {"seed": 0, "hidden": HIDDEN, **settings}
    return NetworkLearner(*problem(kind, batch), methods=methods, dtype=torch.float64, **settings)


def examples(n: int, kind: str = "classes", seed: int = 0) -> Chunk:
    """Return the first n examples of a random task, which lie column by column in memory."""
    inputs = np.random.default_rng(seed).normal(size=(n, INPUTS)).astype(np.float32)
    rng = np.random.default_rng([seed, 1])
    labels = kind == "classes"
    targets = rng.integers(CLASSES, size=n) if labels else rng.normal(size=n).astype(np.float32)
    zeros = np.zeros(n, dtype=np.int64)
    return Chunk(inputs, np.arange(n), (np.asfortranarray,), zeros, targets)


def train(learner: Any, updates: int, kind: str = "classes", seed: int = 0) -> np.ndarray:
    """Update many times; return every output."""
    return learner.update_many(examples(updates * learner.batch_size, kind, seed))


def values(learner: Any) -> list[torch.Tensor]:
    """Return copies of all parameters."""
    return [parameter.detach().clone() for parameter in learner.module.parameters()]


def same(first: Any, second: Any) -> bool:
    """Whether two nests of dicts, lists, arrays, tensors and numbers are equal bit for bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, np.ndarray):
        return first.dtype == second.dtype and np.array_equal(first, second)
    return bool(first == second)


def bare(
    hidden: tuple[int, ...] = HIDDEN,
    optimizer: Any = None,
    seed: int = 0,
    activation: str = "relu",
    layer_norm: bool = False,
) -> tuple[MLP, Network]:
    """Return a double-precision network and what a method sees of it, without a learner."""
    spec = NetworkSpec(INPUTS, CLASSES, hidden, activation, layer_norm)
    module = MLP(spec, seeding.generator(seed, seeding.Purpose.DROPOUT)).double()
    module.initialise(seeding.generator(seed, seeding.Purpose.INIT, 0))
    made = (optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=0.1)))(
        module.parameters()
    )
    params = dict(module.named_parameters())
    return module, Network(params, module.hidden_layers(), made, seed, heads=(module.head(),))


def batch_of(features: list[torch.Tensor]) -> Batch:
    """Return a batch of which only the features matter."""
    nothing = torch.empty(0)
    return Batch(nothing, nothing, nothing, nothing, features)


def forward(module: MLP, inputs: torch.Tensor) -> tuple[torch.Tensor, Batch]:
    """Return the outputs and the batch that `after_step` would see."""
    with torch.no_grad():
        outputs, features = module(inputs)
    return outputs, batch_of(features)

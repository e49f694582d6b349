"""Tiny image problems, and learners with convolutional networks on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.learner import NetworkLearner
from agents.network import Network
from agents.networks import resnet
from continual_envs.core import Chunk

CLASSES = 4
# Smallest images that leave the first linear map of the network more than one position.
SIDES = {"mlp": 4, "convnet": 32, "small_cnn": 20, "resnet18": 8}
IMAGE_NETWORKS = ("convnet", "small_cnn", "resnet18")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make residual networks of few channels."""
    monkeypatch.setattr(resnet, "WIDTHS", (4, 5, 6, 7))
    yield


def problem(network: str, batch: int | None = 3) -> tuple[spaces.Box, Any]:
    """Return the spaces of a problem of small images and 4 classes."""
    lead = () if batch is None else (batch,)
    shape = (*lead, SIDES[network], SIDES[network], 3)
    actions = spaces.Discrete(CLASSES) if batch is None else spaces.MultiDiscrete([CLASSES] * batch)
    return spaces.Box(-10.0, 10.0, shape, np.float32), actions


def learner(
    network: str, methods: Sequence[Any] = (), batch: int | None = 3, **settings: Any
) -> NetworkLearner:
    """Return a learner in double precision."""
    settings = {"seed": 0, "dtype": torch.float64, "network": network, **settings}
    return NetworkLearner(*problem(network, batch), methods=methods, **settings)


def images(network: str, n: int, seed: int = 0) -> Chunk:
    """Return n random images with random labels."""
    rng, side = np.random.default_rng(seed), SIDES[network]
    inputs = rng.normal(size=(n, side, side, 3)).astype(np.float32)
    targets = rng.integers(CLASSES, size=n)
    return Chunk(inputs, np.arange(n), (np.asarray,), np.zeros(n, dtype=np.int64), targets)


def train(made: NetworkLearner, updates: int, seed: int = 0) -> np.ndarray:
    """Update many times; return every output."""
    network = made.module.spec.network
    return made.update_many(images(network, updates * made.batch_size, seed))


def seen_by_methods(made: NetworkLearner) -> Network:
    """Return what a method of the learner sees."""
    return Network(
        params=dict(made.module.named_parameters()),
        layers=made.module.hidden_layers(),
        optimizer=made.optimizer,
        seed=0,
        buffers=dict(made.module.named_buffers()),
        heads=(made.module.head(),),
    )


def tensor(chunk: Chunk) -> torch.Tensor:
    """Return its examples in double precision."""
    return torch.tensor(chunk.examples()).double()

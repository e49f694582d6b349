"""At strength 0 every method is plain backprop bit for bit, and nothing draws globally."""

import functools
import itertools
import random
from typing import get_args

import numpy as np
import pytest
import torch

from agents.base import LearnerAgent
from agents.methods.utility import Utility
from tests.agents.helpers import AGENTS, build, examples, problem, train, values

BASES = {"sgd": {}, "momentum": {"momentum": 0.9}, "adam": {"optimizer": "adam"}}
NULLS = [
    ("l2", {"weight_decay": 0.0}),
    ("l2-init", {"weight_decay": 0.0}),
    ("weight-clipping", {"kappa": None}),
    ("upgd", {"weight_decay": 0.0, "noise_std": 0.0, "protect": False}),
    ("shrink-perturb", {"weight_decay": 0.0, "noise_std": 0.0}),
    ("dropout", {"dropout_rate": 0.0}),
    ("redo", {"period": 0}),
    ("regrama", {"period": 0}),
    ("fresh", {}),  # nothing happens without a switch
    *(
        ("continual-backprop", {"utility": utility, "profile": profile, "replacement_rate": 0})
        for utility, profile in itertools.product(get_args(Utility), ("paper", "code"))
    ),
    (
        "continual-backprop",
        {"replacement_rate": 0.0, "replacement": "bernoulli", "transfer_bias": True},
    ),
    (
        "l2+continual-backprop+shrink-perturb+dropout",
        {
            "l2.weight_decay": 0,
            "replacement_rate": 0.0,
            "shrink-perturb.weight_decay": 0.0,
            "noise_std": 0.0,
            "dropout_rate": 0.0,
        },
    ),
]


@functools.cache
def plain(base: str):
    learner = build("backprop", batch=2, **BASES[base])
    return train(learner, 100), values(learner)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("name", "settings"), NULLS)
def test_null_setting_is_backprop_bit_for_bit(name, settings, base):
    learner = build(name, batch=2, **settings, **BASES[base])
    outputs, parameters = plain(base)
    assert np.array_equal(train(learner, 100), outputs)
    assert all(map(torch.equal, values(learner), parameters))


@pytest.mark.parametrize(("name", "settings"), NULLS)
def test_null_setting_leaves_its_own_generators_where_they_were(name, settings):
    learner = build(name, batch=2, **settings)
    before = learner.state_dict()
    train(learner, 20)
    after = learner.state_dict()
    assert torch.equal(before["dropout"], after["dropout"])
    for first, second in zip(before["methods"], after["methods"], strict=True):
        for one, other in zip(
            first.get("generators", []), second.get("generators", []), strict=True
        ):
            assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("l2", {"weight_decay": 1e-3}),
        ("l2-init", {"weight_decay": 1e-3}),
        ("weight-clipping", {"kappa": 2.0}),
        ("upgd", {"weight_decay": 0.0, "noise_std": 1e-3, "protect": False}),
        ("upgd", {"weight_decay": 1e-3, "noise_std": 0.0, "protect": False}),
        ("upgd", {"weight_decay": 0.0, "noise_std": 0.0, "protect": True}),
        ("shrink-perturb", {"weight_decay": 0.0, "noise_std": 1e-3}),
        ("shrink-perturb", {"weight_decay": 1e-3, "noise_std": 0.0}),
        ("dropout", {"dropout_rate": 0.1}),
        ("continual-backprop", {"replacement_rate": 0.01, "maturity": 5}),
        ("layer-norm", {}),
    ],
)
def test_any_strength_above_0_is_not_backprop(name, settings):
    assert not np.array_equal(train(build(name, batch=2, **settings), 100), plain("sgd")[0])


@pytest.mark.parametrize("name", AGENTS)
def test_no_global_generator_is_read_or_written(name):
    def states():
        return (
            torch.get_rng_state().tolist(),
            [str(part) for part in np.random.get_state()],
            random.getstate(),
        )

    before = states()
    learner = build(name, batch=2)
    first = train(learner, 200)
    chunk = examples(4)
    learner.inspect(chunk.examples(), chunk.targets)
    learner.predict(chunk.examples())
    learner.on_task_switch()
    learner.load_state_dict(learner.state_dict())
    LearnerAgent(learner, problem(batch=2)[1]).act(chunk.examples()[:2])
    assert states() == before

    torch.rand(3), np.random.rand(3), random.random()
    assert np.array_equal(train(build(name, batch=2), 30), first[:60])

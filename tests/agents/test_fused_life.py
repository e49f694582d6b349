"""The fused engine over a life: chunks, states, null settings, noise, and who may use it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import continual_envs  # noqa: F401
from agents.engines import on_engine
from agents.engines.fused import FusedLearner
from agents.learner import NetworkLearner
from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.dropout import Dropout
from agents.methods.l2 import L2
from agents.methods.shrink_perturb import ShrinkPerturb

BUSY: dict[str, Any] = {"replacement_rate": 1e-2, "maturity": 20}


def everything() -> list[Any]:
    noise = ShrinkPerturb(weight_decay=0.01, noise_std=1e-3)
    return [noise, Dropout(dropout_rate=0.1), ContinualBackprop(**BUSY)]


LEARNERS: dict[str, Any] = {
    "l2": lambda: (NOTHING, [L2(weight_decay=0.01)]),
    "adam": lambda: ({"optimizer": "adam", "step_size": 0.001}, []),
    "continual backprop": lambda: ({"momentum": 0.5}, [ContinualBackprop(**BUSY)]),
    "noise": lambda: (NOTHING, [ShrinkPerturb(weight_decay=0.01, noise_std=1e-3)]),
    "everything": lambda: (NOTHING, everything()),
}
NOTHING: dict[str, Any] = {}
ENV = gym.make("continual_envs/PermutedDigits-v0")
STREAM = ENV.unwrapped.stream  # type: ignore[attr-defined]


def plain(methods: list[Any], **settings: Any) -> NetworkLearner:
    spaces = ENV.observation_space, ENV.action_space
    return NetworkLearner(*spaces, seed=1, methods=methods, **{"hidden": (16, 12), **settings})


def build(name: str) -> FusedLearner:
    settings, methods = LEARNERS[name]()
    return FusedLearner(plain(methods, **settings))


def parameters(learner: FusedLearner) -> np.ndarray:
    probe = STREAM.chunk(0, 16)
    found = learner.inspect(probe.examples(), probe.targets).parameters
    return np.concatenate([np.ravel(array) for array in found])


@pytest.mark.parametrize("size", [8, 1000])
@pytest.mark.parametrize("name", LEARNERS)
def test_chunks_do_not_matter(name: str, size: int) -> None:
    whole, parts = build(name), build(name)
    expected = whole.update_many(STREAM.chunk(0, 3000))
    said = [parts.update_many(STREAM.chunk(start, size)) for start in range(0, 3000, size)]
    np.testing.assert_array_equal(np.concatenate(said), expected)
    np.testing.assert_array_equal(parameters(parts), parameters(whole))


@pytest.mark.parametrize("name", LEARNERS)
def test_a_state_goes_on_bit_for_bit_and_is_a_copy(name: str) -> None:
    whole, again = build(name), build(name)
    whole.update_many(STREAM.chunk(0, 1234))
    state = whole.state_dict()
    expected = whole.update_many(STREAM.chunk(1234, 1766))
    again.update_many(STREAM.chunk(0, 50))
    again.load_state_dict(state)
    np.testing.assert_array_equal(again.update_many(STREAM.chunk(1234, 1766)), expected)


@pytest.mark.parametrize("name", LEARNERS)
def test_one_by_one_is_the_same_and_looking_changes_nothing(name: str) -> None:
    many, single = build(name), build(name)
    chunk = STREAM.chunk(0, 200)
    expected = many.update_many(chunk)
    for (x, y), row in zip(chunk.batches(1), expected, strict=True):
        np.testing.assert_array_equal(single.predict(x), row[None])
        parameters(single)
        np.testing.assert_array_equal(single.update(x, y), row[None])


@pytest.mark.parametrize(
    "method",
    [
        L2(weight_decay=0),
        ShrinkPerturb(weight_decay=0, noise_std=0),
        Dropout(dropout_rate=0),
        ContinualBackprop(replacement_rate=0),
    ],
)
def test_null_settings_are_backprop(method: Any) -> None:
    chunk = STREAM.chunk(0, 2000)
    expected = FusedLearner(plain([])).update_many(chunk)
    np.testing.assert_array_equal(FusedLearner(plain([method])).update_many(chunk), expected)


def test_noise_has_its_variance_on_every_parameter() -> None:
    """Without a gradient n steps of noise add up to N(0, n sigma^2), whether read or not."""
    method = ShrinkPerturb(weight_decay=0.0, noise_std=1e-3)
    learner = FusedLearner(plain([method], hidden=(32, 32), step_size=1e-12))
    before = parameters(learner)
    learner.update_many(STREAM.chunk(0, 400))
    change = (parameters(learner) - before) / (1e-3 * np.sqrt(400))
    assert abs(change.mean()) < 4 / np.sqrt(len(change))
    assert abs(change.var() - 1) < 4 * np.sqrt(2 / len(change))
    assert abs((change**4).mean() - 3) < 4 * np.sqrt(96 / len(change))


def test_engines_by_name() -> None:
    learner, stranger = plain([]), object()
    assert on_engine(learner, "torch") == (learner, "torch")
    assert on_engine(learner, "auto")[1] == "fused"
    assert on_engine(stranger, "auto") == (stranger, "torch")
    with pytest.raises(ValueError, match="^engine: 'fused' is not allowed; [^\n]+$"):
        on_engine(stranger, "fused")

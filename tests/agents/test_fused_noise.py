"""Noise of the fused engine: the same as torch's on the same draws, and of the right law."""

import math
from typing import Any

import numba
import numpy as np
import pytest
import torch
from scipy import stats

from agents.engines import kernel
from agents.engines.fused import FusedLearner
from agents.learner import NetworkLearner
from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.layer_norm import LayerNorm
from agents.methods.shrink_perturb import ShrinkPerturb
from agents.seeding import splitmix64
from tests.agents.helpers import INPUTS, float64
from tests.agents.test_fused import OPTIMIZERS, parameters, part, stream

# Not from the cache, where it has no way in from Python.
_normals = numba.njit(**(kernel.COMPILE | {"cache": False}))(kernel.normals.py_func)


def normals(state: int, n: int) -> np.ndarray:
    out = np.empty(n + 1, dtype=np.float32)
    _normals(np.uint64(state), out, n)
    return out[:n]


def test_draws_are_box_muller_on_splitmix64() -> None:
    words = splitmix64(torch.arange(5, 13)).numpy().view(np.uint64)
    high, low = words >> np.uint64(32), words.astype(np.uint32).view(np.int32)
    radius = np.sqrt(-2 * np.log((high + 0.5) * 2.0**-32))
    angle = math.pi * (low >> 1) * 2.0**-31
    want = [radius * np.sin(angle), radius * np.cos(angle) * np.where(low & 1, 1, -1)]
    np.testing.assert_allclose(normals(5, 16), np.concatenate(want), rtol=2e-5, atol=2e-6)
    half = np.concatenate([want[0][:8], want[1][:7]])
    np.testing.assert_allclose(normals(5, 15), half, rtol=2e-5, atol=2e-6)


def test_draws_are_normal() -> None:
    draws = np.concatenate([normals(1_000_003 * i, 100) for i in range(20_000)]).astype(float)
    n = len(draws)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(draws**power) - moment) < 4.5 * math.sqrt(variance / n)
    assert stats.kstest(draws, "norm").pvalue > 1e-4
    assert 4.5 < np.abs(draws).max() < 6.8
    half = draws.reshape(-1, 100)
    assert abs(np.mean(half[:, :50] * half[:, 50:])) < 4.5 / math.sqrt(n / 2)  # of one word


def noise_key(learner: FusedLearner) -> int:
    return int(learner._parts.noise.key)


class Tape:
    """What the fused engine draws for rows, given to torch at the step before they are read."""

    def __init__(self, fused: FusedLearner, method: ShrinkPerturb, read: Any) -> None:
        self.fused, self.read, self.clock = fused, read, 0
        self.paid = np.zeros_like(fused._parts.noise.paid)
        method._noise = self.noise  # type: ignore[method-assign]

    def noise(self) -> list[torch.Tensor]:
        self.clock += 1
        return self.step()

    def step(self) -> list[torch.Tensor]:
        """The noise of one step in the order of the parameters."""
        net, drawn, norms = self.fused._parts.net, [], []
        for layer, rows in enumerate(net.rows):
            width, inputs = int(net.sizes[layer + 1]), int(net.sizes[layer])
            matrix = np.zeros((rows, width))
            for i in range(rows):
                if layer == 0 and i < inputs and not self.read(self.clock, i):
                    continue
                owed = self.clock - self.paid[layer, i]
                self.paid[layer, i] = self.clock
                shrink = self.fused._parts.rule.shrink
                variance = sum(shrink ** (2 * step) for step in range(owed))
                state = torch.tensor(noise_key(self.fused)).view(torch.int64)
                for counter in (kernel.NOISE + layer, i, self.clock):
                    state = splitmix64(state + counter)
                state = int(splitmix64(state).numpy().view(np.uint64))
                matrix[i] = math.sqrt(variance) * normals(state, width).astype(np.float64)
            drawn += [torch.tensor(matrix[:inputs].T), torch.tensor(matrix[inputs])]
            norms += [torch.tensor(row) for row in matrix[inputs + 1 :]]
        return drawn + norms


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("optimizer", "batch"), [("sgd", None), ("sgd", 3), ("adam", None)])
def test_on_one_tape_of_draws_both_engines_are_the_same(optimizer, batch, decay, norm):
    """Rows of inputs that are 0 are paid later; no hidden unit is ever 0 under tanh."""

    def make() -> NetworkLearner:
        methods = [ShrinkPerturb(weight_decay=decay, noise_std=0.01), *([LayerNorm()] * norm)]
        return float64(methods, batch=batch, activation="tanh", **OPTIMIZERS[optimizer])

    torch_learner, fused = make(), FusedLearner(make())
    chunk = stream(500 * (batch or 1))
    seen = chunk.examples().reshape(500, -1, INPUTS).any(axis=1)
    lazy = optimizer == "sgd"
    assert fused._parts.noise.lazy == lazy
    Tape(fused, torch_learner.methods[0], lambda t, i: not lazy or t == 500 or seen[t, i])
    want, got = torch_learner.update_many(chunk), fused.update_many(chunk)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-11)
    for mine, theirs in zip(parameters(fused), torch_learner.module.parameters(), strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("first", [True, False])
def test_noise_and_replacement_keep_the_order_of_the_methods(first):
    def make() -> NetworkLearner:
        rate = {"replacement_rate": 0.02, "maturity": 10, "utility": "adaptable_contribution"}
        methods = [ShrinkPerturb(weight_decay=0.1, noise_std=0.01), ContinualBackprop(**rate)]
        return float64(methods if first else methods[::-1], activation="tanh")

    torch_learner, fused = make(), FusedLearner(make())
    Tape(fused, torch_learner.methods[0 if first else 1], lambda t, i: True)
    chunk = stream(1000)
    want, got = torch_learner.update_many(chunk), fused.update_many(chunk)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-11)
    assert fused._parts.units.replaced.min() > 50


def still(decay: float, std: float, steps: int, seed: int = 0) -> np.ndarray:
    """Weights of inputs that were always 0, which nothing but noise and decay has moved."""
    method = ShrinkPerturb(weight_decay=decay, noise_std=std)
    learner = float64([method], hidden=(200,), step_size=0.1, seed=seed)
    start = learner.module.linears[0].weight.detach().numpy()[:, :5].copy()
    fused = FusedLearner(learner)
    chunk = stream(steps)
    inputs = chunk.examples()
    inputs[:, :5] = 0
    for x, y in zip(inputs, chunk.targets, strict=True):
        fused.update(x[None], y[None])
    moved = parameters(fused)[0][:, :5] - start * (1 - 0.1 * decay) ** steps
    return np.asarray(moved)


@pytest.mark.parametrize("decay", [0.0, 1e-5, 0.5])
def test_what_is_paid_late_has_the_variance_of_all_the_steps(decay):
    moved = still(decay, 0.02, 60)
    expected = 0.02**2 * sum((1 - 0.1 * decay) ** (2 * step) for step in range(60))
    assert moved.var() == pytest.approx(expected, rel=5 * math.sqrt(2 / moved.size))
    assert abs(moved.mean()) < 5 * math.sqrt(expected / moved.size)
    assert stats.kstest(moved.ravel() / math.sqrt(expected), "norm").pvalue > 1e-4


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_so_has_what_a_dead_hidden_unit_is_owed(decay):
    method = ShrinkPerturb(weight_decay=decay, noise_std=0.02)
    learner = float64([method], hidden=(20, 300), step_size=0.1, activation="relu")
    with torch.no_grad():
        learner.module.linears[0].bias[:10] = -1e6
    start = learner.module.linears[1].weight.detach().numpy()[:, :10].copy()
    fused = FusedLearner(learner)
    fused.update_many(stream(60))
    moved = parameters(fused)[2][:, :10] - start * (1 - 0.1 * decay) ** 60
    expected = 0.02**2 * sum((1 - 0.1 * decay) ** (2 * step) for step in range(60))
    assert moved.var() == pytest.approx(expected, rel=5 * math.sqrt(2 / moved.size))
    assert abs(moved.mean()) < 5 * math.sqrt(expected / moved.size)
    assert stats.kstest(moved.ravel() / math.sqrt(expected), "norm").pvalue > 1e-4


def test_members_have_noise_of_their_own():
    assert abs(np.corrcoef(still(0, 1, 2).ravel(), still(0, 1, 2, seed=1).ravel())[0, 1]) < 0.15


def test_looking_pays_nothing():
    """Predictions are what the next update will say, and change nothing, whatever they read."""
    plain, looked = (
        FusedLearner(float64([ShrinkPerturb(weight_decay=0.1, noise_std=0.1)])) for _ in range(2)
    )
    chunk = stream(40)
    shown = chunk.examples()
    for t in range(40):
        looked.predict(np.ones((3, INPUTS)))
        parameters(looked)
        said = looked.predict(shown[t : t + 1])
        one = part(chunk, t, t + 1)
        assert np.array_equal(looked.update_many(one), said)
        assert np.array_equal(plain.update_many(one), said)

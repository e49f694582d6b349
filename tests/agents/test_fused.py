"""The fused engine follows the torch engine, which is the definition."""

import functools
import itertools
from typing import Any, get_args

import numpy as np
import pytest

from agents.engines.fused import FusedLearner
from agents.engines.parts import matrices
from agents.learner import NetworkLearner
from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.dropout import Dropout
from agents.methods.fresh import Fresh
from agents.methods.l2 import L2
from agents.methods.layer_norm import LayerNorm
from agents.methods.online_norm import OnlineNorm
from agents.methods.shrink_perturb import ShrinkPerturb
from agents.methods.utility import Utility
from continual_envs.core import Chunk
from continual_envs.transforms import Identity, Pixels
from tests.agents.helpers import CLASSES, INPUTS, float64, problem

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "elu", "swish")
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"step_size": 0.03},
    "momentum": {"step_size": 0.01, "momentum": 0.9},
    "adam": {"optimizer": "adam", "step_size": 0.003},
}


def stream(n: int, kind: str = "classes", seed: int = 0) -> Chunk:
    """Examples as a problem declares them: grey levels, many of them 0, under a permutation.

    One input is other than 0 once in a thousand examples.
    """
    rng = np.random.default_rng(seed)
    base = rng.integers(1, 256, (1000, INPUTS)) * (rng.random((1000, INPUTS)) < 0.5)
    base[:, 2] = 200 * (np.arange(1000) == 500)
    rows = np.arange(n) % 1000
    labels = rng.integers(CLASSES, size=n)
    targets = labels if kind == "classes" else rng.normal(size=n).astype(np.float32)
    pixels = Pixels(rng.permutation(INPUTS), 255)
    return Chunk(base.astype(np.uint8), rows, (pixels,), np.zeros(n, dtype=np.int64), targets)


def part(chunk: Chunk, start: int, end: int) -> Chunk:
    span = slice(start, end)
    return Chunk(
        chunk.inputs, chunk.rows[span], chunk.transforms, chunk.which[span], chunk.targets[span]
    )


def parameters(learner: FusedLearner) -> list[np.ndarray]:
    """What the learner shows of its parameters."""
    return learner.inspect(np.zeros((1, INPUTS)), np.zeros(1, dtype=np.int64)).parameters


def compare(
    make_methods: Any = list,
    updates: int = 1000,
    kind: str = "classes",
    batch: int | None = None,
    **settings: Any,
) -> tuple[NetworkLearner, FusedLearner]:
    """Train both engines in double precision: outputs and parameters to 1e-12."""
    torch_learner = float64(make_methods(), kind, batch, **settings)
    fused = FusedLearner(float64(make_methods(), kind, batch, **settings))
    chunk = stream(updates * (batch or 1), kind)
    want, got = torch_learner.update_many(chunk), fused.update_many(chunk)
    assert got.dtype == np.float64 and got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(parameters(fused), torch_learner.module.parameters(), strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-12, atol=1e-12)
    return torch_learner, fused


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["classes", "values"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_plain_learners(activation, kind, optimizer, batch):
    settings = OPTIMIZERS[optimizer]
    compare(kind=kind, batch=batch, activation=activation, **settings)


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("hidden", [(), (1,), (9, 5, 4, 3)])
def test_any_depth(hidden, optimizer, batch):
    compare(batch=batch, hidden=hidden, activation="leaky_relu", **OPTIMIZERS[optimizer])


METHODS = {
    "l2": lambda: [L2(weight_decay=0.1)],  # the scale is absorbed time and again
    "shrink": lambda: [ShrinkPerturb(weight_decay=0.05, noise_std=0.0), L2(weight_decay=0.05)],
    "layer-norm": lambda: [LayerNorm()],
    "layer-norm+l2": lambda: [L2(weight_decay=0.1), LayerNorm()],
    "dropout": lambda: [Dropout(dropout_rate=0.3)],
    "dropout+layer-norm": lambda: [LayerNorm(), Dropout(dropout_rate=0.1), L2(weight_decay=0.1)],
}


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("methods", METHODS)
def test_methods(methods, optimizer, batch):
    compare(METHODS[methods], batch=batch, **OPTIMIZERS[optimizer])


ONLINE = {
    "alone": lambda: [OnlineNorm()],
    "fast": lambda: [OnlineNorm(forward_decay=0.9, backward_decay=0.5), L2(weight_decay=0.1)],
    "dropout": lambda: [OnlineNorm(), Dropout(dropout_rate=0.1), L2(weight_decay=0.1)],
}


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("methods", ONLINE)
def test_online_normalization(methods, optimizer, batch):
    """Over fewer updates: it lets rounding grow, in two runs of torch as much as in these."""
    torch_learner, fused = compare(ONLINE[methods], 100, batch=batch, **OPTIMIZERS[optimizer])
    parameters(fused)  # shows its statistics to the learner that it took over
    for name, value in torch_learner.module.named_buffers():
        mine = fused.learner.module.get_buffer(name)
        np.testing.assert_allclose(mine, value, rtol=1e-10, atol=1e-10)


def test_online_normalization_predicts_without_a_trace_and_updates_on_more_than_asked_for():
    torch_learner, fused = float64([OnlineNorm()]), FusedLearner(float64([OnlineNorm()]))
    chunk = stream(60)
    shown = chunk.examples()
    for start in range(0, 60, 4):  # one example, then three where the batch has one
        for span in (slice(start, start + 1), slice(start + 1, start + 4)):
            said = fused.predict(shown[span])
            want = torch_learner.predict(shown[span])
            np.testing.assert_allclose(said, want, rtol=1e-12, atol=1e-12)
            assert np.array_equal(fused.predict(shown[span]), said)
            want = torch_learner.update(shown[span], chunk.targets[span])
            got = fused.update(shown[span], chunk.targets[span])
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(got, said, rtol=1e-12, atol=1e-12)


def replacing(updates: int, batch: int | None = None, more: Any = list, **settings: Any) -> None:
    """The same units are replaced, at the same moments."""
    own = {key: settings.pop(key) for key in [*settings] if hasattr(ContinualBackprop(), key)}
    own = {"replacement_rate": 0.02, "maturity": 10, **own}
    torch_learner, fused = compare(
        lambda: [*more(), ContinualBackprop(**own)], updates, batch=batch, **settings
    )
    (method,) = (m for m in torch_learner.methods if isinstance(m, ContinualBackprop))
    units = fused._parts.units
    for layer, state in enumerate(method._units, start=1):
        assert state.replaced > updates / 50
        n = len(state.age)
        assert np.array_equal(units.age[layer, :n], state.age)
        assert units.replaced[layer - 1] == state.replaced
        assert units.eligible[layer - 1] == state.eligible
        for mine, theirs in (
            (units.utility, state.utility),
            (units.mean, state.mean_feature),
        ):
            np.testing.assert_allclose(mine[layer, :n], theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("profile", ["paper", "code"])
@pytest.mark.parametrize("utility", get_args(Utility))
def test_continual_backprop_replaces_the_same_units(utility, profile, optimizer):
    long = (profile == "code") == (optimizer == "adam")  # every utility with either optimizer
    updates = 10_000 if long and utility in ("contribution", "adaptable_contribution") else 1500
    replacing(updates, utility=utility, profile=profile, **OPTIMIZERS[optimizer])


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"replacement": "bernoulli", "transfer_bias": True}, list),
        ({"replacement": "bernoulli", "profile": "code", "replacement_rate": 0.4}, list),
        ({"profile": "code", "replacement_rate": 0.9, "maturity": 2}, list),
        ({"utility_decay": 0.0, "utility": "zero_contribution", "transfer_bias": True}, list),
        ({"utility": "adaptable_contribution"}, METHODS["layer-norm+l2"]),
        ({"utility": "adaptable_contribution"}, ONLINE["dropout"]),
        ({"utility": "feature_by_input", "activation": "sigmoid"}, METHODS["dropout"]),
    ],
)
def test_continual_backprop_in_its_other_forms(settings, more, batch):
    replacing(1000, batch, more, **settings)


@pytest.mark.parametrize("profile", ["paper", "code"])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_continual_backprop_clears_what_optimizers_remember(optimizer, profile):
    settings = {"transfer_bias": True, "profile": profile, **OPTIMIZERS[optimizer]}
    replacing(1000, 3, METHODS["l2"], **settings)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_restarts_at_switches_of_task(optimizer):
    def methods() -> list[Any]:
        rate = {"replacement_rate": 0.05, "maturity": 3, "profile": "code"}
        return [Fresh(), Dropout(dropout_rate=0.2), ContinualBackprop(**rate)]

    torch_learner = float64(methods(), **OPTIMIZERS[optimizer])
    fused = FusedLearner(float64(methods(), **OPTIMIZERS[optimizer]))
    assert fused.needs_boundary
    for seed in range(4):
        chunk = stream(100, seed=seed)
        want, got = torch_learner.update_many(chunk), fused.update_many(chunk)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
        torch_learner.on_task_switch(), fused.on_task_switch()
    mine, theirs = (x.inspect(chunk.examples(), chunk.targets) for x in (fused, torch_learner))
    for name in ("features", "weights", "parameters", "initial_parameters", "gradients"):
        for one, other in zip(getattr(mine, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_restored_learner_is_taken_over_where_it_stands(optimizer):
    def make() -> NetworkLearner:
        rate = {"replacement_rate": 0.05, "maturity": 3, "profile": "code"}
        return float64([ContinualBackprop(**rate)], **OPTIMIZERS[optimizer])

    first, restored = make(), make()
    chunk = stream(600)
    first.update_many(part(chunk, 0, 300))
    restored.load_state_dict(first.state_dict())
    got = FusedLearner(restored).update_many(part(chunk, 300, 600))
    want = first.update_many(part(chunk, 300, 600))
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_ten_updates_in_single_precision(optimizer):
    make = functools.partial(
        NetworkLearner, *problem(), seed=0, hidden=(8, 6), **OPTIMIZERS[optimizer]
    )
    torch_learner, fused = make(), FusedLearner(make())
    chunk = stream(10)
    want, got = torch_learner.update_many(chunk), fused.update_many(chunk)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
    for mine, theirs in zip(parameters(fused), torch_learner.module.parameters(), strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=0, atol=1e-6)


def test_a_row_left_alone_is_one_whose_steps_are_below_rounding():
    """A silent input's row stands still between its rare appearances, and only then."""
    fused = FusedLearner(float64(activation="tanh", **OPTIMIZERS["adam"]))
    chunk = stream(3000)
    place = int(np.flatnonzero(chunk.transforms[0].columns == 2)[0])
    rows = []
    for start in range(0, 3000, 20):
        fused.update_many(part(chunk, start, start + 20))
        rows.append(matrices(fused._parts.net, fused._parts.net.weights)[0][place].copy())
    moved = [not np.array_equal(a, b) for a, b in itertools.pairwise(rows)]
    assert np.mean(moved) == pytest.approx(3 * 344 / 3000, abs=0.05)  # 0.9005^344 = 2^-52


def test_inputs_are_read_in_place_or_copied_with_the_same_result():
    """By index from grey levels, as shown in single precision, or one at a time."""
    chunk = stream(300)
    shown = chunk.examples()
    make = functools.partial(NetworkLearner, *problem(), seed=0, hidden=(8, 6))
    learners = [FusedLearner(make()) for _ in range(5)]
    rows, first = np.arange(300), chunk.targets
    other = Chunk(shown, rows, (Identity(),), 0 * rows, first)
    turned = Chunk(np.asfortranarray(shown), rows, (Identity(),), 0 * rows, first)
    called = Chunk(chunk.inputs, chunk.rows, (lambda x: chunk.transforms[0](x),), 0 * rows, first)
    want = learners[0].update_many(chunk)
    for learner, same in zip(learners[1:], (other, turned, called), strict=False):
        assert np.array_equal(learner.update_many(same), want)
    for t in range(300):
        x, y = shown[t : t + 1], first[t : t + 1]
        said = learners[4].predict(x)
        assert np.array_equal(said, learners[4].update(x, y))
        assert np.array_equal(said[0], want[t])


def test_a_chunk_may_span_tasks():
    chunks = [stream(50, seed=seed) for seed in range(2)]
    base = np.concatenate([chunk.inputs for chunk in chunks])
    joined = Chunk(
        base,
        np.concatenate([chunks[0].rows, chunks[1].rows + 1000]),
        (chunks[0].transforms[0], chunks[1].transforms[0]),
        np.repeat([0, 1], 50),
        np.concatenate([chunk.targets for chunk in chunks]),
    )
    make = functools.partial(NetworkLearner, *problem(), seed=0, hidden=(8, 6))
    one, other = FusedLearner(make()), FusedLearner(make())
    want = np.concatenate([one.update_many(chunk) for chunk in chunks])
    assert np.array_equal(other.update_many(joined), want)

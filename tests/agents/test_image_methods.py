"""Every method on every network for images: null settings, replacements, restarts, checkpoints."""

import io
import math

import numpy as np
import pytest
import torch

from agents import registry, seeding
from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.dropout import Dropout
from agents.methods.equal_betas import EqualBetas
from agents.methods.fresh import Fresh
from agents.methods.head_reset import HeadReset
from agents.methods.l2 import L2
from agents.methods.l2_init import L2Init
from agents.methods.layer_norm import LayerNorm
from agents.methods.redo import ReDo
from agents.methods.regrama import ReGraMa
from agents.methods.shrink_perturb import ShrinkPerturb
from agents.methods.upgd import UPGD
from agents.methods.weight_clipping import WeightClipping
from agents.networks import build
from agents.networks.parts import fresh_biases, fresh_weights
from agents.units import draw_units
from tests.agents.helpers import batch_of, float64, same, values
from tests.agents.helpers import train as train_vectors
from tests.agents.pictures import (
    IMAGE_NETWORKS,
    images,
    learner,
    narrow,
    problem,
    seen_by_methods,
    train,
)

__all__ = ["narrow"]
pytestmark = pytest.mark.usefixtures("narrow")
HOT = {"replacement_rate": 0.1, "maturity": 2, "profile": "code"}
NULLS = {
    "l2": lambda: [L2(weight_decay=0)],
    "l2-init": lambda: [L2Init(weight_decay=0)],
    "weight-clipping": lambda: [WeightClipping(kappa=None)],
    "upgd": lambda: [UPGD(weight_decay=0, noise_std=0, protect=False)],
    "shrink-perturb": lambda: [ShrinkPerturb(weight_decay=0, noise_std=0)],
    "dropout": lambda: [Dropout(dropout_rate=0)],
    "continual-backprop": lambda: [ContinualBackprop(replacement_rate=0)],
    "fresh": lambda: [Fresh()],
    "head-reset": lambda: [HeadReset()],
    "redo": lambda: [ReDo(period=0)],
    "regrama": lambda: [ReGraMa(period=0)],
}


def everything(made) -> dict:
    """Parameters, statistics, optimizer and generators, without what only a method counts."""
    state = made.state_dict()
    return {key: state[key] for key in ("parameters", "optimizer", "dropout")}


@pytest.mark.parametrize("kind", IMAGE_NETWORKS)
@pytest.mark.parametrize("method", NULLS)
def test_null_setting_is_backprop_bit_for_bit(method, kind):
    settings = {"dtype": torch.float32, "momentum": 0.9}
    plain, made = learner(kind, **settings), learner(kind, NULLS[method](), **settings)
    state = torch.get_rng_state()
    assert np.array_equal(train(plain, 5), train(made, 5))
    assert same(everything(plain), everything(made))
    fresh = learner(kind, NULLS[method](), **settings)
    for own, first in zip(made.methods, fresh.methods, strict=True):
        if hasattr(own, "_generators"):
            assert same(own.state_dict()["generators"], first.state_dict()["generators"])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", IMAGE_NETWORKS)
@pytest.mark.parametrize(
    "methods",
    [
        lambda: [L2(weight_decay=0.01)],
        lambda: [ShrinkPerturb(weight_decay=0.01, noise_std=0.01)],
        lambda: [ContinualBackprop(**HOT)],
        lambda: [ReDo(period=3, tau=0.5)],
    ],
)
def test_any_strength_above_0_is_not_backprop(methods, kind):
    assert not np.array_equal(train(learner(kind), 8), train(learner(kind, methods()), 8))


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("kind", IMAGE_NETWORKS)
def test_replaced_are_the_floor_of_rate_times_eligible(kind, rate):
    method = ContinualBackprop(replacement_rate=rate, maturity=2, profile="code")
    made = learner(kind, [method], dtype=torch.float32)
    ages = [state.age.tolist() for state in method._units]
    eligible, replaced = [0] * len(ages), [0] * len(ages)
    for _ in range(12):
        train(made, 1)
        for layer, state in enumerate(method._units):
            before = [age + 1 for age in ages[layer]]
            eligible[layer] += sum(age > 2 for age in before)
            ages[layer] = state.age.tolist()
            gone = [i for i, age in enumerate(ages[layer]) if age == 0]
            assert all(before[i] > 2 for i in gone)
            replaced[layer] += len(gone)
            assert replaced[layer] == math.floor(rate * eligible[layer]) == int(state.replaced)
    assert max(replaced) > 0


def naive_utility(h: np.ndarray, incoming: list, outgoing: list, mean: float) -> dict[str, float]:
    """One unit's utilities, from all its activations and flat lists of its weights."""
    w_in, w_out = np.abs(np.concatenate(incoming)).mean(), np.abs(np.concatenate(outgoing)).mean()
    size, centred = np.abs(h).mean(), np.abs(h - mean).mean()
    return {"contribution": w_out * size, "adaptable_contribution": w_out * centred / w_in}


@pytest.mark.parametrize("kind", IMAGE_NETWORKS)
@pytest.mark.parametrize("utility", ["contribution", "adaptable_contribution"])
def test_utility_averages_over_positions_and_all_the_units_weights(kind, utility):
    method = ContinualBackprop(utility=utility, utility_decay=0.0, maturity=100)
    made = learner(kind, [method])
    network, flat = seen_by_methods(made), slice(None)
    x = torch.tensor(images(kind, 3).examples()).double()
    with torch.no_grad():
        features = made.module(x)[1]
        lists = [h if isinstance(h, list) else [h] for h in features]
        method.after_step(batch_of([torch.cat(h) for h in lists]))
    for depth, layer in enumerate(network.layers):
        unit = 3
        h = np.concatenate([point[:, unit].reshape(-1).numpy() for point in lists[depth]])
        incoming = [
            network.params[one.weight].detach()[unit].reshape(-1).numpy() for one in layer.incoming
        ]
        outgoing = []
        for reader in layer.consumers:
            columns = slice(unit * reader.spread, (unit + 1) * reader.spread)
            weight = network.params[reader.weight].detach()
            outgoing.append(weight[flat, columns].reshape(-1).numpy())
        expected = naive_utility(h, incoming, outgoing, h.mean())[utility]
        assert method._units[depth].utility[unit].item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("kind", ["convnet", "small_cnn"])
def test_transferred_bias_stands_for_a_constant_activation(kind):
    """A unit that is always 0.7 can be replaced without a change to what is read."""
    method = ContinualBackprop(transfer_bias=True, **HOT)
    made = learner(kind, [method])
    modules = [*made.module.convs, *made.module.linears]
    for depth, reader in enumerate(modules[1:]):
        layer, state = method._network.layers[depth], method._units[depth]
        state.age += 1
        state.mean_feature.fill_(0.7 * (1 - 0.99))
        side = 1 if layer.consumers[0].spread == 1 and reader.weight.ndim == 2 else 2
        side = 6 if reader.weight.ndim == 4 else side
        h = torch.rand(2, len(state.age), side, side, dtype=torch.float64)
        h[:, 1] = 0.7
        h = h if reader.weight.ndim == 4 else h.flatten(1)
        with torch.no_grad():
            before = reader(h)
            method._transfer(layer, state, torch.tensor([1]), torch.tensor([True]))
            method._network.outgoing(layer)[0][1] = 0
            torch.testing.assert_close(reader(h), before, rtol=1e-12, atol=1e-12)


def test_transferring_a_bias_is_refused_where_it_has_no_meaning():
    with pytest.raises(ValueError, match="^transfer_bias: True is not allowed in a net") as error:
        learner("resnet18", [ContinualBackprop(transfer_bias=True)])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", IMAGE_NETWORKS)
def test_fresh_starts_over_with_everything(kind):
    made = learner(kind, [Fresh()], momentum=0.9)
    train(made, 3)
    made.on_task_switch()
    twin = build(made.module.spec, made._dropout).double()
    twin.initialise(seeding.generator(0, seeding.Purpose.INIT, 1))
    assert same(dict(made.module.state_dict()), dict(twin.state_dict()))
    assert not made.optimizer.state


@pytest.mark.parametrize("kind", (*IMAGE_NETWORKS, "mlp"))
def test_head_reset_draws_the_output_layer_and_nothing_else(kind):
    settings = {"hidden": (9,)} if kind == "mlp" else {}
    made = learner(kind, [HeadReset()], momentum=0.9, **settings)
    assert made.needs_boundary
    head = made.module.head()
    drawn = []
    for switch in range(2):
        train(made, 2)
        before = made.state_dict()
        made.on_task_switch()
        after = made.state_dict()
        assert same(before["optimizer"], after["optimizer"])
        changed = {
            name
            for name, old in before["parameters"].items()
            if not torch.equal(old, after["parameters"][name])
        }
        assert changed == {head.weight, head.bias}
        weight, bias = (made.module.get_parameter(n).detach() for n in (head.weight, head.bias))
        key, fan_in = seeding.key(0, seeding.Purpose.HEAD), weight.shape[1]
        uniform = seeding.uniform(key, (switch, 0), tuple(weight.shape))
        assert torch.equal(weight, fresh_weights(head.initialiser, None, fan_in, uniform))
        uniform = seeding.uniform(key, (switch, 1), tuple(bias.shape))
        assert torch.equal(bias, fresh_biases(head.initialiser, fan_in, uniform))
        assert bool(bias.any()) is (kind in ("convnet", "small_cnn"))
        drawn.append(weight.clone())
    assert not torch.equal(*drawn)


def test_methods_of_one_composition_have_draws_of_their_own():
    """With head-reset added, the others draw as without it."""
    pairs = []
    for methods in ([], [HeadReset()]):
        own = [ContinualBackprop(**HOT), ShrinkPerturb(noise_std=0.01)]
        made = float64([*own, *methods], batch=2)
        made.on_task_switch()  # before anything is learned: only the head differs from now on
        train_vectors(made, 8)
        network, keys, updates = own[0]._network, own[0]._keys, own[0]._updates
        drawn = draw_units(network, network.layers[0], keys, (0, 0, updates), 3)
        pairs.append((drawn, own[1].state_dict()))
    assert same(*pairs)
    words = {int(seeding.key(0, purpose)) for purpose in seeding.Purpose}
    assert len(words) == len(seeding.Purpose)


@pytest.mark.parametrize("kind", IMAGE_NETWORKS)
def test_equal_betas_hold_on_images(kind):
    settings = {"optimizer": "adam", "dtype": torch.float32}
    made = learner(kind, [EqualBetas(beta=0.9)], **settings)
    plain = learner(kind, **settings)
    assert {group["betas"] for group in made.optimizer.param_groups} == {(0.9, 0.9)}
    assert not np.array_equal(train(plain, 5), train(made, 5))


def test_retrained_is_another_name_of_fresh():
    assert "retrained" in registry.names() and "retrained" not in registry.METHODS
    assert registry.resolve("retrained+l2") == "fresh+l2"
    assert registry.resolve("fresh") == "fresh" and registry.resolve("nobody") == "nobody"
    for name in ("retrained", "l2+retrained"):
        made = registry.make(name, *problem("convnet"), seed=0)
        assert any(isinstance(method, Fresh) for method in made.methods)
        assert registry.parameters(name) == registry.parameters(registry.resolve(name))
    with pytest.raises(ValueError, match="twice"):
        registry.factory("fresh+retrained")


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


COMPOSITIONS = {
    "continual-backprop": lambda: [ContinualBackprop(**HOT)],
    "all": lambda: [
        L2(weight_decay=0.01), L2Init(weight_decay=0.01), ContinualBackprop(**HOT),
        ShrinkPerturb(noise_std=0.01), HeadReset(), WeightClipping(),
    ],
    "redo": lambda: [ReDo(period=2, tau=0.3), ReGraMa(period=3, tau=0.3), UPGD()],
    "normed": lambda: [LayerNorm(), Dropout(dropout_rate=0.2), Fresh()],
}  # fmt: skip
CASES = [(kind, name) for kind in IMAGE_NETWORKS for name in COMPOSITIONS]


@pytest.mark.parametrize(
    ("kind", "methods"), [case for case in CASES if case != ("resnet18", "normed")]
)
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_continuing_from_a_file_gives_the_same_run_bit_for_bit(kind, methods, optimizer):
    own = {"momentum": 0.9} if optimizer == "momentum" else {"optimizer": "adam"}
    settings = {"dtype": torch.float32, "decay_epochs": (1, 2), **own}

    def make():
        return learner(kind, COMPOSITIONS[methods](), **settings)

    def go(on, seed):
        told = {"epoch": seed + 1, "seen": np.array([True, True, True, seed > 0])}
        on.on_privileges(told)
        said = [train(on, 3, seed=seed)]
        on.on_task_switch()
        return np.concatenate([*said, train(on, 3, seed=seed + 10)])

    made = make()
    go(made, 0)
    state = through_a_file(made.state_dict())
    kept = through_a_file(made.state_dict())
    rest = [train(made, 2, seed=5), go(made, 1)]
    continued = make()
    train(continued, 2, seed=9)
    continued.load_state_dict(state)
    assert same(continued.state_dict(), kept)
    assert same([train(continued, 2, seed=5), go(continued, 1)], rest)
    assert same(continued.state_dict(), made.state_dict())
    assert same(state, kept)


def test_noise_reaches_the_normalisations_and_not_the_running_statistics():
    made, plain = learner("resnet18", [ShrinkPerturb(weight_decay=0, noise_std=0.1)]), None
    plain = learner("resnet18")
    train(made, 1), train(plain, 1)
    for mine, base in zip(values(made), values(plain), strict=True):
        assert (mine != base).all()
    for mine, base in zip(made.module.buffers(), plain.module.buffers(), strict=True):
        assert torch.equal(mine, base)

"""Views of units and their resets, whatever the layer: in place, complete, and felt by no other."""

import functools

import pytest
import torch
from scipy import stats
from torch import nn

from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.layer_norm import LayerNorm
from agents.methods.redo import ReDo
from agents.network import Features, Network
from agents.units import draw_units, reset_units
from tests.agents.helpers import batch_of
from tests.agents.pictures import (
    IMAGE_NETWORKS,
    images,
    learner,
    narrow,
    seen_by_methods,
    tensor,
    train,
)

__all__ = ["narrow"]
pytestmark = pytest.mark.usefixtures("narrow")
LAYERS = [("convnet", i) for i in range(5)] + [("small_cnn", i) for i in range(4)]
LAYERS += [("resnet18", i) for i in range(12)]


def taught(network: str, methods=(), optimizer: str = "sgd", **settings):
    """A network whose statistics, normalisations and optimizer state are not those of the start."""
    momentum = 0.9 if optimizer == "sgd" else 0.0
    made = learner(network, methods, optimizer=optimizer, momentum=momentum, **settings)
    train(made, 2)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in made.module.modules():
            if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
                module.weight.uniform_(0.5, 2, generator=generator)
                module.bias.uniform_(-0.5, 0.5, generator=generator)
    return made


def passed(made, x: torch.Tensor, training: bool) -> tuple[torch.Tensor, Features]:
    """Outputs and features, without a trace in the running statistics."""
    kept = {name: b.clone() for name, b in made.module.named_buffers()}
    made.module.train(training)
    with torch.no_grad():
        result, layers = made.module(x)
        for name, buffer in made.module.named_buffers():
            buffer.copy_(kept[name])
    made.module.train()
    return result, Features(layers)


def silence(network: Network, depth: int, unit: int) -> None:
    """Make a ReLU unit 0 on every input: whatever feeds it adds -1."""
    with torch.no_grad():
        for one in network.layers[depth].incoming:
            scale, offset = one.norm or (one.weight, one.bias)
            network.params[scale][unit] = 0
            network.params[offset][unit] = -1


def replace(network: Network, depth: int, unit: int) -> None:
    """Give one unit incoming weights of 3."""
    layer = network.layers[depth]
    fresh = [torch.full_like(weight[:1], 3.0).detach() for weight in network.incoming(layer)]
    with torch.no_grad():
        reset_units(network, layer, torch.tensor([unit]), torch.tensor([True]), fresh)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("kind", "depth"), LAYERS)
def test_replacing_a_dead_unit_changes_no_bit_of_the_outputs(kind, depth, training, dtype):
    made = taught(kind, dtype=dtype)
    network, x = seen_by_methods(made), tensor(images(kind, 3, seed=5)).to(dtype)
    silence(network, depth, unit=2)
    before, features = passed(made, x, training)
    assert not features[depth][:, 2].any()
    replace(network, depth, unit=2)
    assert torch.equal(passed(made, x, training)[0], before)
    assert before.abs().max() > 0


@pytest.mark.parametrize(("kind", "depth"), LAYERS)
def test_recycling_dead_units_changes_no_bit_of_the_outputs(kind, depth):
    made = taught(kind, [method := ReDo(period=1, tau=0.0)])
    network, x = seen_by_methods(made), tensor(images(kind, 3, seed=5)).double()
    silence(network, depth, unit=2)
    before, features = passed(made, x, training=False)
    weights = [weight[2].clone() for weight in network.incoming(network.layers[depth])]
    with torch.no_grad():
        method.after_step(batch_of(list(features)))
    assert torch.equal(passed(made, x, training=False)[0], before)
    after = [weight[2] for weight in network.incoming(network.layers[depth])]
    assert not any(map(torch.equal, weights, after))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("kind", "depth"), LAYERS)
def test_a_replaced_unit_is_invisible_and_its_contribution_is_gone(kind, depth, training):
    """As if only its outgoing weights had been taken away, whatever its incoming ones are."""
    made, cut = taught(kind), taught(kind)
    x = tensor(images(kind, 3, seed=5))
    before, features = passed(made, x, training)
    unit = int(features[depth].abs().transpose(0, 1).flatten(1).sum(1).argmax())
    network, other = seen_by_methods(made), seen_by_methods(cut)
    replace(network, depth, unit)
    with torch.no_grad():
        for weights in other.outgoing(other.layers[depth]):
            weights[unit] = 0
    expected = passed(cut, x, training)[0]
    assert torch.equal(passed(made, x, training)[0], expected)
    assert not torch.equal(expected, before)


@pytest.mark.parametrize("kind", ["convnet", "small_cnn"])
def test_what_a_reader_loses_is_the_units_contribution(kind):
    made = taught(kind)
    network, x = seen_by_methods(made), tensor(images(kind, 2, seed=5))
    modules = [*made.module.convs, *made.module.linears]
    for depth, reader in enumerate(modules[1:]):
        with torch.no_grad():
            h = made.module(x)[1][depth]
            only = torch.zeros_like(h)
            only[:, 1] = h[:, 1]
            only, whole = (t.flatten(1) if reader.weight.ndim == 2 else t for t in (only, h))
            before, lost = reader(whole), reader(only) - reader(torch.zeros_like(only))
            replace(network, depth, unit=1)
            torch.testing.assert_close(reader(whole) - before, -lost, rtol=1e-9, atol=1e-12)
            assert lost.abs().max() > 0


def test_under_layer_normalisation_a_reset_is_not_exact_and_says_so():
    made = taught("small_cnn", [LayerNorm()])
    network, x = seen_by_methods(made), tensor(images("small_cnn", 2))
    silence(network, 0, unit=2)
    before = passed(made, x, False)[0]
    replace(network, 0, unit=2)
    assert not torch.equal(passed(made, x, False)[0], before)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(("kind", "depth"), LAYERS)
def test_everything_of_the_unit_is_reset_in_place_and_nothing_else(kind, depth, optimizer):
    made = taught(kind, optimizer=optimizer)
    network, unit = seen_by_methods(made), 1
    layer = network.layers[depth]
    for parameter in network.params.values():
        for slot in network.optimizer.state[parameter].values():
            slot.add_(1.0)
    own = {name: {} for name in (*network.params, *network.buffers)}  # name -> {what: expected}

    def note(name, mask, value):
        own[name] = {"mask": mask, "value": value}

    for one in layer.incoming:
        for name, value in (
            (one.weight, 3.0), (one.bias, 0.0), *zip(one.norm or (), (1.0, 0.0), strict=False),
        ):  # fmt: skip
            mask = torch.zeros_like(network.params[name]).bool()
            mask[unit] = True
            note(name, mask, value)
        for name, value in zip(one.statistics or (), (0.0, 1.0), strict=False):
            mask = torch.zeros_like(network.buffers[name]).bool()
            mask[unit] = True
            note(name, mask, value)
    for reader in layer.consumers:
        mask = torch.zeros_like(network.params[reader.weight]).bool()
        mask[:, unit * reader.spread : (unit + 1) * reader.spread] = True
        note(reader.weight, mask, 0.0)
    tensors = {**network.params, **network.buffers}
    before = {name: t.detach().clone() for name, t in tensors.items()}
    pointers = {name: t.data_ptr() for name, t in tensors.items()}
    slots = {
        (name, slot): t.clone()
        for name, p in network.params.items()
        for slot, t in network.optimizer.state[p].items()
    }
    replace(network, depth, unit)
    for name, old in before.items():
        if own[name]:
            old = old.masked_fill(own[name]["mask"], own[name]["value"])
        assert torch.equal(tensors[name].detach(), old)
        assert tensors[name].data_ptr() == pointers[name]
    for (name, slot), old in slots.items():
        if own[name] and slot != "step":  # torch's Adam counts a whole tensor
            old = old.masked_fill(own[name]["mask"], 0)
        assert torch.equal(network.optimizer.state[network.params[name]][slot], old)


def test_views_share_memory_with_the_parameters():
    for kind in IMAGE_NETWORKS:
        network = seen_by_methods(learner(kind))
        for layer in network.layers:
            units = len(network.params[layer.incoming[0].bias])
            for view in (*network.incoming(layer), *network.outgoing(layer)):
                assert view.shape[0] == units
                assert view._is_view() or any(view is p for p in network.params.values())
            for view, reader in zip(network.outgoing(layer), layer.consumers, strict=True):
                assert view.data_ptr() == network.params[reader.weight].data_ptr()


def stacked(networks: list[Network], make) -> Network:
    """The members' networks as one."""

    def join(name, kind):
        return torch.stack([getattr(one, kind)[name].detach() for one in networks])

    params = {name: join(name, "params").requires_grad_() for name in networks[0].params}
    buffers = {name: join(name, "buffers") for name in networks[0].buffers}
    return Network(
        params, networks[0].layers, make(params.values()), 0, lead=(len(networks),),
        buffers=buffers,
    )  # fmt: skip


@pytest.mark.parametrize("utility", ["contribution", "adaptable_contribution"])
@pytest.mark.parametrize("kind", IMAGE_NETWORKS)
def test_members_are_so_many_single_networks(kind, utility):
    settings = {"replacement_rate": 0.1, "maturity": 2, "utility": utility, "profile": "code"}
    make = functools.partial(torch.optim.SGD, lr=0.01, momentum=0.9)
    made = [learner(kind, seed=seed) for seed in (0, 1)]
    singles = [seen_by_methods(one) for one in made]
    many = stacked(singles, make)
    methods = [ContinualBackprop(**settings) for _ in range(3)]
    for seed, (method, network) in enumerate(zip(methods, (*singles, many), strict=True)):
        network.seed = seed if network is not many else 0
        method.attach(network)
    x = tensor(images(kind, 2, seed=5))
    for _ in range(8):
        with torch.no_grad():
            features = [list(Features(one.module(x)[1])) for one in made]
            for method, own in zip(methods, features, strict=False):
                method.after_step(batch_of(own))
            methods[2].after_step(batch_of([torch.stack(h) for h in zip(*features, strict=True)]))
    for i, network in enumerate(singles):
        for name, one in network.params.items():
            torch.testing.assert_close(many.params[name][i], one, rtol=0, atol=1e-12)
        for depth, state in enumerate(methods[i]._units):
            assert torch.equal(methods[2]._units[depth].age[i], state.age)
            assert state.replaced == methods[2]._units[depth].replaced[i] > 0


@pytest.mark.parametrize(("kind", "law"), [("convnet", "uniform"), ("resnet18", "norm")])
def test_redrawn_weights_are_distributed_as_the_initialiser(kind, law):
    method = ContinualBackprop()
    learner(kind, [method])
    layers = method._network.layers
    for depth, layer in enumerate(layers):
        drawn = draw_units(method._network, layer, method._keys, (depth,), 40)
        for weight, fresh in zip(method._network.incoming(layer), drawn, strict=True):
            assert fresh.shape == (40, *weight.shape[1:]) and fresh.dtype == weight.dtype
            root = weight[0].numel() ** 0.5
            unit = fresh.reshape(-1) * root / (1 if law == "uniform" else 2**0.5)
            arguments = {"args": (-1, 2)} if law == "uniform" else {}
            assert stats.kstest(unit[:5000].numpy(), law, **arguments).pvalue > 1e-3

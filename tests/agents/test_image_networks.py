"""The networks for images: their shapes, their initialisation, and what they refuse."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from agents import seeding
from agents.methods.dropout import Dropout
from agents.methods.layer_norm import LayerNorm
from agents.methods.redo import ReDo
from agents.network import Features
from agents.networks import build
from agents.networks.parts import ACTIVATIONS
from agents.networks.spec import HIDDEN, NetworkSpec
from tests.agents.helpers import same, values
from tests.agents.pictures import (
    IMAGE_NETWORKS,
    SIDES,
    images,
    learner,
    narrow,
    tensor,
)

__all__ = ["narrow"]
PIXELS = (32, 32, 3)


def made(network: str, outputs: int = 10, image: tuple = PIXELS, seed: int = 0, **changes):
    spec = NetworkSpec(
        math.prod(image), outputs, HIDDEN, **{"activation": "relu", **changes}, network=network,
        image=image,
    )  # fmt: skip
    module = build(spec, seeding.generator(seed, seeding.Purpose.DROPOUT)).double()
    module.initialise(seeding.generator(seed, seeding.Purpose.INIT, 0))
    return module


def textbook(module) -> nn.Sequential:
    """The same network as a person would write it, with copies of the weights."""
    parts = []
    for conv in module.convs:
        parts += [copy.deepcopy(conv), nn.ReLU(), nn.MaxPool2d(2)]
    parts.append(nn.Flatten())
    for linear in module.linears:
        parts += [copy.deepcopy(linear), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


@pytest.mark.parametrize(
    ("kind", "normed"),
    [*((kind, False) for kind in IMAGE_NETWORKS), ("convnet", True), ("small_cnn", True)],
)
def test_every_parameter_is_of_one_map_or_of_a_normalisation(kind, normed):
    """What clipping clips, and what L2 Init leaves out, is all there is and nothing twice."""
    made = learner(kind, [ReDo(), *([LayerNorm()] if normed else [])])
    network = made.methods[0]._network
    names = [name for pair in network.maps() for name in pair]
    assert sorted([*names, *network.norms()]) == sorted(network.params)
    layers = dict(made.module.named_modules())
    kinds = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
    normalised = {
        name for name in network.params if isinstance(layers[name.rpartition(".")[0]], kinds)
    }
    assert network.norms() == normalised and bool(normalised) == (normed or kind == "resnet18")


@pytest.mark.parametrize("network", ["convnet", "small_cnn"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_learner_is_the_textbook_loop(network, momentum):
    mine = learner(network, momentum=momentum, step_size=0.05)
    model = textbook(mine.module)
    step = torch.optim.SGD(model.parameters(), lr=0.05, momentum=momentum)
    for inputs, targets in images(network, 3 * 12).batches(3):
        outputs = model(torch.tensor(inputs).double().permute(0, 3, 1, 2).contiguous())
        step.zero_grad()
        F.cross_entropy(outputs, torch.tensor(targets)).backward()
        step.step()
        said = mine.update(inputs, targets)
        np.testing.assert_allclose(said, outputs.detach().numpy(), rtol=1e-10, atol=1e-12)
    for one, other in zip(values(mine), model.parameters(), strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_features_are_pooled_activations_whatever_comes_first(activation):
    module = made("convnet", activation=activation)
    x = tensor(images("convnet", 2))
    hidden, expected = x.permute(0, 3, 1, 2), []
    for conv in module.convs:
        hidden = F.max_pool2d(ACTIVATIONS[activation](conv(hidden)), 2)
        expected.append(hidden)
    _, features = module(x)
    assert [tuple(h.shape[1:]) for h in features] == [
        (32, 14, 14), (64, 6, 6), (128, 2, 2), (128,), (128,),
    ]  # fmt: skip
    for one, other in zip(features, expected, strict=False):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("network", "outputs", "count"),
    [
        ("convnet", 2, 177_218),  # by hand: 2,432 + 18,496 + 73,856 + 65,664 + 16,512 + 258
        ("small_cnn", 2, 58_034),  # 1,216 + 6,416 + 40,100 + 10,100 + 202
        ("resnet18", 100, 11_220_132 + 4_800),  # the usual one, and a bias for each channel
    ],
)
def test_numbers_of_parameters(network, outputs, count):
    assert sum(p.numel() for p in made(network, outputs).parameters()) == count


@pytest.mark.parametrize("network", ["convnet", "small_cnn"])
def test_weights_and_biases_are_torchs_uniform_ones(network):
    module = made(network)
    for layer in (*module.convs, *module.linears):
        bound = 1 / math.sqrt(layer.weight[0].numel())
        drawn = torch.cat([layer.weight.detach().reshape(-1), layer.bias.detach()]).numpy() / bound
        assert stats.kstest(drawn, "uniform", args=(-1, 2)).pvalue > 1e-3
        assert layer.bias.detach().abs().max() > 0.3 * bound


def test_channels_of_the_residual_network_are_last_in_memory_after_a_restart_too():
    made = learner("resnet18", optimizer="adam")
    made.update(*next(images("resnet18", 3).batches(3)))
    again = learner("resnet18", optimizer="adam")
    again.load_state_dict(made.state_dict())
    weight = again.module.blocks[0].conv1.weight
    for one in (weight, again.optimizer.state[weight]["exp_avg"]):
        assert one.is_contiguous(memory_format=torch.channels_last)


def test_residual_weights_are_kaiming_normal():
    module = made("resnet18", outputs=100)
    convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 20
    for layer in (*convs, module.linear):
        gain = 1.0 if layer is module.linear else math.sqrt(2)
        weight = layer.weight.detach().reshape(-1)[:20_000]
        unit = weight.numpy() * math.sqrt(layer.weight[0].numel()) / gain
        assert stats.kstest(unit, "norm").pvalue > 1e-3
        assert layer.bias is not None and not layer.bias.detach().any()
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 20
    for norm in norms:
        assert (norm.weight == 1).all() and (norm.bias == 0).all()
        assert (norm.running_mean == 0).all() and (norm.running_var == 1).all()


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("network", IMAGE_NETWORKS)
def test_initialise_starts_over_completely_and_in_either_precision(network, layer_norm):
    if layer_norm and network == "resnet18":
        return
    side = (SIDES[network],) * 2
    module = made(network, image=(*side, 3), layer_norm=layer_norm)
    before = copy.deepcopy(module.state_dict())
    with torch.no_grad():
        for tensor_ in module.state_dict().values():
            tensor_.fill_(7)
    module.initialise(seeding.generator(0, seeding.Purpose.INIT, 0))
    assert same(dict(before), dict(module.state_dict()))
    single = module.float()
    single.initialise(seeding.generator(0, seeding.Purpose.INIT, 0))
    for name, value in single.state_dict().items():
        assert torch.equal(value, before[name].to(value.dtype))


def test_layer_norm_is_over_channels_and_positions():
    mine = learner("convnet", [LayerNorm()])
    module, x = mine.module, tensor(images("convnet", 2))
    with torch.no_grad():
        for norm in module.norms:
            norm.weight.uniform_(-2, 2, generator=torch.Generator().manual_seed(1))
            norm.bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    z = module.convs[0](x.permute(0, 3, 1, 2))
    mean = z.mean((1, 2, 3), keepdim=True)
    spread = (z.var((1, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    gain, offset = (t[:, None, None] for t in (module.norms[0].weight, module.norms[0].bias))
    expected = F.max_pool2d(torch.relu(gain * (z - mean) / spread + offset), 2)
    torch.testing.assert_close(module(x)[1][0], expected, rtol=1e-10, atol=1e-12)
    assert module.norms[3].normalized_shape == (128,)


def test_dropout_drops_units_and_positions_one_by_one():
    mine = learner("small_cnn", [Dropout(dropout_rate=0.3)])
    x = tensor(images("small_cnn", 200))
    mine.module.eval()
    plain = mine.module(x)[1]
    mine.module.train()
    dropped = mine.module(x)[1]
    alive = plain[0] > 0
    kept = dropped[0][alive] != 0
    assert 1 - kept.double().mean().item() == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(dropped[0][alive][kept], plain[0][alive][kept] / 0.7)
    for h in dropped:
        assert (h == 0).double().mean() > 0.29


@pytest.mark.usefixtures("narrow")
def test_a_stream_is_seen_at_every_point_where_it_is_read():
    module = learner("resnet18").module
    x = tensor(images("resnet18", 3))
    seen = {}
    for i, block in enumerate(module.blocks):
        block.conv1.register_forward_pre_hook(lambda m, a, i=i: seen.__setitem__(i, a[0]))
    module.linear.register_forward_pre_hook(lambda m, a: seen.__setitem__("end", a[0]))
    features = Features(module(x)[1])
    streams = [features[i] for i in (2, 5, 8, 11)]
    points = [[seen[i] for i in own] for own in ((0, 1, 2), (3, 4), (5, 6))]
    for stream, own in zip(streams, points, strict=False):
        assert torch.equal(stream, torch.cat(own))
    assert torch.equal(streams[3][:3], seen[7])
    assert torch.equal(streams[3][3:].mean((2, 3)), seen["end"])
    assert len(features) == len(module.hidden_layers()) == 12


@pytest.mark.parametrize("network", IMAGE_NETWORKS)
@pytest.mark.usefixtures("narrow")
def test_hidden_layers_name_what_feeds_and_reads_them(network):
    module = learner(network).module
    params, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    features = Features(module(tensor(images(network, 3)))[1])
    fed, read = set(), set()
    for layer, h in zip(module.hidden_layers(), features, strict=True):
        units = h.shape[1]
        for one in layer.incoming:
            assert len(params[one.weight]) == len(params[one.bias]) == units
            assert all(params[name].shape == (units,) for name in one.norm or ())
            assert all(buffers[name].shape == (units,) for name in one.statistics or ())
            assert one.weight not in fed
            fed |= {one.weight, one.bias, *(one.norm or ())}
        for reader in layer.consumers:
            assert params[reader.weight].shape[1] == units * reader.spread
            assert reader.weight not in read
            read.add(reader.weight)
    head = module.head()
    assert set(params) - fed == {head.weight, head.bias}
    inputs = {name for name in params if name.endswith("weight") and params[name].ndim > 1} - read
    assert inputs == {"stem.weight"} if network == "resnet18" else inputs == {"convs.0.weight"}

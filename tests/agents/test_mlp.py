import math

import pytest
import torch
from torch import nn

from agents import seeding
from agents.networks.mlp import MLP
from agents.networks.parts import ACTIVATIONS, init_bound
from agents.networks.spec import NetworkSpec
from tests.agents.helpers import float64, train, values


def mlp(dtype: torch.dtype = torch.float32, seed: int = 0, **changes) -> MLP:
    settings = {"inputs": 50, "outputs": 10, "hidden": (400, 300), "activation": "relu"}
    spec = NetworkSpec(**{**settings, **changes})
    module = MLP(spec, seeding.generator(seed, seeding.Purpose.DROPOUT)).to(dtype)
    module.initialise(seeding.generator(seed, seeding.Purpose.INIT))
    return module


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_weights_are_kaiming_uniform_with_the_published_gains(activation):
    torch_name = {"swish": "relu", "elu": "relu"}.get(activation, activation)
    gain = nn.init.calculate_gain(torch_name)
    module = mlp(activation=activation, dtype=torch.float64)
    fans = [(50, gain), (400, gain), (300, 1.0)]
    for linear, (fan_in, factor) in zip(module.linears, fans, strict=True):
        bound = factor * math.sqrt(3 / fan_in)
        weight = linear.weight.detach()
        assert weight.abs().max() <= bound
        assert weight.abs().max() > 0.99 * bound
        assert weight.mean().abs() < 5 * bound / math.sqrt(3 * weight.numel())
        assert weight.std() == pytest.approx(factor / math.sqrt(fan_in), rel=0.05)
        assert not linear.bias.detach().any()


def test_bound_is_given_for_hidden_layers_and_for_the_output():
    assert init_bound("relu", 6) == pytest.approx(1.0)
    assert init_bound("tanh", 3) == pytest.approx(5 / 3)
    assert init_bound("leaky_relu", 3) == pytest.approx(math.sqrt(2 / 1.0001))
    assert init_bound(None, 12) == pytest.approx(0.5)


def test_float32_starts_from_the_rounded_float64_draw():
    for single, double in zip(
        mlp().parameters(), mlp(dtype=torch.float64).parameters(), strict=True
    ):
        assert torch.equal(single, double.float())


def test_initialise_starts_over_completely():
    module = mlp(layer_norm=True)
    before = [p.detach().clone() for p in module.parameters()]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(7.0)
    module.initialise(seeding.generator(0, seeding.Purpose.INIT))
    assert all(map(torch.equal, before, module.parameters()))


def test_forward_is_linear_activation_linear():
    module = mlp(activation="tanh", dtype=torch.float64)
    x = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first, second, last = module.linears
    h1 = torch.tanh(first(x))
    h2 = torch.tanh(second(h1))
    outputs, features = module(x)
    assert torch.equal(outputs, last(h2))
    assert torch.equal(features[0], h1) and torch.equal(features[1], h2)


def test_layer_norm_is_before_the_activation_of_every_hidden_layer():
    module = mlp(layer_norm=True, dtype=torch.float64)
    with torch.no_grad():
        for norm in module.norms:
            norm.weight.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
            norm.bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    x = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    hidden = x
    for linear, norm in zip(module.linears[:-1], module.norms, strict=True):
        z = linear(hidden)
        spread = (z.var(dim=1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        normed = (z - z.mean(dim=1, keepdim=True)) / spread
        hidden = torch.relu(norm.weight * normed + norm.bias)
    outputs, features = module(x)
    torch.testing.assert_close(outputs, module.linears[-1](hidden), rtol=1e-12, atol=1e-12)
    assert len(features) == len(module.norms) == 2


@pytest.mark.parametrize("layer_norm", [False, True])
def test_hidden_layers_name_real_parameters(layer_norm):
    module = mlp(layer_norm=layer_norm)
    params = dict(module.named_parameters())
    for units, layer in zip((400, 300), module.hidden_layers(), strict=True):
        (incoming,), (consumer,) = layer.incoming, layer.consumers
        assert params[incoming.weight].shape[0] == params[incoming.bias].shape[0] == units
        assert params[consumer.weight].shape[1] == units and consumer.spread == 1
        assert params[consumer.bias].shape[0] == params[consumer.weight].shape[0]
        assert (incoming.norm is not None) is layer_norm
        assert incoming.statistics is None
        for name in incoming.norm or ():
            assert params[name].shape == (units,)


def test_dropout_zeroes_the_stated_share_and_scales_up_the_rest():
    module = mlp(dropout_rate=0.3, hidden=(400,), dtype=torch.float64)
    x = torch.rand(500, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    module.eval()
    plain = module(x)[1][0]
    module.train()
    dropped = module(x)[1][0]
    alive = plain > 0
    kept = dropped[alive] != 0
    share = 1 - kept.double().mean().item()
    assert share == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / int(alive.sum())))
    torch.testing.assert_close(dropped[alive][kept], plain[alive][kept] / 0.7)


def test_dropout_draws_only_in_training_and_from_its_own_generator():
    module = mlp(dropout_rate=0.5)
    x = torch.ones(2, 50)
    state, default = module.dropout.get_state(), torch.get_rng_state()
    module.eval()
    assert torch.equal(module(x)[0], module(x)[0])
    assert torch.equal(module.dropout.get_state(), state)
    module.train()
    assert not torch.equal(module(x)[0], module(x)[0])
    assert not torch.equal(module.dropout.get_state(), state)
    assert torch.equal(torch.get_rng_state(), default)


def test_dropout_does_not_change_the_initialisation():
    from agents.methods.dropout import Dropout

    assert all(map(torch.equal, values(float64()), values(float64([Dropout(dropout_rate=0.5)]))))


def test_learners_of_either_precision_stay_together():
    from tests.agents.helpers import build

    outputs = train(float64(), 20)
    assert abs(train(build("backprop"), 20) - outputs).max() < 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": (10, 0)}, "hidden: 0 is not allowed; give a whole number of at least 1"),
        ({"hidden": 100}, "hidden: 100 is not allowed; give a list like [100, 100]"),
        ({"activation": "rleu"}, "activation: 'rleu' is not one of elu, leaky_relu, relu"),
        ({"activation": "rleu"}, "; nearest: relu"),
    ],
)
def test_bad_values_are_refused_in_one_line(changes, message):
    with pytest.raises(ValueError) as error:
        mlp(**changes)
    assert message in str(error.value) and "\n" not in str(error.value)

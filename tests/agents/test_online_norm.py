"""Online Normalization: the rules of Chiley et al. 2019, written out again."""

import numpy as np
import pytest
import torch

from agents import seeding
from agents.methods.online_norm import OnlineNorm as Method
from agents.networks.mlp import MLP
from agents.networks.online_norm import OnlineNorm
from agents.networks.spec import NetworkSpec
from tests.agents.helpers import build

F, B, E = 0.9, 0.8, 1e-5


def layer(units=3, f=F, b=B):
    norm = OnlineNorm(units, f, b).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
        norm.bias.uniform_(-1, 1, generator=torch.Generator().manual_seed(2))
    return norm


@pytest.mark.parametrize("batch", [1, 4, 7])
@pytest.mark.parametrize("way", ["forward", "composed"])
def test_forward_and_backward_are_the_published_rules(batch, way):
    norm, rng = layer(), np.random.default_rng(0)
    weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    mean, variance, u, v = np.zeros(3), np.ones(3), np.zeros(3), np.zeros(3)
    for _ in range(50):
        z, up = rng.normal(2, 3, (batch, 3)), rng.normal(1, 1, (batch, 3))
        n, roots = np.empty_like(z), np.empty_like(z)
        for e in range(batch):
            roots[e] = np.sqrt(variance + E)
            n[e] = (z[e] - mean) / roots[e]
            variance = F * variance + F * (1 - F) * (z[e] - mean) ** 2
            mean = F * mean + (1 - F) * z[e]
        a = weight * n + bias
        size = np.sqrt((a**2).mean(1, keepdims=True) + E)
        by_a = (up - a / size * (up * a / size).mean(1, keepdims=True)) / size
        by_z = np.empty_like(z)
        for e in range(batch):
            g = by_a[e] * weight - (1 - B) * v * n[e]
            v = v + g * n[e]
            by_z[e] = g / roots[e] - (1 - B) * u
            u = u + by_z[e]
        inputs = torch.tensor(z, requires_grad=True)
        norm.zero_grad()
        outputs = getattr(norm, way)(inputs)
        outputs.backward(torch.tensor(up))
        for mine, theirs in (
            (outputs.detach(), a / size),
            (inputs.grad, by_z),
            (norm.weight.grad, (by_a * n).sum(0)),
            (norm.bias.grad, by_a.sum(0)),
            (norm.mean, mean),
            (norm.variance, variance),
            (norm.shift, u),
            (norm.product, v),
        ):
            np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-10, atol=1e-12)


def test_what_reaches_the_inputs_is_free_of_shift_and_scale():
    """As a derivative through mean and variance is: on average 0, and 0 in product with n."""
    norm, rng = OnlineNorm(2, 0.99, 0.9).double(), np.random.default_rng(0)
    normals, gradients = [], []
    for _ in range(4000):
        z = torch.tensor(rng.normal([5, -1], [3, 0.5], (1, 2)), requires_grad=True)
        outputs = norm(z)
        n = (z.detach() - norm.mean) / norm.variance.sqrt()
        (outputs * torch.tensor([1.0, 3.0])).sum().backward()  # always the same way
        normals.append(n[0].numpy()), gradients.append(z.grad[0].numpy())
    n, g = np.array(normals)[1000:], np.array(gradients)[1000:]
    assert np.abs(n.mean(0)).max() < 0.1 and np.abs(n.std(0) - 1).max() < 0.1
    size = np.abs(g).mean(0)
    assert (np.abs(g.mean(0)) < 0.02 * size).all()
    assert (np.abs((g * n).mean(0)) < 0.1 * size).all()


def test_outputs_of_a_layer_have_unit_size_whatever_the_weights():
    norm = layer(50)
    with torch.no_grad():
        norm.weight.mul_(1000)
    z = torch.randn(200, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert norm(z).square().mean(1).sqrt().allclose(torch.ones(200, dtype=torch.float64))


def test_evaluation_says_the_same_of_one_example_and_moves_nothing():
    spec = NetworkSpec(5, 2, (4, 3), "tanh", online_norm=(F, B))
    module = MLP(spec, seeding.generator(0, seeding.Purpose.DROPOUT)).double()
    module.initialise(seeding.generator(0, seeding.Purpose.INIT))
    x = torch.randn(20, 1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for one in x:
        before = [buffer.clone() for buffer in module.buffers()]
        module.eval()
        said = module(one)[0]
        assert all(map(torch.equal, before, module.buffers()))
        module.train()
        torch.testing.assert_close(module(one)[0], said, rtol=1e-12, atol=1e-12)
        assert not any(map(torch.equal, before[:2], list(module.buffers())[:2]))


def test_a_replaced_unit_starts_its_statistics_and_controls_anew():
    settings = {"replacement_rate": 0.5, "maturity": 3, "profile": "code"}
    learner = build("online-norm+continual-backprop", hidden=(6, 6), **settings)
    rng = np.random.default_rng(0)
    method = learner.methods[1]
    for _ in range(20):
        x = rng.random((1, learner.module.spec.inputs), dtype=np.float32)
        learner.update(x, rng.integers(learner.module.spec.outputs, size=1))
    for norm, units in zip(learner.module.norms, method._units, strict=True):
        new = units.age == 0
        assert new.any() and not new.all()
        starts = {"weight": 1, "bias": 0, "mean": 0, "variance": 1, "product": 0, "shift": 0}
        for name, value in starts.items():
            of_units = getattr(norm, name)
            assert (of_units[new] == value).all()
            assert (of_units[~new] != value).any()


def test_starting_over_clears_everything():
    norm = layer()
    norm(torch.randn(9, 3, dtype=torch.float64)).sum().backward()
    norm.reset_parameters()
    new = OnlineNorm(3, F, B).double()
    assert all(map(torch.equal, norm.state_dict().values(), new.state_dict().values()))


@pytest.mark.parametrize("name", ["forward_decay", "backward_decay"])
@pytest.mark.parametrize("value", [0, 1, float("nan"), "much"])
def test_bad_decays_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Method(**{name: value})


@pytest.mark.parametrize(
    ("agent", "settings", "said"),
    [
        ("online-norm", {"network": "small_cnn"}, "network: 'small_cnn' is not allowed"),
        ("online-norm+layer-norm", {"network": "mlp"}, "layer-norm and online-norm"),
    ],
)
def test_what_it_cannot_be_put_into_is_refused(agent, settings, said):
    from gymnasium import spaces

    from agents.registry import make

    images = spaces.Box(0, 1, (2, 32, 32, 3), np.float32)
    with pytest.raises(ValueError, match=said):
        make(agent, images, spaces.MultiDiscrete([2, 2]), seed=0, **settings)


def test_each_decay_reaches_its_place():
    spec = NetworkSpec(3, 2, (4,), "relu")
    made = Method(forward_decay=0.9, backward_decay=0.8).build(spec)
    assert made.online_norm == (0.9, 0.8)

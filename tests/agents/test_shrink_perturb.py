import functools
import math

import pytest
import torch

from agents import seeding
from agents.methods.l2 import L2
from agents.methods.shrink_perturb import ShrinkPerturb
from agents.network import Network
from tests.agents.helpers import bare, batch_of, build, float64, train, values

NOTHING = batch_of([])


def still(method, network, steps):
    """Take steps whose loss has no gradient."""
    method.attach(network)
    with torch.no_grad():
        for _ in range(steps):
            for parameter in network.params.values():
                parameter.grad = torch.zeros_like(parameter)
            method.before_step(NOTHING)
            network.optimizer.step()
            method.after_step(NOTHING)


def test_stationary_variance_of_the_noise():
    step_size, decay, std = 0.1, 0.5, 0.02
    sgd = functools.partial(torch.optim.SGD, lr=step_size)
    _, network = bare(hidden=(150, 150), optimizer=sgd)
    still(ShrinkPerturb(weight_decay=decay, noise_std=std), network, 150)
    everything = torch.cat([p.detach().reshape(-1) for p in network.params.values()])
    expected = std**2 / (1 - (1 - step_size * decay) ** 2)
    error = math.sqrt(2 / everything.numel())
    assert everything.var().item() == pytest.approx(expected, rel=5 * error)
    assert everything.mean().abs() < 5 * math.sqrt(expected / everything.numel())


def test_noise_reaches_every_parameter_after_the_step_with_the_stated_size():
    method = ShrinkPerturb(weight_decay=0.0, noise_std=0.1)
    learner, plain = float64([method], hidden=(200, 100)), float64(hidden=(200, 100))
    train(learner, 1), train(plain, 1)
    for mine, base in zip(values(learner), values(plain), strict=True):
        noise = mine - base
        assert noise.all()
        if noise.numel() > 100:
            tolerance = 5 * math.sqrt(1 / 2 / noise.numel())
            assert noise.std().item() == pytest.approx(0.1, rel=tolerance)
    gradients = zip(learner.module.parameters(), plain.module.parameters(), strict=True)
    assert all(torch.equal(mine.grad, base.grad) for mine, base in gradients)


def test_noise_is_drawn_in_the_order_of_the_parameters_from_the_documented_generator():
    _, network = bare(seed=4)
    before = {name: p.detach().clone() for name, p in network.params.items()}
    still(ShrinkPerturb(weight_decay=0.0, noise_std=0.3), network, 1)
    generator = seeding.generator(4, seeding.Purpose.METHOD)
    flat = torch.cat([start.flatten() for start in before.values()])
    moved = flat.add(torch.empty_like(flat).normal_(generator=generator), alpha=0.3)
    after = torch.cat([network.params[name].detach().flatten() for name in before])
    assert torch.equal(after, moved)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_without_noise_it_is_l2_bit_for_bit(optimizer):
    settings = {"weight_decay": 0.02, "optimizer": optimizer}
    first = build("shrink-perturb", noise_std=0.0, **settings)
    second = build("l2", **settings)
    train(first, 100), train(second, 100)
    assert all(map(torch.equal, values(first), values(second)))


def test_turning_the_shrinking_off_leaves_the_noise_as_it_was():
    """The two parts are independent: the noise depends on seed and update only."""
    runs = []
    for decay in (0.0, 0.5):
        _, network = bare()
        with torch.no_grad():
            for parameter in network.params.values():
                parameter.zero_()
        still(ShrinkPerturb(weight_decay=decay, noise_std=0.1), network, 1)
        runs.append([p.detach() for p in network.params.values()])
    assert all(map(torch.equal, *runs))


@pytest.mark.parametrize(
    "optimizer",
    [
        functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        functools.partial(torch.optim.Adam, lr=0.01),
    ],
    ids=["momentum", "adam"],
)
def test_stacked_members_equal_single_networks(optimizer):
    seeds = (3, 4, 5)
    singles = [bare(optimizer=optimizer, seed=seed)[1] for seed in seeds]
    stacked = {
        name: torch.stack([one.params[name].detach() for one in singles]).requires_grad_()
        for name in singles[0].params
    }
    many = Network(stacked, singles[0].layers, optimizer(stacked.values()), 3, lead=(3,))
    settings = {"weight_decay": 0.1, "noise_std": 0.05}
    for network in (many, *singles):
        still(ShrinkPerturb(**settings), network, 30)
    for name, tensor in stacked.items():
        for member, one in zip(tensor, singles, strict=True):
            torch.testing.assert_close(member, one.params[name], rtol=1e-13, atol=1e-15)


def test_its_weight_decay_is_the_coupled_one():
    module, network = bare()
    twin_module, twin = bare()
    still(ShrinkPerturb(weight_decay=0.3, noise_std=0.0), network, 5)
    l2 = L2(weight_decay=0.3)
    l2.after_step = lambda batch: None
    still(l2, twin, 5)
    assert all(map(torch.equal, module.parameters(), twin_module.parameters()))


@pytest.mark.parametrize("name", ["weight_decay", "noise_std"])
@pytest.mark.parametrize("value", [-1e-3, float("nan"), float("inf"), "much", True])
def test_bad_strengths_are_refused_in_one_line(name, value):
    with pytest.raises(ValueError, match=f"^{name}: .* is not allowed; give") as error:
        ShrinkPerturb(**{name: value})
    assert "\n" not in str(error.value)

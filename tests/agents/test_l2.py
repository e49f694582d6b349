import functools

import pytest
import torch

from agents.methods.l2 import L2, add_decay
from tests.agents.helpers import bare, batch_of, build, examples, float64

STEP, DECAY = 0.1, 0.03


def still(method, optimizer, steps, **settings):
    """Parameters before and after some steps whose loss has no gradient."""
    module, network = bare(optimizer=optimizer, **settings)
    with torch.no_grad():
        for parameter in network.params.values():
            parameter.uniform_(0.1, 1, generator=torch.Generator().manual_seed(3))
            parameter.view(-1)[::2].neg_()
    method.attach(network)
    before = {name: p.detach().clone() for name, p in network.params.items()}
    with torch.no_grad():
        for _ in range(steps):
            for parameter in network.params.values():
                parameter.grad = torch.zeros_like(parameter)
            method.before_step(batch_of([]))
            network.optimizer.step()
    return before, network.params


def test_sgd_shrinks_every_parameter_by_one_minus_step_size_times_decay():
    sgd = functools.partial(torch.optim.SGD, lr=STEP)
    before, after = still(L2(weight_decay=DECAY), sgd, 10, layer_norm=True)
    factor = (1 - STEP * DECAY) ** 10
    assert {"linears.0.weight", "linears.2.bias", "norms.1.weight"} <= set(after)
    for name, start in before.items():
        torch.testing.assert_close(after[name].detach(), factor * start, rtol=1e-12, atol=0)


def test_adam_moves_by_the_step_size_whatever_the_weight():
    adam = functools.partial(torch.optim.Adam, lr=1e-3)
    before, after = still(L2(weight_decay=DECAY), adam, 10)
    for name, start in before.items():
        moved = after[name].detach() - start
        torch.testing.assert_close(moved, -1e-2 * start.sign(), rtol=2e-2, atol=0)


def test_added_gradient_is_that_of_half_the_squared_norm():
    method = L2(weight_decay=DECAY)
    learner, plain = float64([method], batch=4), float64(batch=4)
    x, y = next(examples(4).batches(4))
    penalty = sum((p**2).sum() for p in learner.module.parameters()) * DECAY / 2
    expected = torch.autograd.grad(penalty, list(learner.module.parameters()))
    learner.update(x, y)
    plain.update(x, y)
    for mine, base, extra in zip(
        learner.module.parameters(), plain.module.parameters(), expected, strict=True
    ):
        torch.testing.assert_close(mine.grad - base.grad, extra, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("settings", "optimizer"),
    [
        ({}, functools.partial(torch.optim.SGD, lr=0.01)),
        ({"momentum": 0.9}, functools.partial(torch.optim.SGD, lr=0.01, momentum=0.9)),
        ({"optimizer": "adam"}, functools.partial(torch.optim.Adam, lr=0.01)),
    ],
)
@pytest.mark.parametrize("batch", [None, 8])
def test_equals_the_weight_decay_of_torchs_optimizers_bit_for_bit(settings, optimizer, batch):
    learner = build("l2", batch=batch, weight_decay=0.02, **settings)
    plain = build("backprop", batch=batch)
    plain.optimizer = optimizer(plain.module.parameters(), weight_decay=0.02)
    for x, y in examples(200 * (batch or 1)).batches(batch or 1):
        learner.update(x, y)
        plain.update(x, y)
    assert all(map(torch.equal, learner.module.parameters(), plain.module.parameters()))


def test_a_parameter_without_a_gradient_is_passed_over():
    with_gradient, without = torch.ones(2), torch.ones(2)
    with_gradient.grad = torch.zeros(2)
    add_decay([with_gradient, without], 0.5)
    assert with_gradient.grad.tolist() == [0.5, 0.5] and without.grad is None


@pytest.mark.parametrize("value", [-1e-3, float("nan"), float("inf"), "much", True, None])
def test_bad_strengths_are_refused_in_one_line(value):
    with pytest.raises(ValueError, match="^weight_decay: .* is not allowed; give") as error:
        L2(weight_decay=value)
    assert "\n" not in str(error.value)

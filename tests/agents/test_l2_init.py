import functools

import pytest
import torch

from agents.methods.l2_init import L2Init
from tests.agents.helpers import bare, batch_of, build, examples, float64, train, values

STEP, DECAY = 0.1, 0.03


def shifted(method, layer_norm=False):
    """A network that has moved from where the method took hold of it, and by how much."""
    module, network = bare(
        optimizer=functools.partial(torch.optim.SGD, lr=STEP), layer_norm=layer_norm
    )
    method.attach(network)
    before = {name: one.detach().clone() for name, one in network.params.items()}
    with torch.no_grad():
        for one in network.params.values():
            one.add_(torch.rand(one.shape, generator=torch.Generator().manual_seed(3)) - 0.5)
    return network, before


def steps(method, network, count):
    """Steps whose loss has no gradient."""
    with torch.no_grad():
        for _ in range(count):
            for one in network.params.values():
                one.grad = torch.zeros_like(one)
            method.before_step(batch_of([]))
            network.optimizer.step()


def test_what_was_learned_contracts_by_one_minus_step_size_times_decay_but_in_normalisations():
    method = L2Init(weight_decay=DECAY)
    network, before = shifted(method, layer_norm=True)
    moved = {name: one.detach() - before[name] for name, one in network.params.items()}
    steps(method, network, 10)
    factor = (1 - STEP * DECAY) ** 10
    assert {"norms.0.weight", "norms.1.bias"} == {n for n in before if n in network.norms()} - {
        "norms.0.bias",
        "norms.1.weight",
    }
    for name, one in network.params.items():
        left = moved[name] * (1 if name in network.norms() else factor)
        torch.testing.assert_close(one.detach() - before[name], left, rtol=1e-10, atol=1e-15)


def test_at_the_initial_weights_the_first_update_is_that_of_backprop():
    chunk = examples(2)
    after = []
    for decay in (0.0, 0.5):
        learner = build("l2-init", weight_decay=decay)
        for x, y in chunk.batches(1):
            learner.update(x, y)
            after.append(values(learner))
    assert all(map(torch.equal, after[0], after[2]))
    assert not all(map(torch.equal, after[1], after[3]))


def test_added_gradient_is_that_of_half_the_squared_distance():
    method = L2Init(weight_decay=DECAY)
    learner, plain = float64([method], batch=4), float64(batch=4)
    start = values(learner)
    with torch.no_grad():
        for one, other in zip(learner.module.parameters(), plain.module.parameters(), strict=True):
            one.mul_(1.5), other.mul_(1.5)
    parameters = list(learner.module.parameters())
    distance = sum(((one - first) ** 2).sum() for one, first in zip(parameters, start, strict=True))
    expected = torch.autograd.grad(distance * DECAY / 2, parameters)
    x, y = next(examples(4).batches(4))
    learner.update(x, y)
    plain.update(x, y)
    for mine, base, extra in zip(parameters, plain.module.parameters(), expected, strict=True):
        torch.testing.assert_close(mine.grad - base.grad, extra, rtol=1e-10, atol=1e-14)


def test_after_a_restart_and_when_restored_it_is_the_latest_initial_weights():
    made = [float64([L2Init(weight_decay=0.5)]) for _ in range(2)]
    learner, again = made
    first = learner.methods[0].state_dict()["initial"]
    learner._restart()
    train(learner, 5)
    initial = learner.methods[0].state_dict()["initial"]
    assert not torch.equal(initial["linears.0.weight"], first["linears.0.weight"])
    again.load_state_dict(learner.state_dict())
    train(learner, 20), train(again, 20)
    assert all(map(torch.equal, values(learner), values(again)))


@pytest.mark.parametrize("value", [-1e-3, float("nan"), "much"])
def test_bad_strengths_are_refused_in_one_line(value):
    with pytest.raises(ValueError, match="^weight_decay: [^\n]* is not allowed; give[^\n]*$"):
        L2Init(weight_decay=value)

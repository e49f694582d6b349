import functools
import math

import pytest
import torch

from agents import seeding
from agents.methods.upgd import UPGD
from tests.agents.helpers import bare, batch_of, float64, train, values

STEP = 0.1
NOTHING = batch_of([])


def planted(method, gradient=0.5, gates=None):
    """A network in which every gradient is `gradient`; its weights after one step, and before."""
    _, network = bare(optimizer=functools.partial(torch.optim.SGD, lr=STEP))
    method.attach(network)
    before = [one.detach().clone() for one in network.params.values()]
    if gates is not None:
        method._gates = lambda parameters: [torch.full_like(one, gates) for one in parameters]
    with torch.no_grad():
        for one in network.params.values():
            one.grad = torch.full_like(one, gradient)
        method.before_step(NOTHING)
        network.optimizer.step()
    return network, before


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("profile", ["paper", "code"])
def test_gates_by_hand(profile):
    method = UPGD(utility_decay=0.5, profile=profile)
    _, network = bare(hidden=())
    method.attach(network)
    weight, bias = network.params.values()
    steps = [(0.4, -1.0), (0.2, 2.0)]  # gradient and value of one weight; all others have none
    trace = 0.0
    with torch.no_grad():
        for count, (gradient, value) in enumerate(steps, start=1):
            weight.zero_(), bias.zero_()
            weight.grad, bias.grad = torch.zeros_like(weight), torch.zeros_like(bias)
            weight[0, 0], weight.grad[0, 0] = value, gradient
            weight[1, 2], weight.grad[1, 2] = value, -2 * gradient  # the opposite, twice as much
            gates = method._gates([weight, bias])
            trace = 0.5 * trace - 0.5 * gradient * value
            corrected = trace / (1 - 0.5**count)
            eta = max(corrected, -2 * corrected)
            eta *= 1 if profile == "paper" else 1 - 0.5**count
            assert gates[0][0, 0].item() == pytest.approx(1 - sigmoid(corrected / eta))
            assert gates[0][1, 2].item() == pytest.approx(1 - sigmoid(-2 * corrected / eta))
            assert gates[0][2, 2] == 0.5 and gates[1].eq(0.5).all()  # of no use, and no harm


def test_without_a_gate_it_is_sgd_at_half_a_gate_half_of_it_and_with_a_full_one_nothing():
    for gate, share in ((1.0, 1.0), (0.5, 0.5), (0.0, 0.0)):
        network, before = planted(UPGD(noise_std=0, weight_decay=0), gates=gate)
        for one, start in zip(network.params.values(), before, strict=True):
            torch.testing.assert_close(one.detach(), start - STEP * share * 0.5)


def test_noise_is_gated_and_the_gradient_only_if_it_is_to_be_protected():
    def moved(protect, std):
        network, before = planted(
            UPGD(noise_std=std, weight_decay=0.2, protect=protect), gates=0.25
        )
        return [(one.detach() - b) / -STEP - 0.2 * b for one, b in zip(
            network.params.values(), before, strict=True)]  # fmt: skip

    generator = seeding.generator(0, seeding.Purpose.UPGD)
    flat = torch.cat([one.flatten() for one in moved(True, 0.3)])
    drawn = torch.empty_like(flat).normal_(generator=generator)
    torch.testing.assert_close(flat, 0.25 * (0.5 + 0.3 * drawn))
    flat = torch.cat([one.flatten() for one in moved(False, 0.3)])
    torch.testing.assert_close(flat, 0.5 + 0.25 * 0.3 * drawn)


def test_a_weight_of_much_use_stays_and_others_move():
    _, network = bare()
    method = UPGD(noise_std=0, weight_decay=0, utility_decay=0.0, profile="code")
    method.attach(network)
    with torch.no_grad():
        for one in network.params.values():
            one.grad = 1e-6 * torch.ones_like(one)
        weight = network.params["linears.0.weight"]
        weight[0, 0], weight.grad[0, 0] = -1.0, 1.0
        gates = method._gates(list(network.params.values()))
    index = list(network.params).index("linears.0.weight")
    assert gates[index][0, 0] == gates[index].min() == pytest.approx(1 - sigmoid(1))
    assert gates[index][1:].sub(0.5).abs().max() < 1e-5


def test_a_restored_learner_goes_on_alike_and_a_restart_begins_anew():
    def made():
        return float64([UPGD(utility_decay=0.9)], batch=2)

    whole, first, second = made(), made(), made()
    train(whole, 20, seed=1), train(first, 20, seed=1)
    second.load_state_dict(first.state_dict())
    train(whole, 20, seed=2), train(second, 20, seed=2)
    assert all(map(torch.equal, values(second), values(whole)))
    whole._restart()
    state = whole.methods[0].state_dict()
    assert state["updates"] == 0 and not any(one.any() for one in state["utility"])


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"noise_std": -1}, "noise_std: -1 is not allowed"),
        ({"utility_decay": 1.0}, "utility_decay: 1.0 is not allowed"),
        ({"weight_decay": math.nan}, "weight_decay: nan is not allowed"),
        ({"protect": 1}, "protect: 1 is not allowed"),
        ({"profile": "codes"}, "profile: 'codes' is not one of code, paper; nearest: code"),
    ],
)
def test_bad_settings_are_refused(settings, complaint):
    with pytest.raises(ValueError, match=f"^{complaint}"):
        UPGD(**settings)

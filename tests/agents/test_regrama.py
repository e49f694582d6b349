import math

import pytest
import torch

from agents.methods.regrama import ReGraMa, inactive
from tests.agents.helpers import bare, batch_of, float64, train, values

NOTHING = batch_of([])


def planted(sizes, hidden=(4, 3)):
    """A network in whose first layer unit i has gradients of sizes[i] at each incoming weight."""
    module, network = bare(hidden=hidden)
    for one in network.params.values():
        one.grad = torch.ones_like(one)
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0]).double()
    network.params["linears.0.weight"].grad = torch.tensor(sizes).double()[:, None] * signs
    return network


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_scores_are_relative_to_the_layers_mean_and_do_not_depend_on_its_scale(scale):
    network = planted([scale * size for size in (0.1, 1.0, 2.9, 0.0)])
    layer = network.layers[0]
    assert inactive(network, layer, 0.05).tolist() == [False, False, False, True]
    assert inactive(network, layer, 0.1).tolist() == [True, False, False, True]
    assert not inactive(network, network.layers[1], 0.9).any()


def test_a_layer_without_any_gradient_is_left_alone():
    network = planted([0.0] * 4)
    assert not inactive(network, network.layers[0], 0.5).any()


def test_inactive_units_start_over_after_the_step_and_others_stay():
    network = planted([0.0, 1.0, 1.0, 0.0])
    method, layer = ReGraMa(period=2), network.layers[0]
    method.attach(network)
    before = {name: one.detach().clone() for name, one in network.params.items()}
    with torch.no_grad():
        for due in (False, True):
            method.before_step(NOTHING)
            assert all(torch.equal(network.params[name], before[name]) for name in before)
            method.after_step(NOTHING)
            weight, reader = network.params["linears.0.weight"], network.outgoing(layer)[0]
            changed = (weight != before["linears.0.weight"]).all(1).tolist()
            assert changed == [due, False, False, due]
            assert reader.eq(0).all(1).tolist() == changed


def test_a_restored_learner_goes_on_alike_and_a_restart_draws_anew():
    def made():
        return float64([ReGraMa(period=7, tau=0.5)], hidden=(20, 20))

    whole, first, second = made(), made(), made()
    train(whole, 15, seed=1), train(first, 15, seed=1)
    second.load_state_dict(first.state_dict())
    train(whole, 15, seed=2), train(second, 15, seed=2)
    assert all(map(torch.equal, values(second), values(whole)))
    plain = float64(hidden=(20, 20))
    train(plain, 15, seed=1), train(plain, 15, seed=2)
    assert not all(map(torch.equal, values(whole), values(plain)))
    whole._restart()
    assert whole.methods[0].state_dict() == {"updates": 30}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"period": -1}, "period: -1 is not allowed"),
        ({"tau": -0.1}, "tau: -0.1 is not allowed"),
        ({"tau": math.nan}, "tau: nan is not allowed"),
    ],
)
def test_bad_settings_are_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        ReGraMa(**settings)

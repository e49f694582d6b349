import math

import pytest
import scipy.stats
import torch

from agents.methods.redo import ReDo, dormant
from agents.networks.parts import init_bound
from tests.agents.helpers import INPUTS, bare, batch_of, examples, float64, forward, train, values


def kill(network, layer, units):
    """Give units a bias that keeps them silent."""
    with torch.no_grad():
        network.params[network.layers[layer].incoming[0].bias][units] = -1e3


def test_scores_are_relative_to_the_layers_mean_and_do_not_depend_on_its_scale():
    features = torch.tensor([[1.0, 0.0, 4.0, 0.35], [-1.0, 0.0, 4.0, 0.35]]).double()
    size = features.abs().mean(0)
    assert dormant(features, 0.3, 0).tolist() == (size / size.mean() <= 0.3).tolist()
    assert dormant(features, 0.3, 0).tolist() == [False, True, False, True]
    for scale in (1e-7, 1e6):
        assert torch.equal(dormant(scale * features, 0.3, 0), dormant(features, 0.3, 0))
    assert dormant(features, 0.0, 0).tolist() == [False, True, False, False]
    assert dormant(torch.zeros(3, 4), 0.0, 0).all(), "a silent layer"


def test_scores_of_channels_are_over_positions_too():
    features = torch.zeros(2, 3, 4, 4)
    features[:, 0, 1, 1], features[:, 1] = 1.0, 1.0
    assert dormant(features, 0.2, 0).tolist() == [True, False, True]


def test_recycling_silent_units_at_tau_zero_leaves_the_output():
    module, network = bare(hidden=(30, 20))
    kill(network, 0, [3, 7]), kill(network, 1, [5])
    method = ReDo(period=1, tau=0.0)
    method.attach(network)
    inputs = torch.rand(50, 7, dtype=torch.float64)
    before, batch = forward(module, inputs)
    silent = [torch.nonzero((h == 0).all(0)).flatten().tolist() for h in batch.features]
    assert 3 in silent[0] and 7 in silent[0] and 5 in silent[1]
    with torch.no_grad():
        method.after_step(batch)
    assert torch.equal(forward(module, inputs)[0], before)
    last, bounds = network.layers[1], [init_bound("relu", 7), init_bound("relu", 30)]
    for layer, units in zip(network.layers, silent, strict=True):
        assert network.params[layer.incoming[0].bias][units].eq(0).all()
        # Of the units that read them, those recycled too have drawn weights, and are not read.
        read = network.outgoing(layer)[0][units]
        read = read[:, [i for i in range(read.shape[1]) if layer is last or i not in silent[1]]]
        assert read.eq(0).all()
        assert network.incoming(layer)[0][units].abs().max() <= bounds.pop(0)


def test_incoming_weights_are_drawn_as_the_initialiser_draws_and_anew_each_time():
    module, network = bare(hidden=(200,))
    method, drawn = ReDo(period=1, tau=0.0), []
    method.attach(network)
    silent = batch_of([torch.zeros(4, 200, dtype=torch.float64)])
    for _ in range(2):
        with torch.no_grad():
            method.after_step(silent)
        drawn.append(network.incoming(network.layers[0])[0].detach().clone())
    bound = init_bound("relu", drawn[0].shape[1])
    both = torch.cat(drawn).flatten().numpy()
    assert scipy.stats.kstest(both, "uniform", (-bound, 2 * bound)).pvalue > 1e-3
    assert not torch.equal(*drawn)


def test_optimizer_state_of_recycled_units_is_cleared_and_of_no_other():
    method = ReDo(period=20, tau=0.0)
    learner = float64([method], batch=4, hidden=(30,), optimizer="adam", step_size=0.001)
    module = learner.module
    layer = module.hidden_layers()[0]
    with torch.no_grad():
        module.get_parameter(layer.incoming[0].bias)[[2, 9]] = -1e3
    train(learner, 20)
    state = learner.optimizer.state
    for slot in ("exp_avg", "exp_avg_sq"):
        weight = state[module.get_parameter(layer.incoming[0].weight)][slot]
        reader = state[module.get_parameter(layer.consumers[0].weight)][slot]
        assert weight[[2, 9]].eq(0).all() and reader[:, [2, 9]].eq(0).all()
        assert weight[[0, 1, 3]].ne(0).any()


def test_it_looks_only_every_period_updates():
    module, network = bare(hidden=(10,))
    method = ReDo(period=3, tau=0.0)
    method.attach(network)
    silent = batch_of([torch.zeros(4, 10, dtype=torch.float64)])
    weight = network.incoming(network.layers[0])[0]
    changes = []
    for _ in range(9):
        before = weight.detach().clone()
        with torch.no_grad():
            method.after_step(silent)
        changes.append(not torch.equal(before, weight))
    assert changes == [False, False, True] * 3


def test_a_restored_learner_goes_on_alike():
    def made():
        return float64([ReDo(period=7, tau=0.5)], hidden=(20, 20))

    whole, first, second = made(), made(), made()
    train(whole, 30)
    chunk = examples(30)
    for learner, steps in ((first, range(15)), (second, range(15, 30))):
        if learner is second:
            second.load_state_dict(first.state_dict())
        for step in steps:
            learner.update(chunk.examples()[step : step + 1], chunk.targets[step : step + 1])
    assert all(map(torch.equal, values(second), values(whole)))
    assert not all(map(torch.equal, values(whole), values(float64(hidden=(20, 20)))))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"period": -1}, "period: -1 is not allowed"),
        ({"period": 2.5}, "period: 2.5 is not allowed"),
        ({"tau": -0.1}, "tau: -0.1 is not allowed"),
        ({"tau": math.nan}, "tau: nan is not allowed"),
    ],
)
def test_bad_settings_are_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        ReDo(**settings)


def test_layers_have_draws_of_their_own():
    _, network = bare(hidden=(INPUTS, INPUTS))
    method = ReDo(period=1, tau=0.0)
    method.attach(network)
    with torch.no_grad():
        method.after_step(batch_of([torch.zeros(4, INPUTS, dtype=torch.float64)] * 2))
    first, second = (network.incoming(layer)[0].detach() for layer in network.layers)
    assert first.any() and second.any() and not torch.equal(first, second)

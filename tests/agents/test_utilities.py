"""What continual backprop ranks units by, against the table of methods written out unit by unit."""

from typing import get_args

import pytest
import torch
from scipy import stats

from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.utility import Utility
from tests.agents.helpers import batch_of, examples, float64, forward
from tests.agents.test_continual_backprop import FEATURES, after_step, attached, crowd, inputs

RANKED = [utility for utility in get_args(Utility) if utility != "random"]


def average(values) -> float:
    values = [value.item() for value in values]
    return sum(values) / len(values)


def naive(kind, h, mean, w_in, w_out) -> float:
    """One unit's utility on one batch: h its activations, mean the average ones, w its weights."""
    size, centred = average(abs(v) for v in h), average(abs(v - mean) for v in h)
    w_in, w_out = average(abs(w) for w in w_in), average(abs(w) for w in w_out)
    return {
        "weight": w_out,
        "contribution": w_out * size,
        "adaptation": 1 / w_in,
        "zero_contribution": w_out * centred,
        "adaptable_contribution": w_out * centred / w_in,
        "feature_by_input": centred / w_in,
    }[kind]


@pytest.mark.parametrize("decay", [0.0, 0.9])
@pytest.mark.parametrize("kind", RANKED)
def test_running_utility_is_the_tables_formula(kind, decay):
    module, network, method = attached(
        (6, 5), {"activation": "tanh"}, utility=kind, utility_decay=decay, maturity=1000
    )
    generator = torch.Generator().manual_seed(2)
    utility, mean = torch.zeros(2, 6).double(), torch.zeros(2, 6).double()
    for step in range(1, 6):
        with torch.no_grad():
            for parameter in network.params.values():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
        x = inputs(4, seed=step)
        features = forward(module, x)[1].features
        after_step(method, module, x)
        for depth, state in enumerate(method._units):
            weights = module.linears[depth].weight, module.linears[depth + 1].weight
            for unit in range(len(state.age)):
                h = features[depth][:, unit]
                mean[depth, unit] = decay * mean[depth, unit] + (1 - decay) * average(h)
                corrected = float(mean[depth, unit]) / (1 - decay**step)
                y = naive(kind, h, corrected, weights[0][unit], weights[1][:, unit])
                utility[depth, unit] = decay * utility[depth, unit] + (1 - decay) * y
                assert state.utility[unit].item() == pytest.approx(
                    utility[depth, unit].item(), rel=1e-10, abs=1e-14
                )


@pytest.mark.parametrize("kind", ["weight", "adaptation"])
def test_the_corrected_average_of_a_constant_is_the_constant_at_every_age(kind):
    module, network, method = attached(
        utility=kind, profile="code", replacement_rate=0.1, maturity=5
    )
    for _ in range(60):
        w_in, w_out = (linear.weight.detach().abs() for linear in module.linears)
        y = w_out.mean(0) if kind == "weight" else 1 / w_in.mean(1)
        after_step(method, module, inputs(1))
        state = method._units[0]
        old = state.age > 0
        ranked = method._ranked(state, 0)[old]
        constant = old & (state.age == state.age.max())  # never replaced: weights never changed
        torch.testing.assert_close(ranked[constant[old]], y[constant], rtol=1e-12, atol=0)
    assert 0 < constant.sum() < 6


def test_a_constant_activation_has_no_centred_utility():
    module, _, method = attached(utility="zero_contribution", maturity=1000)
    for _ in range(50):
        after_step(method, module, inputs(1).expand(3, -1))
        assert method._units[0].utility.abs().max() < 1e-15


@pytest.mark.parametrize(("profile", "replaced"), [("paper", 1), ("code", 0)])
def test_paper_ranks_by_the_raw_average_and_code_by_the_corrected_one(profile, replaced):
    """Unit 0 is old; unit 1 is young, better, and its average has not yet caught up."""
    module, _, method = attached(
        utility="weight", replacement_rate=1 / 6, maturity=100, profile=profile
    )
    with torch.no_grad():
        module.linears[1].weight.fill_(9.0)[:, 0] = 1.0
        module.linears[1].weight[:, 1] = 1.3
    state = method._units[0]
    state.age.copy_(torch.tensor([10_000, 100, 10_000, 10_000, 10_000, 10_000]))
    state.utility.copy_(module.linears[1].weight[0])
    state.utility[1] = 1.3 * (1 - 0.99**100)
    state.eligible.fill_(1)
    after_step(method, module, inputs(1))
    assert (state.age == 0).nonzero().tolist() == [[replaced]]


def test_equal_utilities_are_replaced_in_the_order_of_the_units():
    module, _, method = attached(
        utility="weight", replacement_rate=1 / 3, maturity=0, profile="code"
    )
    with torch.no_grad():
        module.linears[1].weight.fill_(1.0)
    after_step(method, module, inputs(1))
    assert (method._units[0].age == 0).nonzero()[:, 0].tolist() == [0, 1]


def test_every_layer_is_judged_before_any_is_changed():
    """As the published code does: a replacement zeroes weights that the next layer is judged by."""
    module, network, method = attached(
        (6, 5), utility="adaptation", utility_decay=0.0, replacement_rate=0.2, maturity=0
    )
    expected = 1 / module.linears[1].weight.detach().abs().mean(1)
    after_step(method, module, inputs(3))
    assert (method._units[0].age == 0).any()
    state = method._units[1]
    kept = state.age > 0
    assert torch.equal(state.utility[kept], expected[kept])
    assert (state.age == 0).nonzero()[0, 0] == expected.argmin()


def test_features_are_those_of_the_forward_pass_and_weights_those_after_the_step():
    method = ContinualBackprop(utility_decay=0.0, maturity=1000)
    learner = float64([method], batch=4, step_size=0.5)
    x, y = next(examples(4).batches(4))
    features = [torch.tensor(feature) for feature in learner.inspect(x, y).features]
    old = [linear.weight.detach().clone() for linear in learner.module.linears]
    learner.update(x, y)
    new = [linear.weight.detach() for linear in learner.module.linears]
    for depth, state in enumerate(method._units):
        size = features[depth].abs().mean(0)
        assert torch.allclose(state.utility, size * new[depth + 1].abs().mean(0), rtol=1e-12)
        assert not torch.allclose(state.utility, size * old[depth + 1].abs().mean(0), rtol=1e-6)


@pytest.mark.parametrize("profile", ["paper", "code"])
def test_random_utility_is_drawn_anew_and_never_averaged(profile):
    """An average would replace the youngest again and again, or spare units for a long time."""
    method = crowd(utility="random", replacement_rate=0.1, profile=profile)
    picks = []
    for _ in range(30):
        method.after_step(batch_of([FEATURES]))
        picks.append((method._units[0].age == 0).nonzero()[:, 1])
    picks = torch.stack(picks)  # (updates, members)
    counts = torch.bincount(picks.reshape(-1), minlength=10)
    assert stats.chisquare(counts).pvalue > 1e-3
    again = (picks[1:] == picks[:-1]).double()
    assert again.mean().item() == pytest.approx(0.1, abs=4 * (0.09 / again.numel()) ** 0.5)

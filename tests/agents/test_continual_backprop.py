"""Who is replaced, when, and what a replacement does; the utilities are tested next door."""

import functools
import math

import pytest
import torch
from scipy import stats

from agents import seeding
from agents.methods.continual_backprop import FRESH, ContinualBackprop, quota
from agents.network import Network
from agents.networks.mlp import MLP
from agents.networks.parts import init_bound
from agents.optimizers import ElementwiseAdam
from tests.agents.helpers import INPUTS, bare, batch_of, float64, forward, same, train

OPTIMIZERS = {
    "momentum": functools.partial(torch.optim.SGD, lr=0.01, momentum=0.9),
    "adam": functools.partial(torch.optim.Adam, lr=0.01),
    "elementwise": functools.partial(ElementwiseAdam, lr=0.01),
}


def attached(
    hidden: tuple[int, ...] = (6,), network: dict | None = None, **settings
) -> tuple[MLP, Network, ContinualBackprop]:
    module, made = bare(hidden, **(network or {}))
    method = ContinualBackprop(**settings)
    method.attach(made)
    return module, made, method


def inputs(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, INPUTS, dtype=torch.float64, generator=generator)


def after_step(method: ContinualBackprop, module: MLP, x: torch.Tensor) -> None:
    with torch.no_grad():
        method.after_step(forward(module, x)[1])


def fill_optimizer(network: Network) -> None:
    """Make every slot of the optimizer's state non-zero."""
    for _ in range(3):
        for parameter in network.params.values():
            parameter.grad = torch.ones_like(parameter)
        network.optimizer.step()


@pytest.mark.parametrize("transfer", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_output_changes_by_minus_the_contribution_of_the_replaced_units(activation, transfer):
    settings = {"replacement_rate": 0.4, "maturity": 4, "profile": "code"}
    module, network, method = attached(
        network={"activation": activation}, transfer_bias=transfer, **settings
    )
    x, means = inputs(5), torch.zeros(6, dtype=torch.float64)
    for _ in range(5):
        before, batch = forward(module, x)
        outgoing = module.linears[1].weight.detach().clone()
        means = 0.99 * means + 0.01 * batch.features[0].mean(0)
        after_step(method, module, x)
    dead = method._units[0].age == 0
    assert dead.sum() == 2
    expected = -(batch.features[0] * dead) @ outgoing.T
    if transfer:
        expected += outgoing @ (dead * means / (1 - 0.99**5))
    torch.testing.assert_close(forward(module, x)[0] - before, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("transfer", [False, True])
def test_replacing_a_dead_unit_changes_no_bit_of_the_output(transfer):
    module, _, method = attached(replacement_rate=1 / 6, maturity=3, transfer_bias=transfer)
    with torch.no_grad():
        module.linears[0].bias[4] = -1e6
    x = inputs(5)
    for _ in range(4):
        before = forward(module, x)[0]
        after_step(method, module, x)
    assert (method._units[0].age == 0).nonzero().tolist() == [[4]]
    assert torch.equal(forward(module, x)[0], before)


@pytest.mark.parametrize("profile", ["paper", "code"])
@pytest.mark.parametrize("rate", [0.01, 0.07, 0.3, 1.0])
def test_replaced_are_the_floor_of_rate_times_eligible_and_never_young(rate, profile):
    module, _, method = attached((6, 5), replacement_rate=rate, maturity=7, profile=profile)
    ages, eligible, replaced = [[0] * 6, [0] * 5], [0, 0], [0, 0]
    x = inputs(3)
    for _ in range(120):
        after_step(method, module, x)
        for layer, state in enumerate(method._units):
            ages[layer] = [age + 1 for age in ages[layer]]
            mature = [i for i, age in enumerate(ages[layer]) if age > 7]
            eligible[layer] += len(mature)
            gone = (state.age == 0).nonzero()[:, 0].tolist()
            assert set(gone) <= set(mature)
            due = math.floor(rate * eligible[layer]) - replaced[layer]
            assert len(gone) == (min(due, 1, len(mature)) if profile == "paper" else due)
            replaced[layer] += len(gone)
            ages[layer] = [0 if i in gone else age for i, age in enumerate(ages[layer])]
            assert state.age.tolist() == ages[layer]
            assert int(state.replaced) == replaced[layer]
            assert int(state.eligible) == eligible[layer]
    assert min(replaced) > 0


def test_quota_of_large_counts_is_exact_where_float32_is_not():
    counts = [99_999_999, 10**9 + 7, 2_000 * 10**7 - 1]
    exact = [count // 10_000 for count in counts]
    assert quota(1e-4, torch.tensor(counts)).tolist() == exact
    naive = (torch.tensor(counts) * 1e-4).floor().long()  # torch multiplies in float32
    assert naive.tolist() != exact


def test_a_run_of_many_updates_goes_on_replacing_at_the_same_rate():
    module, _, method = attached((10,), replacement_rate=1e-3, maturity=0)
    state = method._units[0]
    state.eligible.fill_(10**11)
    state.replaced.fill_(10**8)
    for _ in range(300):
        after_step(method, module, inputs(1))
    assert int(state.replaced) - 10**8 == 3


@pytest.mark.parametrize("profile", ["paper", "code"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_replaced_units_have_no_optimizer_state_and_all_others_keep_theirs(optimizer, profile):
    module, network, method = attached(
        (6, 5),
        {"optimizer": OPTIMIZERS[optimizer], "layer_norm": True},
        replacement_rate=0.2,
        maturity=0,
        profile=profile,
    )
    fill_optimizer(network)
    method._units[1].age.fill_(-100)
    before = {
        name: {slot: t.clone() for slot, t in network.optimizer.state[p].items()}
        for name, p in network.params.items()
    }
    after_step(method, module, inputs(3))
    dead = method._units[0].age == 0
    assert dead.sum() == 1
    touched = {
        "linears.0.weight": dead[:, None].expand(6, INPUTS),
        "linears.0.bias": dead,
        "norms.0.weight": dead,
        "norms.0.bias": dead,
        "linears.1.weight": dead.expand(5, 6),
    }
    for name, slots in before.items():
        cleared = touched.get(name, torch.zeros(()).bool())
        for slot, old in slots.items():
            assert old.all()
            new = network.optimizer.state[network.params[name]][slot]
            if slot == "step":  # torch's Adam counts a whole tensor
                assert new == 3
            else:
                assert torch.equal(new, old.masked_fill(cleared, 0))


def test_a_replaced_unit_is_new_and_everything_else_is_as_it_was():
    settings = {"replacement_rate": 0.2, "maturity": 0}
    module, network, method = attached((6, 5), {"layer_norm": True}, **settings)
    with torch.no_grad():
        for parameter in network.params.values():
            parameter.add_(0.5)
    before = {name: p.detach().clone() for name, p in network.params.items()}
    pointers = {name: p.data_ptr() for name, p in network.params.items()}
    method._units[1].age.fill_(-100)
    method._units[0].mean_feature.fill_(3.0)
    after_step(method, module, inputs(3))
    state, after = method._units[0], {n: p.detach() for n, p in network.params.items()}
    (unit,) = (state.age == 0).nonzero()[:, 0].tolist()
    assert state.utility[unit] == state.mean_feature[unit] == 0
    assert torch.equal(state.mean_feature == 0, state.age == 0)
    assert after["linears.0.weight"][unit].abs().max() < init_bound("relu", INPUTS)
    news = {"linears.0.bias": 0, "norms.0.weight": 1, "norms.0.bias": 0}
    for name, value in news.items():
        assert after[name][unit] == value
        before[name][unit] = value
    before["linears.0.weight"][unit] = after["linears.0.weight"][unit]
    before["linears.1.weight"][:, unit] = 0
    for name, expected in before.items():
        assert torch.equal(after[name], expected)
        assert network.params[name].data_ptr() == pointers[name]


def crowd(units: int = 10, members: int = 200, **settings) -> ContinualBackprop:
    """Many one-layer members at once, whose weights do not matter."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(members, *shape, dtype=torch.float64, generator=generator)

    shapes = [(units, INPUTS), (units,), (3, units), (3,)]
    names = ["linears.0.weight", "linears.0.bias", "linears.1.weight", "linears.1.bias"]
    params = {name: draw(*shape) for name, shape in zip(names, shapes, strict=True)}
    layer = bare((units,))[1].layers[0]
    optimizer = torch.optim.SGD(params.values(), lr=0.1)
    method = ContinualBackprop(maturity=0, **settings)
    method.attach(Network(params, (layer,), optimizer, seed=0, lead=(members,)))
    return method


FEATURES = torch.rand(200, 1, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_redrawn_weights_are_distributed_as_the_initialiser():
    method = crowd(replacement_rate=0.1)
    drawn = []
    for _ in range(3):
        method.after_step(batch_of([FEATURES]))
        new = method._units[0].age == 0
        assert new.sum() == 200
        drawn.append(method._network.params["linears.0.weight"][new].reshape(-1))
    bound = init_bound("relu", INPUTS)
    everything = torch.cat(drawn).numpy() / bound
    assert len(set(everything.tolist())) == everything.size == 3 * 200 * INPUTS
    assert stats.kstest(everything, "uniform", args=(-1, 2)).pvalue > 1e-3


def test_layers_updates_and_seeds_have_draws_of_their_own():
    rows = []
    for seed in (0, 1):
        settings = {"replacement_rate": 0.2, "maturity": 0, "profile": "code"}
        module, _, method = attached((INPUTS, 6), {"seed": seed}, **settings)
        for _ in range(3):
            after_step(method, module, inputs(3))
            for linear, state in zip(module.linears, method._units, strict=False):
                rows += linear.weight.detach()[state.age == 0].tolist()
    assert len(rows) >= 12 and {len(row) for row in rows} == {INPUTS}
    numbers = [number for row in rows for number in row]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(("rate", "expected"), [(0.02, 0.2), (0.1, 1.0), (0.25, 2.0)])
def test_bernoulli_replaces_with_the_probability_of_the_quota(rate, expected):
    method = crowd(replacement="bernoulli", replacement_rate=rate, profile="code")
    for _ in range(50):
        method.after_step(batch_of([FEATURES]))
    replaced = method._units[0].replaced.double()
    if expected < 1:
        mean, spread = 50 * expected, math.sqrt(50 * expected * (1 - expected))
        assert replaced.mean().item() == pytest.approx(mean, abs=4 * spread / math.sqrt(200))
        assert replaced.std().item() == pytest.approx(spread, rel=0.25)
    else:
        assert (replaced == 50 * expected).all()


def test_bernoulli_in_the_paper_profile_replaces_at_most_one():
    method = crowd(replacement="bernoulli", replacement_rate=0.25, profile="paper")
    method.after_step(batch_of([FEATURES]))
    assert (method._units[0].replaced == 1).all()


@pytest.mark.parametrize("replacement", ["counter", "bernoulli"])
def test_a_single_network_can_use_either_replacement(replacement):
    method = ContinualBackprop(replacement_rate=0.1, maturity=2, replacement=replacement)
    train(float64([method], batch=2), 60)
    assert all(20 < state.replaced < 60 for state in method._units)


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_updates_that_are_passed_over_would_have_replaced_nothing(rate, monkeypatch):
    settings = {"replacement_rate": rate, "maturity": 5, "replacement": "bernoulli"}
    passing = float64([ContinualBackprop(**settings, profile="code")], batch=2)
    told, weighed = train(passing, 300), []
    weigh = ContinualBackprop._due
    monkeypatch.setattr(ContinualBackprop, "_due", lambda own: weighed.append(0) or weigh(own))
    train(float64([ContinualBackprop(**settings, profile="code")], batch=2), 300)
    passed_over = 300 - len(weighed)
    assert 200 < passed_over < 300 if rate == 0.01 else passed_over == 0
    monkeypatch.setattr(ContinualBackprop, "_may_be_due", lambda own: True)
    asking = float64([ContinualBackprop(**settings, profile="code")], batch=2)
    assert same(told, train(asking, 300)) and same(passing.state_dict(), asking.state_dict())
    assert passing.methods[0]._units[0].replaced > 0


def test_a_chance_just_below_the_quota_is_not_passed_over(monkeypatch):
    # In single precision 1e-4 * 256 is less than this chance, in double precision it is more.
    chance = 0.02559999967
    assert float(torch.tensor(1e-4) * 256) < chance < 1e-4 * 256
    settings = {"replacement": "bernoulli", "replacement_rate": 1e-4, "profile": "code"}
    module, _, method = attached((256,), maturity=0, **settings)
    draw = seeding.uniform
    monkeypatch.setattr(seeding, "uniform", lambda *a: torch.full_like(draw(*a), chance))
    after_step(method, module, inputs(2))
    assert method._units[0].replaced == 1


def test_code_profile_gives_adam_its_own_step_counts_and_paper_leaves_torchs():
    def optimizer(**settings):
        method = ContinualBackprop(**settings)
        chosen = {"optimizer": "adam", "betas": (0.8, 0.9), "step_size": 0.02}
        return float64([method], **chosen).optimizer

    code = optimizer(profile="code")
    assert type(code) is ElementwiseAdam
    group = code.param_groups[0]
    assert (group["lr"], tuple(group["betas"]), group["eps"]) == (0.02, (0.8, 0.9), 1e-8)
    assert type(optimizer(profile="paper")) is torch.optim.Adam
    assert type(optimizer(profile="code", replacement_rate=0.0)) is torch.optim.Adam
    sgd = float64([ContinualBackprop(profile="code")])
    assert type(sgd.optimizer) is torch.optim.SGD


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"replacement_rate": 1.1}, "replacement_rate: 1.1 is not allowed"),
        ({"replacement_rate": -0.1}, "replacement_rate: -0.1 is not allowed"),
        ({"maturity": 1.5}, "maturity: 1.5 is not allowed; give a whole number of at least 0"),
        ({"utility": "contribtion"}, "utility: 'contribtion' is not one of adaptable_contribution"),
        ({"utility_decay": 1.0}, "utility_decay: 1.0 is not allowed"),
        ({"replacement": "count"}, "replacement: 'count' is not one of bernoulli, counter; near"),
        ({"transfer_bias": "no"}, "transfer_bias: 'no' is not allowed; give true or false"),
        ({"profile": "papre"}, "profile: 'papre' is not one of code, paper; nearest: paper"),
    ],
)
def test_bad_values_are_refused_in_one_line(settings, message):
    with pytest.raises(ValueError) as error:
        ContinualBackprop(**settings)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_what_units_are_ranked_by_at_random_are_not_their_new_weights():
    _, _, method = attached(utility="random")
    drawn = seeding.uniform(method._keys, (FRESH, 0, method._updates), (6,))
    assert not torch.equal(method._ranked(method._units[0], 0), drawn)

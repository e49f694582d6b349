"""Members stacked on a leading axis are so many single networks: same draws, same replacements."""

import functools
from typing import get_args

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional as F

from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.l2 import L2
from agents.methods.shrink_perturb import ShrinkPerturb
from agents.methods.utility import Utility
from agents.network import Network
from agents.optimizers import ElementwiseAdam
from tests.agents.helpers import CLASSES, INPUTS, bare, batch_of

SEEDS = (5, 6, 7)
OPTIMIZERS = {
    "momentum": functools.partial(torch.optim.SGD, lr=0.02, momentum=0.9),
    "adam": functools.partial(torch.optim.Adam, lr=0.003),
    "elementwise": functools.partial(ElementwiseAdam, lr=0.003),
}


def update(module, networks, methods, features_of, losses):
    """One step of a group of networks in the order of a learner."""
    for network in networks:
        network.optimizer.zero_grad()
    sum(losses).backward()
    with torch.no_grad():
        for network, mine, features in zip(networks, methods, features_of, strict=True):
            batch = batch_of([feature.detach() for feature in features])
            for method in mine:
                if hasattr(method, "before_step"):
                    method.before_step(batch)
            network.optimizer.step()
            for method in mine:
                if hasattr(method, "after_step"):
                    method.after_step(batch)


def compare(make_methods, optimizer, steps, layer_norm=False):
    """Train three members stacked and alone on the same batches; return methods of both."""
    pairs = [bare(optimizer=optimizer, seed=seed, layer_norm=layer_norm) for seed in SEEDS]
    singles = [network for _, network in pairs]
    module = pairs[0][0]
    stacked = {
        name: torch.stack([one.params[name].detach() for one in singles]).requires_grad_()
        for name in singles[0].params
    }
    many = Network(stacked, singles[0].layers, optimizer(stacked.values()), SEEDS[0], (len(SEEDS),))
    alone, together = [make_methods() for _ in SEEDS], make_methods()
    for network, methods in zip((*singles, many), (*alone, together), strict=True):
        for method in methods:
            method.attach(network)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = torch.randn(len(SEEDS), 4, INPUTS, dtype=torch.float64, generator=generator)
        y = torch.randint(CLASSES, (len(SEEDS), 4), generator=generator)

        def forward(members, x=x, y=y):
            found = [functional_call(module, p, (x[i],)) for i, p in enumerate(members)]
            losses = [F.cross_entropy(out, y[i]) for i, (out, _) in enumerate(found)]
            return [features for _, features in found], losses

        update(module, singles, alone, *forward([one.params for one in singles]))
        members = [{name: p[i] for name, p in stacked.items()} for i in range(len(SEEDS))]
        features, losses = forward(members)
        update(module, [many], [together], [map(torch.stack, zip(*features, strict=True))], losses)
    for name, tensor in stacked.items():
        for i, one in enumerate(singles):
            torch.testing.assert_close(tensor[i], one.params[name], rtol=0, atol=1e-12)
    return together, alone


@pytest.mark.parametrize(
    ("utility", "optimizer", "profile"),
    [(utility, "elementwise", "code") for utility in get_args(Utility)]
    + [("contribution", "momentum", "paper"), ("adaptable_contribution", "adam", "paper")],
)
def test_continual_backprop_with_every_utility(utility, optimizer, profile):
    settings = {"utility": utility, "replacement_rate": 0.02, "maturity": 10, "profile": profile}
    (together,), alone = compare(
        lambda: [ContinualBackprop(**settings)], OPTIMIZERS[optimizer], 300
    )
    for depth, state in enumerate(together._units):
        for i, (single,) in enumerate(alone):
            own = single._units[depth]
            assert own.replaced > 25
            assert state.replaced[i] == own.replaced and state.eligible[i] == own.eligible
            assert torch.equal(state.age[i], own.age)
            torch.testing.assert_close(state.utility[i], own.utility, rtol=0, atol=1e-12)
            torch.testing.assert_close(state.mean_feature[i], own.mean_feature)
    states = [single._units[0] for (single,) in alone]
    assert utility != "random" or not torch.equal(states[0].age, states[1].age)


def test_bernoulli_members_have_chances_of_their_own():
    settings = {"replacement": "bernoulli", "replacement_rate": 0.05, "maturity": 2}
    (together,), alone = compare(
        lambda: [ContinualBackprop(**settings, transfer_bias=True)], OPTIMIZERS["adam"], 150
    )
    replaced = together._units[0].replaced.tolist()
    assert replaced == [int(single._units[0].replaced) for (single,) in alone]
    assert len(set(replaced)) > 1 and min(replaced) > 5


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_all_methods_together_under_layer_norm(optimizer):
    profile = "code" if optimizer == "elementwise" else "paper"

    def methods():
        return [
            L2(weight_decay=0.01),
            ContinualBackprop(
                replacement_rate=0.02, maturity=10, transfer_bias=True, profile=profile
            ),
            ShrinkPerturb(weight_decay=0.001, noise_std=0.001),
        ]

    together, alone = compare(methods, OPTIMIZERS[optimizer], 100, layer_norm=True)
    assert (together[1]._units[0].replaced > 4).all()
    for depth, state in enumerate(together[1]._units):
        ages = torch.stack([methods[1]._units[depth].age for methods in alone])
        assert torch.equal(state.age, ages)

"""The reference arm: at every switch a network without a past, whatever it is combined with."""

import numpy as np
import pytest
import torch

from agents import seeding
from agents.base import LearnerAgent, Transition
from agents.networks.mlp import MLP
from tests.agents.helpers import AGENTS, INPUTS, build, examples, problem, same, train, values


def test_every_switch_brings_the_next_draw_of_the_initialiser():
    learner = build("fresh")
    for restarts in (1, 2):
        train(learner, 10)
        learner.on_task_switch()
        twin = MLP(learner.module.spec, None)
        twin.initialise(seeding.generator(0, seeding.Purpose.INIT, restarts))
        assert all(map(torch.equal, learner.module.parameters(), twin.parameters()))
    firsts = [values(build("fresh", seed=seed))[0] for seed in range(3)]
    firsts.append(values(learner)[0])
    assert len({float(first[0, 0]) for first in firsts}) == 4


def test_until_the_first_switch_it_is_backprop():
    assert np.array_equal(train(build("fresh"), 30), train(build("backprop"), 30))


@pytest.mark.parametrize("settings", [{"momentum": 0.9}, {"optimizer": "adam"}])
def test_nothing_of_the_past_reaches_the_next_task(settings):
    learner = build("fresh+layer-norm", **settings)
    train(learner, 50)
    learner.on_task_switch()
    assert not learner.optimizer.state
    young = build("backprop+layer-norm", **settings)
    young.module.load_state_dict(learner.module.state_dict())
    assert np.array_equal(train(learner, 50, seed=1), train(young, 50, seed=1))


def test_the_distance_from_the_start_is_measured_from_the_latest_start():
    learner = build("fresh")
    train(learner, 5)
    learner.on_task_switch()
    seen = learner.inspect(examples(4).examples(), examples(4).targets)
    assert same(seen.initial_parameters, seen.parameters)


def test_a_prediction_from_before_the_switch_is_forgotten():
    learner = build("fresh")
    inputs, targets = next(examples(1).batches(1))
    old = learner.predict(inputs)
    learner.on_task_switch()
    said = learner.update(inputs, targets)
    assert not np.array_equal(said, old)


def test_methods_start_over_with_it_but_their_noise_does_not_repeat():
    learner = build("fresh+shrink-perturb+continual-backprop", step_size=1e-30)
    rows, noises = [], []
    for _ in range(2):
        cbp, start = learner.methods[2], values(learner)
        assert all(not state.age.any() and not state.replaced for state in cbp._units)
        train(learner, 1)
        noises.append(values(learner)[-1] - start[-1])
        train(learner, 30)
        state = cbp._units[0]
        (unit,) = (state.age == state.age.min()).nonzero()[:1, 0]
        assert state.replaced > 0
        rows.append(learner.module.linears[0].weight[unit].detach().clone())
        learner.on_task_switch()
    assert not torch.allclose(noises[0], noises[1], rtol=1e-3)
    assert not torch.allclose(rows[0], rows[1], rtol=1e-3, atol=1e-2)


def test_an_agent_learns_from_the_last_example_before_it_starts_over():
    learner, plain = build("fresh"), build("backprop")
    agent = LearnerAgent(learner, problem()[1])
    assert agent.needs_boundary
    for i, (inputs, targets) in enumerate(examples(3).batches(1)):
        agent.act(inputs[0])
        info = {"target": targets[0], "task_switch": i == 2}
        agent.learn(Transition(inputs[0], 0, 0.0, None, False, False, info))
        said = plain.update(inputs, targets)
        assert np.array_equal(agent.outputs, said)
    assert learner._restarts == 0
    agent.settle()  # as the next prediction would
    assert learner._restarts == 1
    assert not torch.equal(values(learner)[0], values(plain)[0])
    again = build("fresh")
    again.on_task_switch()
    assert all(map(torch.equal, values(learner), values(again)))


@pytest.mark.parametrize("name", AGENTS)
def test_only_some_need_the_boundary_and_others_ignore_it(name):
    learner = build(name)
    assert learner.needs_boundary is ("fresh" in name or "head-reset" in name)
    if not learner.needs_boundary:
        train(learner, 5)
        before = learner.state_dict()
        learner.on_task_switch()
        assert same(before, learner.state_dict())
        agent, (inputs, targets) = LearnerAgent(learner, problem()[1]), next(examples(1).batches(1))
        info = {"target": targets[0], "task_switch": True}
        agent.learn(Transition(inputs[0], 0, 0.0, None, False, False, info))
        assert not agent.needs_boundary
        assert learner.predict(np.ones((1, INPUTS))).shape == (1, 4)

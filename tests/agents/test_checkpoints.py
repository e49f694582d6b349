"""A learner can be stopped at any update and continued, from memory or from a file."""

import copy
import io

import numpy as np
import pytest
import torch

from agents.base import Checkpointable, LearnerAgent
from agents.methods.continual_backprop import ContinualBackprop
from tests.agents.helpers import AGENTS, build, examples, float64, problem, same, train


def through_a_file(state):
    """The state as a checkpoint that loads without executing anything gives it back."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def halves(learner, switch: bool):
    """Two generators of outputs: before and after a stop in mid-stream."""
    chunk = examples(60 * learner.batch_size)
    batches = list(chunk.batches(learner.batch_size))

    def go(on, part):
        outputs = []
        for i, (inputs, targets) in enumerate(part):
            outputs.append(on.update(inputs, targets))
            if switch and i % 7 == 3:
                on.on_task_switch()
        return np.concatenate(outputs)

    return (lambda on: go(on, batches[:30])), (lambda on: go(on, batches[30:]))


@pytest.mark.parametrize(
    ("name", "settings"),
    [(name, {}) for name in AGENTS]
    + [(name, {"momentum": 0.9}) for name in AGENTS if "adam" not in name],
)
def test_continuing_from_a_file_gives_the_same_run_bit_for_bit(name, settings):
    learner = build(name, batch=2, **settings)
    assert isinstance(learner, Checkpointable)
    first, second = halves(learner, learner.needs_boundary)
    first(learner)
    state = through_a_file(learner.state_dict())
    rest = second(learner)
    continued = build(name, batch=2, **settings)
    train(continued, 3, seed=9)  # whatever it did before must not matter
    continued.load_state_dict(state)
    assert same(continued.state_dict(), state)
    assert np.array_equal(second(continued), rest)
    assert same(continued.state_dict(), learner.state_dict())


@pytest.mark.parametrize("name", AGENTS)
def test_a_snapshot_is_not_changed_by_training_or_by_being_loaded(name):
    learner = build(name, batch=2)
    first, second = halves(learner, learner.needs_boundary)
    first(learner)
    snapshot = learner.state_dict()
    kept = copy.deepcopy(snapshot)
    rest = second(learner)
    assert same(snapshot, kept)
    for _ in range(2):
        other = build(name, batch=2)
        other.load_state_dict(snapshot)
        assert np.array_equal(second(other), rest)
        assert same(snapshot, kept)


@pytest.mark.parametrize("name", AGENTS)
def test_the_optimizer_the_methods_know_stays_the_one_that_steps(name):
    learner = build(name, batch=2)
    train(learner, 5)
    learner.load_state_dict(learner.state_dict())
    parameters = {id(parameter) for parameter in learner.module.parameters()}
    groups = learner.optimizer.param_groups
    assert {id(parameter) for group in groups for parameter in group["params"]} == parameters
    assert {id(parameter) for parameter in learner.optimizer.state} <= parameters
    for method in learner.methods:
        network = getattr(method, "_network", None)
        if network is not None:
            assert network.optimizer is learner.optimizer
            assert {id(parameter) for parameter in network.params.values()} == parameters


@pytest.mark.parametrize("profile", ["paper", "code"])
def test_unit_resets_after_loading_reach_the_loaded_optimizer_state(profile):
    """torch replaces the state tensors when it loads; a method must clear the new ones."""

    def make():
        method = ContinualBackprop(replacement_rate=0.05, maturity=3, profile=profile)
        return float64([method], batch=2, optimizer="adam"), method

    (learner, _), (loaded, method) = make(), make()
    train(learner, 20)
    loaded.load_state_dict(learner.state_dict())
    network, layer, state = method._network, method._network.layers[0], method._units[0]
    for i in range(40):
        replaced = state.replaced.clone()
        train(loaded, 1, seed=i)
        if state.replaced > replaced:
            break
    (unit,) = (state.age == 0).nonzero()[:, 0]
    for name in (layer.incoming[0].weight, layer.incoming[0].bias):
        slots = loaded.optimizer.state[network.params[name]]
        assert not slots["exp_avg"][unit].any() and not slots["exp_avg_sq"][unit].any()
        assert slots["exp_avg"].any()


def test_elementwise_step_counts_survive_and_follow_the_parameters_type():
    learner = build("adam+continual-backprop", batch=2)
    train(learner, 30)
    state = learner.state_dict()["optimizer"]["state"][0]
    assert state["steps"].unique().numel() > 1
    double = float64(
        [ContinualBackprop(replacement_rate=0.05, profile="code")], batch=2, optimizer="adam"
    )
    double.load_state_dict(learner.state_dict())
    slots = next(iter(double.optimizer.state.values()))
    assert {slot.dtype for slot in slots.values()} == {torch.float64}


def test_an_agent_that_draws_nothing_goes_on_on_any_device():
    learner, other = build("backprop"), build("backprop")
    train(learner, 5)
    state = learner.state_dict() | {"dropout": torch.zeros(16, dtype=torch.uint8)}  # as on CUDA
    other.load_state_dict(state)
    assert np.array_equal(train(other, 5), train(learner, 5))
    with pytest.raises(ValueError, match="^device: cpu is not allowed"):
        build("dropout").load_state_dict(
            build("dropout").state_dict() | {"dropout": state["dropout"]}
        )


def test_an_agent_hands_on_its_learners_state():
    space = problem(batch=2)[1]
    first = LearnerAgent(build("l2+continual-backprop", batch=2), space)
    train(first.learner, 10)
    second = LearnerAgent(build("l2+continual-backprop", batch=2), space)
    second.load_state_dict(first.state_dict())
    assert same(second.state_dict(), first.learner.state_dict())

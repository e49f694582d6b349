import copy
import functools
import re

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional as F

from agents.base import Inspectable, Learner, LearnerAgent, Transition, decide
from agents.learner import NetworkLearner
from agents.problem import sizes
from tests.agents.helpers import (
    AGENTS,
    INPUTS,
    build,
    examples,
    float64,
    problem,
    same,
    train,
    values,
)

OPTIMIZERS = {
    "sgd": ({}, functools.partial(torch.optim.SGD, lr=0.01)),
    "momentum": ({"momentum": 0.9}, functools.partial(torch.optim.SGD, lr=0.01, momentum=0.9)),
    "adam": ({"optimizer": "adam"}, functools.partial(torch.optim.Adam, lr=0.01)),
    "betas": (
        {"optimizer": "adam", "betas": [0.99, 0.99], "step_size": 0.002},
        functools.partial(torch.optim.Adam, lr=0.002, betas=(0.99, 0.99)),
    ),
}


@pytest.mark.parametrize("batch", [None, 16])
@pytest.mark.parametrize("kind", ["classes", "values"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_learner_is_the_textbook_loop_bit_for_bit(optimizer, kind, batch):
    settings, textbook_optimizer = OPTIMIZERS[optimizer]
    learner = build("backprop", kind, batch, **settings)
    first, second, last = (copy.deepcopy(linear) for linear in learner.module.linears)
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
    step = textbook_optimizer(model.parameters())
    loss_of = F.cross_entropy if kind == "classes" else lambda o, y: F.mse_loss(o.squeeze(1), y)
    for inputs, targets in examples(200 * (batch or 1), kind).batches(batch or 1):
        x = torch.tensor(np.ascontiguousarray(inputs))
        outputs = model(x)
        step.zero_grad()
        loss_of(outputs, torch.tensor(targets)).backward()
        step.step()
        assert np.array_equal(learner.update(inputs, targets), outputs.detach().numpy())
    assert all(map(torch.equal, model.parameters(), learner.module.parameters()))


def separately(agent: LearnerAgent, n: int, kind: str, batch: int | None) -> np.ndarray:
    """Outputs of act and learn, one step at a time, as a script with an environment has them."""
    outputs = []
    for inputs, targets in examples(n, kind).batches(batch or 1):
        observation = inputs if batch else inputs[0]
        action = agent.act(observation)
        assert agent.learner.batch_size == len(np.atleast_1d(action))
        outputs.append(agent.outputs)
        target = targets[0] if batch is None and kind == "classes" else targets
        agent.learn(Transition(observation, action, 0.0, None, False, False, {"target": target}))
    return np.concatenate(outputs)


@pytest.mark.parametrize(("kind", "batch"), [("classes", None), ("classes", 16), ("values", 3)])
@pytest.mark.parametrize("name", AGENTS)
def test_update_many_update_and_act_with_learn_are_one_thing(name, kind, batch):
    many, single, acting = (build(name, kind, batch) for _ in range(3))
    n = 40 * (batch or 1)
    said = train(many, 40, kind)
    one_by_one = [
        (single.predict(x), single.update(x, y))[1]
        for x, y in examples(n, kind).batches(batch or 1)
    ]
    assert np.array_equal(said, np.concatenate(one_by_one))
    agent = LearnerAgent(acting, problem(kind, batch)[1])
    assert np.array_equal(said, separately(agent, n, kind, batch))
    assert same(many.state_dict(), single.state_dict())
    assert same(many.state_dict(), acting.state_dict())


@pytest.mark.parametrize("name", AGENTS)
def test_update_says_what_predict_said_and_predict_changes_nothing(name):
    learner = build(name, batch=3)
    assert isinstance(learner, Learner) and isinstance(learner, Inspectable)
    for inputs, targets in examples(30, seed=1).batches(3):
        before = learner.state_dict()
        said = learner.predict(inputs)
        assert np.array_equal(said, learner.predict(inputs))
        learner.predict(inputs[:1])
        assert same(before, learner.state_dict())
        assert np.array_equal(learner.update(inputs, targets), said)


def disturb_input(learner, inputs):
    learner.predict(inputs)
    inputs += 100.0


def disturb_output(learner, inputs):
    learner.predict(inputs)[...] = np.nan


def predict_another(learner, inputs):
    learner.predict(inputs)
    learner.predict(inputs + 1)


def predict_another_of_one(learner, inputs):
    learner.predict(inputs)
    learner.predict(inputs[:1])


def predict_without_gradients(learner, inputs):
    with torch.no_grad():
        learner.predict(inputs)
    with torch.inference_mode():
        learner.predict(inputs)


def inspect_and_measure(learner, inputs):
    learner.predict(inputs)
    learner.inspect(inputs + 1, np.zeros(len(inputs), dtype=np.int64))


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize(
    "disturb",
    [
        disturb_input,
        disturb_output,
        predict_another,
        predict_another_of_one,
        predict_without_gradients,
        inspect_and_measure,
    ],
)
def test_a_remembered_prediction_is_used_only_for_what_was_predicted(disturb, batch):
    plain, disturbed = build("backprop", batch=batch), build("backprop", batch=batch)
    for inputs, targets in examples(10 * (batch or 1)).batches(batch or 1):
        mine = inputs.copy()
        disturb(disturbed, mine)
        said = plain.update(mine, targets)
        assert np.array_equal(said, disturbed.update(mine, targets))
    assert all(map(torch.equal, values(plain), values(disturbed)))


def test_a_prediction_is_forgotten_when_the_parameters_change():
    learner, other = build("backprop"), build("backprop", seed=1)
    inputs, targets = next(examples(1).batches(1))
    learner.predict(inputs)
    learner.update(inputs, targets)
    assert np.array_equal(learner.predict(inputs), learner.update(inputs, targets))
    learner.predict(inputs)
    learner.load_state_dict(other.state_dict())
    assert np.array_equal(learner.update(inputs, targets), other.update(inputs, targets))


def test_inputs_may_lie_anyhow_in_memory():
    inputs = examples(16).examples()
    targets = np.zeros(16, dtype=np.int64)
    orders = [np.ascontiguousarray(inputs), np.asfortranarray(inputs), inputs[::-1][::-1]]
    learners = [build("backprop", batch=16) for _ in orders]
    for _ in range(20):
        said = [learner.update(x, targets) for learner, x in zip(learners, orders, strict=True)]
        assert np.array_equal(said[0], said[1]) and np.array_equal(said[0], said[2])
    backwards = build("backprop", batch=16).predict(inputs[::-1])
    assert np.array_equal(backwards, build("backprop", batch=16).predict(inputs[::-1].copy()))


@pytest.mark.parametrize("name", AGENTS)
def test_the_seed_decides_everything_and_only_through_itself(name):
    first, again, other = build(name), build(name), build(name, seed=1)
    assert not np.array_equal(first.predict(np.ones((1, INPUTS))), other.predict(np.ones((1, 7))))
    train(other, 5)
    assert np.array_equal(train(first, 20), train(again, 20))


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("kind", ["classes", "values"])
def test_inspect_changes_nothing_and_its_gradient_is_autograds(name, kind):
    learner = build(name, kind, batch=3)
    train(learner, 10, kind)
    probe = examples(20, kind, seed=5)
    before, grads = learner.state_dict(), [p.grad.clone() for p in learner.module.parameters()]
    seen = learner.inspect(probe.examples(), probe.targets)
    assert same(before, learner.state_dict())
    assert same(grads, [p.grad for p in learner.module.parameters()])

    model = copy.deepcopy(learner.module.double()).eval()
    outputs, features = model(torch.tensor(probe.examples()).double())
    y = torch.tensor(probe.targets)
    log = outputs.log_softmax(1)
    square = (outputs[:, 0] - y.double()) ** 2 if kind == "values" else None
    loss = square.mean() if kind == "values" else -log[torch.arange(20), y].mean()
    loss.backward()
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    for gradient, parameter in zip(seen.gradients, model.parameters(), strict=True):
        close(gradient, parameter.grad.numpy())
    for mine, theirs in zip(seen.features, features, strict=True):
        close(mine, theirs.detach().numpy())
    assert [w.shape for w in seen.weights] == [tuple(m.weight.shape) for m in model.linears]
    start = build(name, kind, batch=3)
    assert same(seen.initial_parameters, [value.numpy() for value in values(start)])


def test_a_learner_of_a_third_party_needs_three_methods_and_no_more():
    class Last:
        seen = 0.0

        def predict(self, inputs):
            return np.full((len(inputs), 1), self.seen)

        def update(self, inputs, targets):
            said, self.seen = self.predict(inputs), targets[-1]
            return said

        def update_many(self, chunk):
            raise NotImplementedError

    assert isinstance(Last(), Learner) and not isinstance(Last(), Inspectable)
    agent, (x, y) = (
        LearnerAgent(Last(), problem("values")[1]),
        next(examples(1, "values").batches(1)),
    )
    assert not agent.needs_boundary and agent.act(x[0]).tolist() == [0.0]
    info = {"target": y, "task_switch": True}
    agent.learn(Transition(x[0], agent.act(x[0]), 0.0, x[0], False, False, info))
    assert agent.act(x[0]).tolist() == y.tolist()


def test_batches_of_another_size_can_be_learned_from():
    learner = build("backprop", batch=4)
    inputs, targets = next(examples(6).batches(6))
    assert learner.update(inputs, targets).shape == (6, 4)


def test_float64_is_float64_throughout():
    learner = float64(batch=2)
    said = train(learner, 3)
    assert said.dtype == np.float64 and build("backprop").predict(np.ones((1, 7))).dtype == "f4"
    assert {p.dtype for p in learner.module.parameters()} == {torch.float64}


@pytest.mark.parametrize(
    ("observations", "actions", "expected"),
    [
        (spaces.Box(0, 1, (5,)), spaces.Discrete(3), ((5,), 3, 1)),
        (spaces.Box(0, 1, (2, 5)), spaces.MultiDiscrete([3, 3]), ((5,), 3, 2)),
        (spaces.Box(0, 1, (1, 5)), spaces.MultiDiscrete([3]), ((5,), 3, 1)),
        (spaces.Box(0, 1, (5,)), spaces.Box(-1, 1, (1,)), ((5,), 1, 1)),
        (spaces.Box(0, 1, (2, 5)), spaces.Box(-1, 1, (2,)), ((5,), 1, 2)),
    ],
)
def test_sizes_of_supervised_spaces(observations, actions, expected):
    assert sizes(observations, actions) == expected


@pytest.mark.parametrize(
    ("observations", "actions"),
    [
        (spaces.Box(0, 1, (28, 28)), spaces.Discrete(10)),
        (spaces.Box(0, 1, (5,)), spaces.Box(-1, 1, (6,))),  # several torques, not a value
        (spaces.Box(0, 1, (5,)), spaces.Box(-1, 1, ())),
        (spaces.Box(0, 1, (4, 5)), spaces.Box(-1, 1, (3,))),
        (spaces.Box(0, 1, (2, 3, 5)), spaces.Box(-1, 1, (2,))),
        (spaces.Box(0, 1, (2, 5)), spaces.MultiDiscrete([3, 4])),
        (spaces.Box(0, 1, (4, 5)), spaces.MultiDiscrete([3, 3])),
        (spaces.Discrete(5), spaces.Discrete(2)),
        (spaces.Dict(x=spaces.Box(0, 1, (5,))), spaces.Discrete(2)),
        (spaces.Box(0, 1, (5,)), spaces.Tuple([spaces.Discrete(2)])),
    ],
)
def test_other_spaces_are_refused_in_one_line(observations, actions):
    with pytest.raises(ValueError, match="^problem: a supervised learner cannot use ") as error:
        NetworkLearner(observations, actions, seed=0)
    assert "\n" not in str(error.value)


def test_decisions_are_the_first_best_class_or_the_value():
    outputs = np.array([[0.0, 2.0, 2.0], [1.0, 0.0, -1.0]])
    assert decide(outputs, spaces.MultiDiscrete([3, 3]), 2).tolist() == [1, 0]
    assert decide(outputs[:, :1], spaces.Box(-1, 1, (2,)), 2).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("space", "shapes"),
    [
        (spaces.Discrete(3), [(2, 4), (2, 2), (2,), (1, 3), (2, 3, 1)]),
        (spaces.MultiDiscrete([3, 3]), [(2, 4), (1, 3)]),
        (spaces.Box(-1, 1, (2,)), [(2,), (2, 2), (1, 1)]),
    ],
)
def test_outputs_of_another_shape_are_refused_in_one_line(space, shapes):
    for shape in shapes:
        said = re.escape(f"outputs: shape {shape} is not allowed; give (2, ")
        with pytest.raises(ValueError, match=f"^{said}[13]\\)$"):
            decide(np.zeros(shape), space, 2)

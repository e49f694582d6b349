"""What a problem may disclose, going back to earlier parameters, and looking inside."""

import copy
import functools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from agents import inspection
from agents.base import LearnerAgent, Rewindable, Transition
from agents.methods.fresh import Fresh
from evaluation.measures import measure
from tests.agents.helpers import same, values
from tests.agents.pictures import IMAGE_NETWORKS, images, learner, narrow, problem, train

__all__ = ["narrow"]
pytestmark = pytest.mark.usefixtures("narrow")
KINDS = (*IMAGE_NETWORKS, "mlp")


def lr(made) -> float:
    (group,) = made.optimizer.param_groups
    return group["lr"]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_step_size_falls_by_a_fifth_at_each_of_the_epochs(optimizer):
    made = learner("mlp", step_size=0.1, optimizer=optimizer, decay_epochs=[60, 120, 160])
    for epoch, expected in ((0, 0.1), (59, 0.1), (60, 0.02), (120, 4e-3), (199, 8e-4), (0, 0.1)):
        made.on_privileges({"epoch": epoch})
        assert lr(made) == pytest.approx(expected, rel=1e-12)
    assert lr(made) == 0.1


def test_the_smaller_step_is_the_one_that_is_taken():
    decayed = learner("mlp", step_size=0.1, decay_epochs=(2,))
    decayed.on_privileges({"epoch": 2})
    small = learner("mlp", step_size=0.1 * 0.2)
    assert np.array_equal(train(decayed, 5), train(small, 5))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (60, "decay_epochs: 60 is not allowed; give a list like [60, 120, 160]"),
        ([0], "decay_epochs: 0 is not allowed; give a whole number of at least 1"),
        ([1.5], "decay_epochs: 1.5 is not allowed; give a whole number of at least 1"),
    ],
)
def test_bad_epochs_are_refused_in_one_line(given, message):
    with pytest.raises(ValueError) as error:
        learner("mlp", decay_epochs=given)
    assert str(error.value) == message


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_used_changes_nothing(kind):
    """Epochs without `decay_epochs`, keys that are not known, and nothing at all."""
    plain, told = learner(kind, momentum=0.9), learner(kind, momentum=0.9)
    said = []
    for epoch in range(3):
        told.on_privileges({"epoch": epoch, "task_switch": True, "target": 3})
        told.on_privileges({})
        said.append(train(told, 2, seed=epoch))
    expected = [train(plain, 2, seed=epoch) for epoch in range(3)]
    assert same(said, expected)
    assert same(plain.state_dict(), told.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_classes_not_seen_are_impossible_and_learn_nothing(kind):
    made, x = learner(kind), images(kind, 3)
    seen = np.array([True, False, True, False])
    model = copy.deepcopy(made.module)
    targets = np.array([2, 0, 2])
    made.on_privileges({"seen": seen})
    said = made.anticipate(x.examples())
    assert np.isneginf(made.predict(x.examples())[:, ~seen]).all()
    assert np.isneginf(said[:, ~seen]).all() and np.isfinite(said[:, seen]).all()
    assert np.array_equal(made.update(x.examples(), targets), said)
    outputs, _ = model(torch.tensor(x.examples()).double())
    loss = F.cross_entropy(outputs[:, seen], torch.tensor([1, 0, 1]))
    for mine, expected in zip(
        made.module.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(mine.grad, expected, rtol=1e-8, atol=1e-12)
    head = made.module.get_parameter(made.module.head().weight)
    assert not head.grad[~seen].any() and head.grad[seen].any()
    probed = made.inspect(x.examples(), targets)
    outputs, _ = copy.deepcopy(made.module).eval()(torch.tensor(x.examples()).double())
    loss = F.cross_entropy(outputs[:, seen], torch.tensor([1, 0, 1]))
    assert all(np.isfinite(one).all() for one in probed.gradients)
    assert probed.gradients[-1][~seen].tolist() == [0, 0]  # the head's biases
    made.on_privileges({"seen": np.ones(4, dtype=bool)})
    assert np.isfinite(made.predict(x.examples())).all()


def test_a_class_is_unseen_however_the_learner_is_asked():
    acting, chunked = learner("small_cnn"), learner("small_cnn")
    agent, data = LearnerAgent(acting, problem("small_cnn")[1]), images("small_cnn", 9)
    data.targets[:] %= 2
    told = {"seen": np.array([True, True, False, False]), "epoch": 0}
    agent.begin(told)
    chunked.on_privileges(told)
    said = []
    for x, y in data.batches(3):
        agent.act(x)
        said.append(agent.outputs)
        agent.learn(Transition(x, 0, 0.0, None, False, False, {"target": y}))
    assert np.array_equal(np.concatenate(said), chunked.update_many(data))


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_becomes_zero_in_place_and_the_optimizer_keeps_its_state(kind):
    made = learner(kind, momentum=0.9)
    train(made, 2)
    before = made.state_dict()
    x = images(kind, 3).examples()
    made.predict(x)  # a prediction from before is not to be used
    pointers = [p.data_ptr() for p in made.module.parameters()]
    made.on_privileges({"zero_head": True})
    assert not made.predict(x).any()
    after, head = made.state_dict(), made.module.head()
    assert same(before["optimizer"], after["optimizer"])
    for name, old in before["parameters"].items():
        zero = name in (head.weight, head.bias)
        assert torch.equal(after["parameters"][name], torch.zeros_like(old) if zero else old)
    assert pointers == [p.data_ptr() for p in made.module.parameters()]
    assert not made.update(x, np.zeros(3, dtype=np.int64)).any()


def test_a_restart_before_what_is_disclosed_leaves_the_disclosure_in_force():
    made = learner("convnet", [Fresh()], step_size=0.1, decay_epochs=(1,))
    made.on_privileges({"epoch": 5, "seen": np.array([True, True, False, False])})
    train(made, 1)
    made.on_task_switch()
    made.on_privileges({"epoch": 0, "zero_head": True})
    assert lr(made) == 0.1
    said = made.predict(images("convnet", 2).examples())
    assert not said[:, :2].any() and np.isneginf(said[:, 2:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rewinding_brings_back_parameters_and_statistics_and_no_more(kind):
    made = learner(kind, momentum=0.9)
    assert isinstance(made, Rewindable)
    train(made, 2)
    snapshot, then = made.snapshot(), made.state_dict()
    kept = copy.deepcopy(dict(snapshot))
    train(made, 3, seed=1)
    later = made.state_dict()
    assert same(dict(snapshot), kept)
    x = images(kind, 3).examples()
    made.predict(x)
    made.rewind(snapshot)
    now = made.state_dict()
    assert same(dict(now["parameters"]), dict(then["parameters"]))
    assert same(now["optimizer"], later["optimizer"])
    train(made, 2, seed=2)
    assert same(dict(snapshot), kept)
    made.rewind(snapshot)
    other = learner(kind)
    other.rewind(snapshot)
    assert np.array_equal(made.predict(x), other.predict(x))


@pytest.mark.parametrize("kind", KINDS)
def test_inspection_by_pieces_is_that_of_the_whole(kind, monkeypatch):
    made = learner(kind)
    train(made, 2)
    probe = images(kind, 10)
    before = made.state_dict()
    seen = []
    for piece in (1000, 4):
        monkeypatch.setattr(inspection, "PIECE", piece)
        seen.append(vars(made.inspect(probe.examples(), probe.targets)))
    assert same(before, made.state_dict())
    for name, whole in seen[0].items():
        for one, other in zip(whole, seen[1][name], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "activation"),
    [
        *((kind, "relu") for kind in KINDS),
        *((kind, "tanh") for kind in KINDS if kind != "resnet18"),
    ],
)
def test_inspection_shows_the_network_in_evaluation_mode(kind, activation):
    made = learner(kind, activation=activation)
    train(made, 2)
    probe = images(kind, 10)
    seen = made.inspect(probe.examples(), probe.targets)
    model = copy.deepcopy(made.module).eval()
    outputs, layers = model(torch.tensor(probe.examples()).double())
    loss = F.cross_entropy(outputs, torch.tensor(probe.targets))
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
    for mine, expected in zip(seen.gradients, gradients, strict=True):
        close(mine, expected)
    points = [h for layer in layers for h in (layer if isinstance(layer, list) else [layer])]
    assert len(points) == len(seen.features) == len(seen.active)
    for h, features, active in zip(points, seen.features, seen.active, strict=True):
        close(features, h.detach() if h.ndim == 2 else h.detach().abs().mean((2, 3)))
        close(active, (h != 0).double().transpose(0, 1).flatten(1).mean(1))
    assert same(seen.parameters, [value.numpy() for value in values(made)])
    kernels = [p for p in seen.parameters if p.ndim > 1]
    assert same(seen.weights, kernels)


def test_a_channel_has_feature_0_only_if_it_is_silent():
    made = learner("resnet18")
    with torch.no_grad():
        made.module.blocks[0].norm1.weight[2] = 0
        made.module.blocks[0].norm1.bias[2] = -1
    probe = images("resnet18", 6)
    seen = made.inspect(probe.examples(), probe.targets)
    assert not seen.features[0][:, 2].any() and seen.active[0][2] == 0
    assert (seen.features[0].sum(0) > 0).sum() == 3
    assert same(seen.features[0].sum(0) == 0, seen.active[0] == 0)


def test_a_stream_is_a_layer_at_every_point_where_it_is_read():
    """Else what the output layer reads could be dead and rank high, by what was read before it."""
    made = learner("resnet18")
    with torch.no_grad():
        made.module.blocks[7].norm2.weight[1:] = 0
        made.module.blocks[7].norm2.bias[1:] = -1e3
    probe = images("resnet18", 40)
    seen = made.inspect(probe.examples(), probe.targets)
    assert len(seen.features) == 17, "as in the published code: the stem, and two in every block"
    assert [len(layer) for layer in seen.active] == [layer.shape[1] for layer in seen.features]
    found = measure(seen)
    assert found["srank_99_last"] == 1
    dead = [np.all(layer == 0, axis=0) for layer in seen.features]
    assert dead[-1][1:].all() and not dead[-1][0]
    assert found["dead_units"] == pytest.approx(np.concatenate(dead).mean())


def test_many_held_out_images_are_predicted_piece_by_piece(monkeypatch):
    for kind in KINDS:
        made = learner(kind)
        x = images(kind, 10).examples()
        whole = made.predict(x)
        monkeypatch.setattr("agents.learner.PIECE", 4)
        np.testing.assert_allclose(made.predict(x), whole, rtol=1e-12)
        monkeypatch.undo()

"""Learners on images: which network they get, what is refused, and that they stay honest."""

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents import registry
from agents.base import LearnerAgent, Transition
from agents.engines import on_engine
from agents.learner import NetworkLearner
from agents.methods.dropout import Dropout
from agents.methods.layer_norm import LayerNorm
from agents.problem import sizes
from tests.agents.helpers import same
from tests.agents.pictures import IMAGE_NETWORKS, images, learner, narrow, problem, train

__all__ = ["narrow"]


def test_auto_is_a_convnet_for_images_and_a_perceptron_for_vectors():
    kinds = {
        "backprop": "convnet",
        "linear": "mlp",
        "l2": "convnet",
    }
    for name, kind in kinds.items():
        assert registry.make(name, *problem("convnet"), seed=0).module.spec.network == kind
    flat = spaces.Box(-1, 1, (3, 12)), spaces.MultiDiscrete([4] * 3)
    assert registry.make("backprop", *flat, seed=0).module.spec.network == "mlp"


@pytest.mark.parametrize("hidden", [(5,), ()])
def test_perceptrons_flatten_images(hidden):
    mine = learner("mlp", hidden=hidden)
    flat = NetworkLearner(
        spaces.Box(-10, 10, (3, 48)), spaces.MultiDiscrete([4] * 3), seed=0,
        dtype=torch.float64, hidden=hidden,
    )  # fmt: skip
    for x, y in images("mlp", 30).batches(3):
        assert np.array_equal(mine.update(x, y), flat.update(x.reshape(3, -1), y))


@pytest.mark.parametrize(
    ("shape", "actions", "expected"),
    [
        ((8, 9, 3), spaces.Discrete(4), ((8, 9, 3), 4, 1)),
        ((5, 8, 9, 3), spaces.MultiDiscrete([4] * 5), ((8, 9, 3), 4, 5)),
        ((1, 8, 9, 3), spaces.MultiDiscrete([4]), ((8, 9, 3), 4, 1)),
        ((8, 9, 3), spaces.Box(-1, 1, (1,)), ((8, 9, 3), 1, 1)),
        ((5, 8, 9, 3), spaces.Box(-1, 1, (5,)), ((8, 9, 3), 1, 5)),
    ],
)
def test_sizes_of_image_spaces(shape, actions, expected):
    assert sizes(spaces.Box(0, 1, shape), actions) == expected


@pytest.mark.parametrize("batch", [None, 3])
def test_an_agent_acts_on_images(batch):
    space = problem("small_cnn", batch)[1]
    agent = LearnerAgent(learner("small_cnn", batch=batch), space)
    twin = learner("small_cnn", batch=batch)
    for x, y in images("small_cnn", 5 * (batch or 1)).batches(batch or 1):
        shown, target = (x, y) if batch else (x[0], y[0])
        assert space.contains(agent.act(shown))
        agent.learn(Transition(shown, 0, 0.0, None, False, False, {"target": target}))
        assert np.array_equal(agent.outputs, twin.update(x, y))


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        (
            "convet",
            {},
            "network: 'convet' is not one of auto, convnet, mlp, resnet18, small_cnn; n",
        ),
        ("convnet", {"hidden": (50, 50)}, "hidden: (50, 50) is not allowed with network 'convnet'"),
        ("small_cnn", {"hidden": ()}, "hidden: () is not allowed with network 'small_cnn', whose"),
        ("auto", {"hidden": (50,)}, "hidden: (50,) is not allowed with network 'convnet', whose"),
        (
            "resnet18",
            {"methods": [LayerNorm()]},
            "network: 'resnet18' is not allowed with layer no",
        ),
        (
            "resnet18",
            {"methods": [Dropout()]},
            "dropout_rate: 0.03 is not allowed with network 're",
        ),
        ("convnet", {"side": 20}, "network: 'convnet' is not allowed for images of shape (20, 20,"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(network, changes, message):
    changes = dict(changes)
    side = changes.pop("side", 32)
    with pytest.raises(ValueError) as error:
        NetworkLearner(
            spaces.Box(0, 1, (3, side, side, 3)), spaces.MultiDiscrete([4] * 3), seed=0,
            network=network, **changes,
        )  # fmt: skip
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_image_networks_need_images():
    with pytest.raises(ValueError, match="^network: 'convnet' is not allowed without images"):
        NetworkLearner(spaces.Box(0, 1, (12,)), spaces.Discrete(4), seed=0, network="convnet")


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("network", (*IMAGE_NETWORKS, "mlp"))
def test_the_fused_engine_leaves_images_to_torch(network):
    settings = {"hidden": (5,)} if network == "mlp" else {}
    mine = learner(network, **settings)
    said = "vectors only" if network == "mlp" else type(mine.module).__name__
    with pytest.raises(ValueError, match=f"^engine: 'fused' is not allowed; [^\n]*{said}[^\n]*$"):
        on_engine(mine, "fused")
    assert on_engine(mine, "auto") == (mine, "torch")


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("network", IMAGE_NETWORKS)
def test_the_seed_decides_everything_and_no_global_generator_is_touched(network):
    state = torch.get_rng_state()
    first, again, other = (learner(network, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    said = train(first, 4)
    assert np.array_equal(said, train(again, 4))
    assert not np.array_equal(said, train(other, 4))


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("network", IMAGE_NETWORKS)
def test_update_says_what_was_anticipated_which_changes_nothing(network):
    mine, silent = learner(network), learner(network)
    for x, y in images(network, 9).batches(3):
        before = mine.state_dict()
        said, tested = mine.anticipate(x), mine.predict(x)
        assert np.array_equal(said, mine.anticipate(x))
        assert np.array_equal(said, tested) == (network != "resnet18")
        assert same(before, mine.state_dict())
        assert np.array_equal(mine.update(x, y), said)
        assert np.array_equal(silent.update(x, y), said)
    assert same(mine.state_dict(), silent.state_dict())


@pytest.mark.usefixtures("narrow")
def test_batch_normalisation_predicts_by_running_statistics_and_learns_by_the_batchs():
    mine = learner("resnet18", step_size=1e-12)
    x, y = next(images("resnet18", 3).batches(3))
    inputs = torch.tensor(x).double()
    norm = mine.module.stem_norm
    mine.update(x, y)
    z = mine.module.stem(inputs.permute(0, 3, 1, 2)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, 0.1 * z.mean(1), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * z.var(1), rtol=1e-6, atol=1e-9)
    copied = copy.deepcopy(mine.module).eval()
    assert np.allclose(mine.predict(x), copied(inputs)[0].detach().numpy(), rtol=1e-12)

"""The torch engine on a CUDA device does what it does on the CPU, and its runs resume there."""

import io

import numpy as np
import pytest
import torch

from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.equal_betas import EqualBetas
from agents.methods.fresh import Fresh
from agents.methods.head_reset import HeadReset
from agents.methods.l2 import L2
from agents.methods.l2_init import L2Init
from agents.methods.layer_norm import LayerNorm
from agents.methods.online_norm import OnlineNorm
from agents.methods.redo import ReDo
from agents.methods.regrama import ReGraMa
from agents.methods.upgd import UPGD
from agents.methods.weight_clipping import WeightClipping
from tests.agents import helpers, pictures
from tests.agents.helpers import float64, values
from tests.agents.pictures import narrow

__all__ = ["narrow"]

HOT = {"replacement_rate": 0.1, "maturity": 2, "profile": "code"}
METHODS = {
    "l2": (lambda: [L2(weight_decay=0.1)], {"momentum": 0.9}),
    "layer-norm": (lambda: [LayerNorm(), EqualBetas()], {"optimizer": "adam"}),
    "online-norm": (lambda: [OnlineNorm(), ContinualBackprop(**HOT)], {}),
    "continual-backprop": (lambda: [ContinualBackprop(**HOT)], {"optimizer": "adam"}),
    "redo": (lambda: [ReDo(period=2, tau=0.3)], {"momentum": 0.9}),
    "l2-init": (
        lambda: [ReGraMa(period=2, tau=0.3), UPGD(noise_std=0), L2Init(), WeightClipping()],
        {"momentum": 0.9},
    ),
    "switches": (lambda: [HeadReset(), Fresh()], {"momentum": 0.9}),
}
# What the convolutional networks refuse, or ResNet-18 alone.
FLAT = ("online-norm",)
RESIDUAL = ("layer-norm", *FLAT)
CASES = [("mlp", name) for name in METHODS]
CASES += [("convnet", name) for name in METHODS if name not in FLAT]
CASES += [("resnet18", name) for name in METHODS if name not in RESIDUAL]


def made(network: str, name: str, device: str):
    methods, settings = METHODS[name]
    if network == "mlp":
        return float64(methods(), batch=3, device=device, **settings)
    return pictures.learner(network, methods(), device=device, **settings)


def train(learner, updates: int, seed: int = 0) -> np.ndarray:
    network = learner.module.spec.network
    kind = helpers.train if network == "mlp" else pictures.train
    return kind(learner, updates, seed=seed)


def live(learner) -> list[np.ndarray]:
    """Two tasks, between them a snapshot and the way back, then another go through a file."""
    outputs = [train(learner, 5)]
    best = learner.snapshot()
    outputs.append(train(learner, 3, seed=1))
    learner.rewind(best)
    learner.on_task_switch()
    file = io.BytesIO()
    torch.save(learner.state_dict(), file)
    outputs.append(train(learner, 5, seed=2))
    file.seek(0)
    learner.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    outputs.append(train(learner, 5, seed=2))
    np.testing.assert_allclose(*outputs[-2:], rtol=0, atol=1e-9)  # cuDNN may add in any order
    return outputs


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("network", "name"), CASES)
@pytest.mark.usefixtures("narrow")
def test_a_learner_on_a_gpu_follows_the_one_on_the_cpu(network, name):
    own, cpu = made(network, name, "cuda"), made(network, name, "cpu")
    for got, want in zip(live(own), live(cpu), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)
    for parameter, want in zip(values(own), values(cpu), strict=True):
        np.testing.assert_allclose(parameter.cpu(), want, rtol=0, atol=1e-9)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(("network", "name"), CASES)
def test_every_such_life_can_be_lived(network, name):
    assert np.isfinite(np.concatenate(live(made(network, name, "cpu")))).all()

import math

import numpy as np
import pytest
import torch

from agents.engines import on_engine
from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.equal_betas import EqualBetas
from tests.agents.helpers import build, train


def steps_after_a_jump(betas, count):
    """Return the sizes of the steps, in step sizes, once a gradient of 0 has become 1."""
    parameter = torch.zeros((), dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([parameter], lr=0.1, betas=(0.9, 0.999))
    adam = EqualBetas(beta=betas[0]).wrap_optimizer(adam) if betas[0] == betas[1] else adam
    sizes = []
    for step in range(20_000 + count):
        parameter.grad = torch.full_like(parameter, float(step >= 20_000))
        before = parameter.detach().clone()
        adam.step()
        sizes.append(float((before - parameter.detach()) / 0.1))
    return sizes[20_000:]


def test_no_step_is_longer_than_the_step_size_when_the_gradient_jumps():
    equal = steps_after_a_jump((0.99, 0.99), 10)
    assert equal == pytest.approx([math.sqrt(1 - 0.99**k) for k in range(1, 11)], rel=1e-3)
    assert max(equal) < 1
    usual = steps_after_a_jump((0.9, 0.999), 10)
    assert usual[0] == pytest.approx(3.16, abs=0.01) and usual[9] == pytest.approx(6.5, abs=0.05)


def test_the_learner_has_them():
    groups = build("adam+equal-betas", beta=0.95).optimizer.param_groups
    assert all(group["betas"] == (0.95, 0.95) for group in groups)


def test_an_optimizer_without_betas_is_refused_by_name():
    with pytest.raises(ValueError, match="^equal-betas: SGD has no betas; set optimizer to 'adam'"):
        build("equal-betas")


@pytest.mark.parametrize("beta", [-0.1, 1.0, math.nan, "0.9"])
def test_bad_beta_is_refused(beta):
    with pytest.raises(ValueError, match="^beta: "):
        EqualBetas(beta=beta)


def test_the_compiled_loop_has_them_too():
    outputs = []
    for engine in ("torch", "fused"):
        learner, used = on_engine(build("adam+equal-betas", beta=0.5, step_size=0.01), engine)
        assert used == engine
        outputs.append(train(learner, 20))
    assert np.allclose(*outputs, atol=1e-4)
    assert not np.allclose(outputs[0], train(build("adam", step_size=0.01), 20), atol=1e-2)


def test_an_adam_with_counts_of_single_elements_keeps_epsilon():
    adam = torch.optim.Adam([torch.zeros(2, requires_grad=True)], lr=0.1, eps=1e-5)
    (group,) = ContinualBackprop(profile="code").wrap_optimizer(adam).param_groups
    assert (group["eps"], group["lr"], group["betas"]) == (1e-5, 0.1, (0.9, 0.999))

import math

import pytest
import torch

from agents.methods.weight_clipping import WeightClipping
from tests.agents.helpers import HIDDEN, INPUTS, bare, batch_of, float64, train


@pytest.mark.parametrize("kappa", [0.5, 3])
def test_no_weight_or_bias_is_beyond_its_bound_and_normalisations_are_free(kappa):
    _, network = bare(layer_norm=True)
    method = WeightClipping(kappa=kappa)
    method.attach(network)
    with torch.no_grad():
        for one in network.params.values():
            one.copy_(torch.linspace(-9, 9, one.numel()).reshape(one.shape))
        before = {name: one.clone() for name, one in network.params.items()}
        method.after_step(batch_of([]))
    fans = dict(enumerate((INPUTS, *HIDDEN)))
    for name, one in network.params.items():
        if name.startswith("norms"):
            assert torch.equal(one, before[name])
            continue
        bound = kappa / math.sqrt(fans[int(name.split(".")[1])])
        torch.testing.assert_close(one.detach(), before[name].clamp(-bound, bound))
        assert one.abs().max().item() == pytest.approx(bound)


def test_it_clips_after_every_step_and_a_wide_bound_is_backprop():
    learner, plain, wide = (
        float64(methods, step_size=1.0)
        for methods in ([WeightClipping(kappa=0.3)], [], [WeightClipping(kappa=1e9)])
    )
    for one in (learner, plain, wide):
        train(one, 50)
    weight = learner.module.linears[1].weight
    assert weight.abs().max() <= 0.3 / math.sqrt(HIDDEN[0]) < plain.module.linears[1].weight.max()
    pairs = zip(plain.module.parameters(), wide.module.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("kappa", [0, -1, math.nan, math.inf, "much"])
def test_bad_bounds_are_refused(kappa):
    with pytest.raises(ValueError, match="^kappa: .* is not allowed; give a finite number above 0"):
        WeightClipping(kappa=kappa)

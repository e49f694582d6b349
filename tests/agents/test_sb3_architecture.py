"""Normalisation and dropout in the policies that Stable-Baselines3 builds."""

import pytest
import torch

from agents.networks.online_norm import RUNNING, OnlineNorm
from agents.registry import ALGORITHMS
from agents.units import draw_units, reset_units
from tests.agents.sb3_problems import alive, observations

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
RELU = {"activation": "relu"}


@pytest.mark.parametrize("methods", ["layer-norm", "dropout", "layer-norm+dropout"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_layer_norm_and_dropout_are_put_into_every_network(algorithm, methods):
    rate = {"dropout_rate": 0.5} if "dropout" in methods else {}
    agent = alive(algorithm, methods + "+continual-backprop", cycles=2, **RELU, **rate)
    policy = agent.model.policy
    for part, host in zip(agent._algorithm.parts, agent.hosts, strict=True):
        (group,) = host.optimizer.param_groups
        trained = {id(parameter) for parameter in group["params"]}
        assert trained == {id(parameter) for parameter in host.module.parameters()}
        norms = [m for m in host.module.modules() if isinstance(m, torch.nn.LayerNorm)]
        assert len(norms) == (2 * len(part.perceptrons) if "norm" in methods else 0)
        assert all(norm.weight.grad is not None for norm in norms)
        if part.targets:
            target = policy.get_submodule(part.targets)
            assert not any(module.training for module in target.modules())
            assert target.state_dict().keys() == host.module.state_dict().keys()
    first, second = (agent.inspect(observations(agent)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first.features, second.features, strict=True))
    policy.set_training_mode(True)
    inputs, (host, *_) = torch.as_tensor(observations(agent, 200)), agent.hosts[::-1]
    passes = []
    for _ in range(2):
        with host.listening() as features:
            policy._predict(inputs, deterministic=True)
            passes.append(features[max(features)].clone())
    assert torch.equal(*passes) == ("dropout" not in methods)


@pytest.mark.parametrize("norm", ["layer-norm", "online-norm"])
def test_a_reset_restores_gain_and_offset_of_a_normalisation(norm):
    agent = alive("sb3/ppo", f"{norm}+continual-backprop", cycles=1, **RELU)
    network = agent.hosts[0].methods[1]._network
    for layer in network.layers:
        assert layer.incoming[0].norm is not None
        gain, offset = (network.params[name] for name in layer.incoming[0].norm)
        assert (gain != 1).any() and (offset != 0).any()
        keys = torch.zeros((), dtype=torch.int64)
        fresh = draw_units(network, layer, keys, (0,), 1)
        with torch.no_grad():
            reset_units(network, layer, torch.tensor([2]), torch.tensor([True]), fresh)
        assert gain[2] == 1 and offset[2] == 0
        if norm == "online-norm":
            running = [network.buffers[name] for name in layer.incoming[0].statistics]
            for buffer, start in zip(running, (0, 1, 0, 0), strict=True):
                assert buffer[2] == start and buffer[3] != start


@pytest.mark.parametrize("algorithm", ["sb3/ppo", "sb3/a2c"])
def test_online_normalization_follows_what_is_learned_from_and_nothing_else(algorithm):
    agent = alive(algorithm, "online-norm", **RELU)
    norms = [one for one in agent.model.policy.modules() if isinstance(one, OnlineNorm)]
    assert [len(norm.mean) for norm in norms] == [16, 12, 16, 12]

    def running():
        return [getattr(norm, name).clone() for norm in norms for name in RUNNING]

    learn, seen = agent.model.train, []
    agent.model.train = lambda: (seen.append(running()), learn(), seen.append(running()))
    agent.cycle()
    agent.cycle()
    agent.inspect(observations(agent))
    seen.append(running())
    for before, after in zip(seen[::2], seen[1::2], strict=False):
        assert not any(map(torch.equal, before, after))
    for before, after in zip(seen[1::2], seen[2::2], strict=True):
        assert all(map(torch.equal, before, after))

"""Every method on the policies that Stable-Baselines3 itself builds and trains."""

from typing import Any

import pytest
import torch
from torch import Tensor

from agents.batch import Batch
from agents.optimizers import ElementwiseAdam
from agents.registry import ALGORITHMS
from agents.units import draw_units, reset_units
from tests.agents.sb3_problems import SMALL, alive, build, observations, values

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
RELU = {"activation": "relu"}


def method(agent: Any, name: str, host: int = 0) -> Any:
    (found,) = [m for m in agent.hosts[host].methods if type(m).__name__ == name]
    return found


class Spy:
    """A method that only looks."""

    def attach(self, network: Any) -> None:
        self.network, self.seen = network, []

    def before_step(self, batch: Batch) -> None:
        assert batch.inputs is batch.targets is batch.outputs is batch.loss is None
        weights = {name: value.clone() for name, value in self.network.params.items()}
        self.seen.append((weights, list(batch.features)))


def answers(agent: Any) -> list[Tensor]:
    """Return what actor and critic of PPO say, untouched by the hooks."""
    policy, inputs = agent.model.policy, torch.as_tensor(observations(agent))
    with torch.no_grad():
        logits = policy.get_distribution(inputs).distribution.logits
        return [logits, policy.predict_values(inputs)]


def kill(network: Any, layer: Any, unit: int) -> None:
    """Let a ReLU unit be 0 for every observation."""
    with torch.no_grad():
        network.params[layer.incoming[0].weight][unit] = 0
        network.params[layer.incoming[0].bias][unit] = -1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_methods_are_shown_the_features_of_the_batch_that_is_learned_from(algorithm):
    agent = alive(algorithm, f"{__name__}:Spy", **RELU)
    samples: list[Any] = []
    buffer = getattr(agent.model, "replay_buffer", None) or agent.model.rollout_buffer
    draw = buffer._get_samples
    buffer._get_samples = lambda *given, **more: samples.append(draw(*given, **more)) or samples[-1]
    agent.cycle()
    agent.cycle()
    for index, host in enumerate(agent.hosts):
        spy = method(agent, "Spy", index)
        delayed = algorithm == "sb3/td3" and index == 1
        assert len(spy.seen) == len(samples) // (2 if delayed else 1) == host.updates
        takes_actions = index == 0 and len(agent.hosts) == 2
        for (weights, features), sample in zip(
            spy.seen, samples[delayed :: 1 + delayed], strict=True
        ):
            inputs = sample.observations
            if takes_actions:
                inputs = torch.cat([inputs, sample.actions], 1)
            assert len(features) == len(spy.network.layers)
            for layer, hidden in list(zip(spy.network.layers, features, strict=True))[::2]:
                (one,) = layer.incoming
                expected = torch.relu(inputs @ weights[one.weight].T + weights[one.bias])
                torch.testing.assert_close(hidden, expected)


@pytest.mark.parametrize("initialiser", ["sb3", "lecun"])
def test_continual_backprop_replaces_units_of_ppo(initialiser):
    rate = {"replacement_rate": 0.02, "maturity": 3, "initialiser": initialiser}
    agent = alive("sb3/ppo", "continual-backprop", n_epochs=10, **RELU, **rate)
    (host,), cbp = agent.hosts, method(agent, "ContinualBackprop")
    network, seen = cbp._network, 0

    def look(*_: Any) -> None:
        nonlocal seen
        for layer, units in zip(network.layers, cbp._units, strict=True):
            for unit in torch.nonzero(units.age == 0).flatten().tolist():
                seen += 1
                row = network.params[layer.incoming[0].weight][unit]
                if initialiser == "lecun":
                    assert 0 < row.abs().max() <= (3 / len(row)) ** 0.5
                else:
                    size = network.params[layer.incoming[0].weight].shape
                    length = 2**0.5 * min(1, (size[1] / size[0]) ** 0.5)
                    assert row.norm().item() == pytest.approx(length, rel=1e-5)
                parts = [(layer.incoming[0].weight, unit), (layer.incoming[0].bias, unit)]
                parts += [(one.weight, (slice(None), unit)) for one in layer.consumers]
                for name, index in parts:
                    state = host.optimizer.state[network.params[name]]
                    assert not state["exp_avg"][index].any()
                    assert not state["exp_avg_sq"][index].any()
                for name, index in parts[1:]:
                    assert not network.params[name][index].any()

    host.optimizer.register_step_post_hook(look)
    agent.cycle()
    replaced = [int(units.replaced) for units in cbp._units]
    assert seen == sum(replaced) and min(replaced) > 0
    # 20 updates, of which all units are mature in the last 17
    assert replaced[0] <= 0.02 * 16 * 17


def test_redo_recycles_dormant_units_of_ppo_and_its_answers_stay():
    agent = alive("sb3/ppo", "redo", cycles=1, **RELU, **{"redo.period": 1, "redo.tau": 0.0})
    redo, policy = method(agent, "ReDo"), agent.model.policy
    network = redo._network
    for depth, layer in enumerate(network.layers):
        kill(network, layer, depth)
    before, inputs = answers(agent), torch.as_tensor(observations(agent))
    with agent.hosts[0].listening() as features:
        policy.evaluate_actions(inputs, torch.zeros(len(inputs)))
        heard = [features[index] for index in range(len(network.layers))]
    assert [int((h == 0).all(0)[i]) for i, h in enumerate(heard)] == [1, 1, 1, 1]
    with torch.no_grad():
        redo.after_step(Batch(None, None, None, None, heard))
    for depth, layer in enumerate(network.layers):
        assert network.params[layer.incoming[0].weight][depth].any()
        assert not network.params[layer.incoming[0].bias][depth]
        if layer.consumers[0].weight in [head.weight for head in network.heads]:
            assert not network.params[layer.consumers[0].weight][:, depth].any()
    for old, new in zip(before, answers(agent), strict=True):
        torch.testing.assert_close(new, old)


def test_redo_recycles_while_ppo_learns():
    agent = alive("sb3/ppo", "redo", cycles=1, **RELU, **{"redo.period": 8, "redo.tau": 0.0})
    redo, (host,) = method(agent, "ReDo"), agent.hosts
    network, moments = redo._network, []
    for layer in network.layers:
        kill(network, layer, 0)

    def look(*_: Any) -> None:
        """What Adam remembers of the first unit of every layer, and of the second."""
        moments.append(
            [
                sum(
                    float(host.optimizer.state[network.params[name]][moment][index].abs().sum())
                    for moment in ("exp_avg", "exp_avg_sq")
                    for name, index in (
                        (layer.incoming[0].weight, unit),
                        (layer.incoming[0].bias, unit),
                        (layer.consumers[0].weight, (slice(None), unit)),
                    )
                )
                for unit in (0, 1)
                for layer in network.layers
            ]
        )

    host.optimizer.register_step_post_hook(look)
    agent.cycle()
    assert agent.updates == redo._updates == 8 and len(moments) == 4
    for layer in network.layers:
        assert network.params[layer.incoming[0].weight][0].any()
    assert all(moments[-2]) and moments[-1][:4] == [0.0] * 4 and all(moments[-1][4:])


def test_l2_adds_its_gradient_after_the_clipping():
    seen: dict[str, list[Tensor]] = {}
    for methods in ("", "l2"):
        settings = {"weight_decay": 10.0} if methods else {}
        agent = alive("sb3/ppo", methods, **settings)
        parameters = list(agent.hosts[0].module.parameters())
        start = [parameter.detach().clone() for parameter in parameters]

        def look(*_: Any, key: str = methods, of: list[Any] = parameters) -> None:
            seen.setdefault(key, [parameter.grad.clone() for parameter in of])

        agent.hosts[0].optimizer.register_step_pre_hook(look)
        agent.cycle()
    for plain, decayed, theta in zip(seen[""], seen["l2"], start, strict=True):
        torch.testing.assert_close(decayed, plain + 10 * theta)
    assert sum(gradient.square().sum() for gradient in seen[""]) ** 0.5 < 0.5001


def test_shrink_perturb_moves_every_parameter():
    agent = alive("sb3/ppo", "shrink-perturb", noise_std=1e-3, weight_decay=0.0)
    still = alive("sb3/ppo")
    steps: list[list[Tensor]] = []
    for one in (agent, still):
        parameters = list(one.hosts[0].module.parameters())

        def look(*_: Any, of: list[Any] = parameters) -> None:
            steps.append([parameter.detach().clone() for parameter in of])

        one.hosts[0].optimizer.register_step_post_hook(look)
    agent.cycle()
    first = steps[0]
    still.cycle()  # the first step of both is the same but for the noise
    moved = [a - b for a, b in zip(first, steps[agent.updates], strict=True)]
    assert all(step.any() for step in moved)
    noise = torch.cat([step.flatten() for step in moved])
    assert noise.std().item() == pytest.approx(1e-3, rel=0.1)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_equal_betas(algorithm):
    settings = {"optimizer": "adam"} if algorithm == "sb3/a2c" else {}
    agent = alive(algorithm, "equal-betas", cycles=2, **settings)
    for host in agent.hosts:
        assert host.optimizer.param_groups[0]["betas"] == (0.99, 0.99)


def test_an_optimizer_that_a_method_brings_takes_the_place_of_sb3s():
    methods = "continual-backprop+equal-betas"
    agent = alive("sb3/sac", methods, cycles=2, profile="code", epsilon=1e-6)
    for host, owner in zip(agent.hosts, (agent.model.critic, agent.model.actor), strict=True):
        assert isinstance(host.optimizer, ElementwiseAdam) and owner.optimizer is host.optimizer
        group = host.optimizer.param_groups[0]
        assert group["eps"] == 1e-6 and group["betas"] == (0.99, 0.99)
        assert len(host.optimizer.state) == len(list(host.module.parameters()))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_dead_unit_of_any_network_is_replaced_without_changing_its_answers(algorithm):
    agent = alive(algorithm, "continual-backprop", cycles=2, **RELU)
    for index in range(len(agent.hosts)):
        network = method(agent, "ContinualBackprop", index)._network
        assert network.optimizer is agent.hosts[index].optimizer
        hidden = SMALL[algorithm]["hidden"]
        for depth, layer in enumerate(network.layers):
            kill(network, layer, 1)
            assert network.incoming(layer)[0].shape[0] == hidden[depth % 2]
            assert all(view.shape[0] == hidden[depth % 2] for view in network.outgoing(layer))
        before = agent.inspect(observations(agent))
        outputs = final_answers(agent)
        for layer in network.layers:
            fresh = draw_units(network, layer, torch.zeros((), dtype=torch.int64), (0,), 1)
            with torch.no_grad():
                reset_units(network, layer, torch.tensor([1]), torch.tensor([True]), fresh)
        after = agent.inspect(observations(agent))
        changed = [(a != b).any() for a, b in zip(before.features, after.features, strict=True)]
        assert sum(map(bool, changed)) >= len(network.layers)
        torch.testing.assert_close(final_answers(agent), outputs)
        assert all(head.weight in network.params for head in network.heads)


def final_answers(agent: Any) -> list[Tensor]:
    policy, inputs = agent.model.policy, torch.as_tensor(observations(agent))
    with torch.no_grad():
        if hasattr(policy, "q_net"):
            return [policy.q_net(inputs)]
        if not hasattr(policy, "critic"):
            return answers(agent)
        actions = torch.zeros(len(inputs), 1)
        actor = policy.actor
        if agent.model.__class__.__name__ == "SAC":
            said = list(actor.get_action_dist_params(inputs)[:2])
        else:
            said = [actor(inputs)]
        return [*said, *policy.critic(inputs, actions)]


@pytest.mark.parametrize("algorithm", ["sb3/ppo", "sb3/sac"])
def test_head_reset_draws_the_output_layers_anew_at_a_switch(algorithm):
    agent = alive(algorithm, "head-reset", cycles=2)
    before = {id(p): p.clone() for host in agent.hosts for p in host.module.parameters()}
    agent.on_task_switch()
    for index, host in enumerate(agent.hosts):
        heads = method(agent, "HeadReset", index)._network.heads
        names = {head.weight for head in heads}
        assert len(names) == 2
        for name, parameter in host.module.named_parameters():
            if parameter.ndim == 2:
                assert torch.equal(parameter, before[id(parameter)]) == (name not in names)


def test_each_optimizer_has_methods_of_its_own_with_other_draws():
    agent = build("sb3/sac", "shrink-perturb")
    critic, actor = (method(agent, "ShrinkPerturb", index) for index in (0, 1))
    assert critic is not actor
    states = [one.state_dict()["generators"][0] for one in (critic, actor)]
    assert not torch.equal(*states)


@pytest.mark.parametrize("algorithm", ["sb3/dqn", "sb3/sac", "sb3/td3"])
def test_target_networks_are_never_touched(algorithm):
    agent = alive(algorithm, "shrink-perturb", noise_std=1.0, cycles=1)
    before = values(agent)
    with torch.no_grad():
        for index in range(len(agent.hosts)):
            method(agent, "ShrinkPerturb", index).after_step(None)
    names = agent.model.policy.state_dict()
    for name, old, new in zip(names, before, values(agent), strict=True):
        assert torch.equal(old, new) == ("target" in name)

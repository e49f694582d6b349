import random
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv

import continual_envs
from agents.base import Checkpointable, OwnsLoop
from agents.registry import ALGORITHMS
from evaluation import checkpoint
from tests.agents.helpers import same
from tests.agents.sb3_problems import (
    EITHER,
    HOT,
    METHODS,
    NULL,
    SMALL,
    alive,
    build,
    observations,
    problem,
    values,
)

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")


NOISY = "+equal-betas+dropout+layer-norm"


def plain(algorithm: str, steps: int, copies: int = 1, discrete: bool = True) -> list[torch.Tensor]:
    """Return what SB3 itself learns in so many steps."""
    settings: dict[str, Any] = dict(SMALL[algorithm])
    hidden = list(settings.pop("hidden"))
    on_policy = algorithm in ("sb3/ppo", "sb3/a2c")
    if settings.pop("exploration_steps", 0):
        settings["exploration_fraction"] = 300 / steps
    if algorithm in ("sb3/td3", "sb3/ddpg"):
        settings["action_noise"] = NormalActionNoise(np.zeros(1), np.full(1, 0.1))
    model = getattr(stable_baselines3, algorithm[4:].upper())(
        "MlpPolicy",
        DummyVecEnv([lambda: problem(algorithm, discrete)] * copies),
        policy_kwargs={"net_arch": {"pi": hidden, "vf": hidden} if on_policy else hidden},
        seed=3,
        device="cpu",
        **settings,
    )
    model.learn(steps)
    assert model.num_timesteps == steps
    return list(model.policy.state_dict().values())


@pytest.mark.parametrize("methods", ["", METHODS])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_without_methods_or_with_idle_ones_it_is_sb3_bit_for_bit(algorithm, methods):
    agent = alive(algorithm, methods, cycles=3, **(NULL if methods else {}))
    assert agent.updates > 5
    assert all(map(torch.equal, values(agent), plain(algorithm, agent.model.num_timesteps)))


@pytest.mark.parametrize("methods", ["", METHODS])
@pytest.mark.parametrize("algorithm", EITHER)
def test_so_it_is_where_actions_are_continuous(algorithm, methods):
    settings = {"discrete": False, **(NULL if methods else {})}
    agent = alive(algorithm, methods, cycles=3, **settings)
    assert any("log_std" in name for name in agent.model.policy.state_dict())
    want = plain(algorithm, agent.model.num_timesteps, discrete=False)
    assert all(map(torch.equal, values(agent), want))


def test_a_policy_that_diverges_is_one_line():
    agent = alive("sb3/ppo", discrete=False, step_size=1e30)
    with pytest.raises(
        ValueError, match=r"^agent: diverged after \d+ steps; the policy's"
    ) as caught:
        for _ in range(5):
            agent.cycle()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("algorithm", ["sb3/ppo", "sb3/dqn", "sb3/td3"])
def test_several_copies_are_sb3_with_several_environments(algorithm):
    agent = alive(algorithm, cycles=2, copies=2)
    assert agent.copies == 2
    expected = plain(algorithm, agent.model.num_timesteps, copies=2)
    assert all(map(torch.equal, values(agent), expected))


def numbers(agent: Any) -> dict[str, float]:
    """Return all numbers that SB3's algorithm keeps, but for what only its logs look at."""
    logged = ("start_time", "_num_timesteps_at_start")
    kept = {key: value for key, value in vars(agent.model).items() if key not in logged}
    return {key: value for key, value in kept.items() if isinstance(value, int | float)}


@pytest.mark.parametrize(
    ("algorithm", "more"),
    [
        *((algorithm, "") for algorithm in ALGORITHMS),
        ("sb3/ppo", NOISY),
        ("sb3/sac", NOISY),
        ("sb3/ppo", "+online-norm"),
    ],
)
def test_a_resumed_agent_goes_on_bit_for_bit(algorithm, more, tmp_path):
    methods = METHODS + more
    agent = alive(algorithm, methods, cycles=2, **HOT)
    (env,) = agent.model.env.envs
    saved = {"agent": agent.state_dict(), "env": continual_envs.state_dict(env)}
    kept = numbers(agent)
    checkpoint.save(saved, tmp_path / "saved")
    for _ in range(2):
        agent.cycle()

    torch.manual_seed(99), np.random.seed(99), random.seed(99)
    again = build(algorithm, methods, **HOT)
    env = problem(algorithm)
    again.enter([env])
    loaded = checkpoint.load(tmp_path / "saved")
    continual_envs.load_state_dict(env, loaded["env"])
    again.load_state_dict(loaded["agent"])
    assert same(again.state_dict(), saved["agent"])
    kept["_current_progress_remaining"] = numbers(again)["_current_progress_remaining"]
    assert numbers(again) == kept  # the progress is computed again before it is looked at
    for _ in range(2):
        again.cycle()
    assert all(map(torch.equal, values(again), values(agent)))
    assert same(again.state_dict(), agent.state_dict())
    assert same(continual_envs.state_dict(env), continual_envs.state_dict(agent.model.env.envs[0]))


@pytest.mark.parametrize("algorithm", ["sb3/ppo", "sb3/sac"])
def test_the_state_is_a_copy(algorithm):
    agent = alive(algorithm, METHODS, cycles=2, **HOT)
    first, second = agent.state_dict(), agent.state_dict()
    agent.cycle()
    assert same(first, second)
    agent.load_state_dict(first)
    agent.cycle()
    assert same(first, second)


@pytest.mark.parametrize("algorithm", ["sb3/ppo", "sb3/dqn", "sb3/sac"])
def test_the_global_generators_are_left_alone_and_do_not_matter(algorithm):
    def states() -> list[Any]:
        return [torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()]

    before = states()
    agent = alive(algorithm, cycles=2)
    assert same(before, states())
    other = alive(algorithm)
    for _ in range(2):
        torch.rand(1), np.random.rand(), random.random()
        other.cycle()
        alive("sb3/ppo", cycles=1, seed=8)
    assert all(map(torch.equal, values(agent), values(other)))


def test_the_seed_decides():
    one, two = alive("sb3/ppo", cycles=1), alive("sb3/ppo", cycles=1, seed=4)
    assert not any(map(torch.equal, values(one)[1:2], values(two)[1:2]))
    assert build("sb3/ppo", seed=2**40).updates == 0


def test_what_an_agent_can_do():
    agent = build("sb3/ppo")
    assert isinstance(agent, OwnsLoop) and isinstance(agent, Checkpointable)
    assert not agent.needs_boundary and build("sb3/ppo", "fresh").needs_boundary
    with pytest.raises(ValueError, match="^copies: 1 is not the number of problems, 2$"):
        agent.enter([problem("sb3/ppo"), problem("sb3/ppo")])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_inspection_shows_every_hidden_layer_and_changes_nothing(algorithm):
    agent = alive(algorithm, METHODS, cycles=2, **HOT)
    before = agent.state_dict()
    seen = agent.inspect(observations(agent))
    assert same(agent.state_dict(), before)
    assert not any(host._features for host in agent.hosts)
    assert not any(module._forward_hooks for module in agent.model.policy.modules())
    critics = {"sb3/sac": 2, "sb3/td3": 2, "sb3/dqn": 0}.get(algorithm, 1)
    assert [h.shape for h in seen.features] == [(20, 16), (20, 12)] * (critics + 1)
    assert [len(share) for share in seen.active] == [16, 12] * (critics + 1)
    assert seen.gradients == [] and len(seen.parameters) == len(seen.initial_parameters)
    assert all(weight.ndim == 2 for weight in seen.weights)
    last = torch.as_tensor(seen.features[-1])
    inputs, policy = torch.as_tensor(observations(agent)), agent.model.policy
    with torch.no_grad():
        if algorithm in ("sb3/ppo", "sb3/a2c"):
            said, expected = policy.action_net(last), policy.get_distribution(inputs).distribution
            said, expected = said.log_softmax(-1), expected.logits
        elif algorithm == "sb3/dqn":
            said, expected = policy.q_net.q_net[-1](last), policy.q_net(inputs)
        elif algorithm == "sb3/sac":
            said, expected = torch.tanh(policy.actor.mu(last)), policy.actor(inputs, True)
        else:
            said, expected = policy.actor.mu[-2:](last), policy.actor(inputs)
    torch.testing.assert_close(said, expected)


@pytest.mark.parametrize(
    "algorithm, settings",
    [("sb3/sac", {}), ("sb3/ppo", {"n_steps": 32, "batch_size": 16}), ("sb3/a2c", {})],
)
def test_the_largest_change_is_that_of_the_largest_update_cycle(algorithm, settings):
    agent = alive(algorithm, "shrink-perturb", cycles=1, noise_std=0.01, **settings)
    agent.take_largest_change()
    changes, train = [], agent.model.train

    def noted(*arguments):
        before = [p.detach().clone() for host in agent.hosts for p in host.module.parameters()]
        train(*arguments)
        after = [p for host in agent.hosts for p in host.module.parameters()]
        sums = [(b - a).abs().sum().item() for a, b in zip(before, after, strict=True)]
        changes.append(sum(sums))

    agent.model.train = noted
    agent.cycle()
    assert len(changes) > 3
    assert agent.take_largest_change() == pytest.approx(max(changes), rel=1e-5)
    assert agent.take_largest_change() == 0


@pytest.mark.parametrize("initialiser", ["sb3", "lecun"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_fresh_starts_over_in_the_present_episode(algorithm, initialiser):
    agent = alive(algorithm, "fresh+l2", cycles=2, initialiser=initialiser)
    first, steps, seen = values(agent), agent.updates, agent.model._last_obs
    draws = [agent.hosts[-1].initial]
    for switch in range(2):
        starts = agent.model._last_episode_starts
        agent.on_task_switch()
        assert agent._restarts == switch + 1
        assert np.array_equal(agent.model._last_episode_starts, starts)
        assert agent.updates == steps and np.array_equal(agent.model._last_obs, seen)
        assert not any(host.optimizer.state for host in agent.hosts)
        replay = getattr(agent.model, "replay_buffer", None)
        assert agent.model.num_timesteps == 0 and not (replay and replay.size())
        pairs = zip(first, values(agent), strict=True)
        assert not any(torch.equal(a, b) for a, b in pairs if a.any())
        draws.append(agent.hosts[-1].initial)
        agent.cycle()
        agent.cycle()
        assert agent.updates > steps
        steps, seen, first = agent.updates, agent.model._last_obs, values(agent)
    weights = [next(w for w in draw.values() if w.ndim == 2) for draw in draws]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
    again = alive(algorithm, "fresh+l2", initialiser=initialiser)
    again.load_state_dict(agent.state_dict())
    for one in (again, agent):
        one.on_task_switch()
    assert all(map(torch.equal, values(again), values(agent)))


def test_exploration_falls_over_a_number_of_steps_whatever_comes_between():
    agent = alive("sb3/dqn", "fresh", cycles=1)
    assert agent.model.exploration_rate == pytest.approx(1 - 0.95 / 3)
    agent.enter([problem("sb3/dqn")])
    agent.cycle()
    assert agent.model.exploration_rate == pytest.approx(1 - 0.95 * 2 / 3)
    for _ in range(2):
        agent.cycle()
    assert agent.model.exploration_rate == 0.05
    agent.on_task_switch()
    agent.cycle()
    assert agent.model.exploration_rate == pytest.approx(1 - 0.95 / 3)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_lecun_draws_every_linear_map_from_a_generator_of_the_agent(algorithm):
    agent, same_seed = build(algorithm, initialiser="lecun"), build(algorithm, initialiser="lecun")
    for host, twin in zip(agent.hosts, same_seed.hosts, strict=True):
        for name, parameter in host.module.named_parameters():
            assert torch.equal(parameter, twin.module.get_parameter(name))
            if parameter.ndim == 2:
                bound = (3 / parameter.shape[1]) ** 0.5
                assert 0.5 * bound < parameter.abs().max() <= bound
            else:
                assert not parameter.any()
    other = values(build(algorithm, initialiser="lecun", seed=4))
    pairs = zip(values(agent), other, strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs if a.ndim == 2)
    policy = agent.model.policy
    for part in agent._algorithm.parts:
        if part.targets:
            target = policy.get_submodule(part.targets).state_dict()
            assert same(dict(policy.get_submodule(part.module).state_dict()), dict(target))

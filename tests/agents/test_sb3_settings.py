import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from agents import registry
from evaluation import settings as typed
from tests.agents.sb3_problems import build
from tests.agents.test_registry import refused

ROOT = Path(__file__).resolve().parents[2]
VECTOR = spaces.Box(-1.0, 1.0, (3,), np.float32)
TORQUE = spaces.Box(-2.0, 2.0, (1,), np.float32)
CHOICE = spaces.Discrete(2)


def test_listing_imports_neither_torch_nor_sb3():
    code = (
        "import agents, sys; assert 'sb3/ppo' in agents.names(); "
        "print({'torch', 'stable_baselines3'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_settings_are_known_without_sb3_and_building_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    assert registry.parameters("sb3/ppo")["n_steps"].default == 2048
    message = refused(registry.make, "sb3/ppo", VECTOR, CHOICE, seed=0)
    assert message == (
        "agent: Stable-Baselines3 is not installed; run pip install 'continual-envs[sb3]'"
    )


@pytest.mark.parametrize("name", registry.ALGORITHMS)
def test_defaults_have_the_types_they_declare_and_are_sb3s(name):
    import stable_baselines3

    known = registry.parameters(name)
    expanded = typed.expand(known, {}, {}, name)
    assert expanded.keys() == known.keys()
    space = CHOICE if name == "sb3/dqn" else TORQUE
    agent = registry.make(name, VECTOR, space, seed=0, **{**expanded, "hidden": [8]})
    theirs = inspect.signature(getattr(stable_baselines3, name[4:].upper())).parameters
    shared = set(known) & set(theirs)
    assert len(shared) >= 7
    assert all(known[key].default == theirs[key].default for key in shared)
    assert known["step_size"].default == theirs["learning_rate"].default
    policy = agent.model.policy_class(VECTOR, space, lambda _: 0.1)
    arch = policy.net_arch["pi"] if isinstance(policy.net_arch, dict) else policy.net_arch
    assert list(known["hidden"].default) == arch
    optimizer = getattr(policy, "optimizer", None) or policy.actor.optimizer
    assert known["epsilon"].default == optimizer.defaults["eps"]
    modules = [
        m for m in policy.modules() if type(m).__name__.lower() == known["activation"].default
    ]
    assert modules


def test_the_settings_of_the_paper_reach_sb3():
    paper = dict(hidden=[32, 32], activation="relu", initialiser="lecun", step_size=1e-4)
    paper |= dict(epsilon=1e-8, batch_size=128, vf_coef=1.0, max_grad_norm=None)
    model = registry.make("sb3/ppo+equal-betas", VECTOR, TORQUE, seed=0, **paper).model
    assert model.vf_coef == 1 and model.max_grad_norm == float("inf")
    assert model.clip_range_vf is None and model.ent_coef == 0
    group = model.policy.optimizer.param_groups[0]
    assert (group["lr"], group["eps"], group["betas"]) == (1e-4, 1e-8, (0.99, 0.99))
    actor, critic = model.policy.mlp_extractor.policy_net, model.policy.mlp_extractor.value_net
    assert not {id(p) for p in actor.parameters()} & {id(p) for p in critic.parameters()}
    assert actor[0].weight.shape == critic[0].weight.shape == (32, 3)


def test_a_setting_of_two_parts_is_named_by_its_part():
    known = registry.parameters("sb3/dqn+redo")
    assert {"sb3_dqn_tau", "redo_tau", "period"} <= set(known)
    assert registry.canonical("sb3/dqn+redo", {"sb3/dqn.tau": 0.5, "redo.tau": 0.1}) == {
        "sb3_dqn_tau": 0.5,
        "redo_tau": 0.1,
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sb3/pp0", "agent: 'sb3/pp0' is not one of"),
        ("sb3/pp0", "nearest: sb3/ppo"),
        ("l2+sb3/tqc", "nearest: sb3/td3"),
        ("sb3/ppo+sb3/sac", "has two bases; give one of ['sb3/ppo', 'sb3/sac']"),
        ("sb3/ppo+adam", "has two bases"),
    ],
)
def test_bad_names_are_refused_in_one_line(name, message):
    assert message in refused(registry.factory, name)


@pytest.mark.parametrize(
    ("algorithm", "settings", "start"),
    [
        ("sb3/ppo", {"batch_size": 129, "n_steps": 64, "copies": 2}, "batch_size: 129 is not al"),
        ("sb3/ppo", {"n_steps": 0}, "n_steps: 0 is not allowed; give a whole number of at least 1"),
        ("sb3/ppo", {"n_steps": 1}, "n_steps: 1 is not allowed"),
        ("sb3/ppo", {"batch_size": 1}, "batch_size: 1 is not allowed"),
        ("sb3/ppo", {"clip_range_vf": 0}, "clip_range_vf: 0 is not allowed"),
        ("sb3/ppo", {"gamma": 1.5}, "gamma: 1.5 is not allowed"),
        ("sb3/ppo", {"step_size": float("nan")}, "step_size: nan is not allowed"),
        ("sb3/ppo", {"step_size": "linear"}, "step_size: 'linear' is not allowed"),
        ("sb3/ppo", {"activation": "rellu"}, "activation: 'rellu' is not one of"),
        ("sb3/ppo", {"initialiser": "he"}, "initialiser: 'he' is not one of"),
        ("sb3/ppo", {"hidden": 64}, "hidden: 64 is not allowed; give a list like [64, 64]"),
        ("sb3/ppo", {"hidden": [0]}, "hidden: 0 is not allowed"),
        ("sb3/ppo", {"betas": [0.9]}, "betas: [0.9] is not allowed"),
        ("sb3/ppo", {"betas": [0.9, 1.0]}, "betas: 1.0 is not allowed"),
        ("sb3/ppo", {"normalize_advantage": 1}, "normalize_advantage: 1 is not allowed"),
        ("sb3/ppo", {"copies": 0}, "copies: 0 is not allowed"),
        ("sb3/ppo", {"learning_rate": 1e-3}, "setting: 'learning_rate' is not one of"),
        ("sb3/a2c", {"optimizer": "sgd"}, "optimizer: 'sgd' is not one of adam, rmsprop"),
        ("sb3/dqn", {"exploration_steps": 0}, "exploration_steps: 0 is not allowed"),
        ("sb3/dqn", {"train_freq": 0}, "train_freq: 0 is not allowed"),
        ("sb3/sac", {"ent_coef": "much"}, "ent_coef: 'much' is not allowed; give a number or"),
        ("sb3/sac", {"ent_coef": "auto_0"}, "ent_coef: 'auto_0' is not allowed"),
        ("sb3/sac", {"target_entropy": "auto_1"}, "target_entropy: 'auto_1' is not allowed"),
        ("sb3/td3", {"action_noise_std": -1.0}, "action_noise_std: -1.0 is not allowed"),
    ],
)
def test_bad_settings_are_refused_in_one_line(algorithm, settings, start):
    assert refused(build, algorithm, **settings).startswith(start)


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        ("sb3/sac", {"ent_coef": "auto_0.1"}),
        ("sb3/sac", {"ent_coef": 0.2, "target_entropy": -2.0}),
        ("sb3/dqn", {"n_steps": 3, "max_grad_norm": None}),
        ("sb3/td3", {"gradient_steps": -1, "train_freq": 2, "action_noise_std": 0}),
        ("sb3/ppo", {"target_kl": 0.1}),
    ],
)
def test_unusual_settings_live(algorithm, settings):
    from tests.agents.sb3_problems import alive, observations

    agent = alive(algorithm, "continual-backprop+layer-norm", cycles=2, **settings)
    again = alive(algorithm, "continual-backprop+layer-norm", **settings)
    again.load_state_dict(agent.state_dict())
    assert agent.updates > 0 and agent.inspect(observations(agent)).weights


@pytest.mark.parametrize("algorithm", ["sb3/ddpg", "sb3/ppo"])
def test_linear_networks_live(algorithm):
    from tests.agents.sb3_problems import alive, observations

    agent = alive(algorithm, "l2+shrink-perturb", cycles=2, hidden=())
    assert agent.updates > 0 and agent.inspect(observations(agent)).weights


@pytest.mark.parametrize(
    ("algorithm", "observation", "action", "end"),
    [
        ("sb3/dqn", VECTOR, TORQUE, "and as action a choice among actions"),
        ("sb3/sac", VECTOR, CHOICE, "and as action a bounded vector"),
        (
            "sb3/ppo",
            spaces.Box(0, 1, (4, 4, 3)),
            CHOICE,
            "a bounded vector or a choice among actions",
        ),
        ("sb3/ppo", spaces.Box(0, 1, (5, 8)), spaces.MultiDiscrete([4] * 5), "among actions"),
        ("sb3/ppo", VECTOR, spaces.Box(-np.inf, np.inf, (1,)), "among actions"),
    ],
)
def test_spaces_that_do_not_fit_are_refused_in_one_line(algorithm, observation, action, end):
    message = refused(registry.make, algorithm, observation, action, seed=0)
    assert message.startswith(f"problem: {algorithm} cannot use observations") and end in message


class Widen:
    """A method that wants another network than SB3 builds."""

    def build(self, spec):
        from dataclasses import replace

        return replace(spec, hidden=(*spec.hidden, 7))


def test_methods_that_cannot_attach_are_refused_in_one_line(monkeypatch):
    message = refused(registry.make, "sb3/a2c+equal-betas", VECTOR, CHOICE, seed=0)
    assert message == "equal-betas: RMSprop has no betas; set optimizer to 'adam'"
    monkeypatch.setitem(registry.METHODS, "widen", f"{__name__}:Widen")
    message = refused(registry.make, "sb3/ppo+widen", VECTOR, CHOICE, seed=0)
    assert message.startswith("agent: widen cannot attach to an sb3 agent")

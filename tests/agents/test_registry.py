import functools
import inspect
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import agents
from agents import registry
from agents.testing import check_agent
from tests.agents.helpers import AGENTS, problem

ROOT = Path(__file__).resolve().parents[2]


def refused(call, *args, **kwargs) -> str:
    with pytest.raises(ValueError) as error:
        call(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_names_are_bases_methods_and_what_is_installed():
    ours = ["backprop", "adam", "linear"]
    ours += [f"sb3/{name}" for name in ("ppo", "a2c", "dqn", "sac", "td3", "ddpg")]
    ours += [
        "fresh",
        "l2",
        "l2-init",
        "weight-clipping",
        "upgd",
        "shrink-perturb",
        "dropout",
        "layer-norm",
        "online-norm",
    ]
    ours += ["continual-backprop", "head-reset", "redo", "regrama", "equal-betas"]
    assert agents.names()[: len(ours)] == ours
    assert set(registry.REFERENCES) <= set(ours)


def test_listing_imports_neither_torch_nor_any_method():
    code = "import agents, sys; agents.names(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize("name", AGENTS)
def test_a_factory_needs_no_more_than_the_spaces_and_a_seed(name):
    learner = agents.factory(name)(*problem(), seed=0)
    assert learner.predict(np.zeros((1, 7))).shape == (1, 4)
    head = list(inspect.signature(agents.factory(name)).parameters.values())[:4]
    assert [p.name for p in head] == ["observation_space", "action_space", "seed", "device"]
    assert head[2].default is inspect.Parameter.empty and head[3].default == "cpu"
    settings = agents.parameters(name)
    assert not {"seed", "device", "methods", "dtype"} & set(settings)
    assert all(p.default is not inspect.Parameter.empty for p in settings.values())
    agents.make(name, *problem(), seed=0, **{key: p.default for key, p in settings.items()})


def test_defaults_of_the_bases():
    def defaults(name):
        return {key: p.default for key, p in agents.parameters(name).items()}

    hidden = {"hidden": (100, 100, 100), "activation": "relu", "network": "auto"}
    steps = {"betas": (0.9, 0.999), "decay_epochs": ()}
    sgd = {"step_size": 0.01, "optimizer": "sgd", "momentum": 0.0, **steps}
    assert defaults("backprop") == {**sgd, **hidden}
    assert defaults("adam") == {"step_size": 1e-3, **steps, **hidden}
    assert defaults("linear") == sgd
    assert agents.make("adam", *problem(), seed=0).optimizer.param_groups[0]["lr"] == 1e-3
    assert not agents.make("linear", *problem(), seed=0).module.hidden_layers()


def test_settings_keep_their_types():
    utility = agents.parameters("continual-backprop")["utility"].annotation
    assert (
        utility
        == Literal[
            "contribution",
            "adaptable_contribution",
            "zero_contribution",
            "adaptation",
            "weight",
            "feature_by_input",
            "random",
        ]
    )


def test_methods_act_in_the_order_of_the_name():
    for name in ("l2+continual-backprop", "continual-backprop+l2", "continual-backprop+adam+l2"):
        learner = agents.make(name, *problem(), seed=0)
        kinds = [type(method).__name__ for method in learner.methods]
        assert kinds == [
            {"l2": "L2"}.get(p, "ContinualBackprop") for p in name.split("+") if p != "adam"
        ]


def test_a_setting_of_one_part_keeps_its_name_and_one_of_two_is_named_by_its_part():
    settings = agents.parameters("l2+shrink-perturb")
    assert {"l2_weight_decay", "shrink_perturb_weight_decay", "noise_std"} <= set(settings)
    assert "weight_decay" not in settings
    message = refused(agents.make, "l2+shrink-perturb", *problem(), seed=0, weight_decay=0.1)
    assert "weight_decay" in message
    assert "l2.weight_decay" in message and "shrink-perturb.weight_decay" in message
    given = {"l2.weight_decay": 0.1, "shrink_perturb_weight_decay": 0.2, "backprop.momentum": 0.5}
    assert registry.canonical("l2+shrink-perturb", {**given, "shrink-perturb.noise_std": 0.3}) == {
        "l2_weight_decay": 0.1,
        "shrink_perturb_weight_decay": 0.2,
        "momentum": 0.5,
        "noise_std": 0.3,
    }
    learner = agents.make("l2+shrink-perturb", *problem(), seed=0, **given)
    assert [method.weight_decay for method in learner.methods] == [0.1, 0.2]
    assert learner.optimizer.param_groups[0]["momentum"] == 0.5
    assert (
        agents.make("l2", *problem(), seed=0, **{"l2.weight_decay": 0.4}).methods[0].weight_decay
        == 0.4
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("contnual-backprop", "agent: 'contnual-backprop' is not one of"),
        ("contnual-backprop", "nearest: continual-backprop"),
        ("l2+shrink-pertrub", "agent: 'shrink-pertrub' is not one of"),
        ("l2+shrink-pertrub", "nearest: shrink-perturb"),
        ("l2+", "agent: '' is not one of"),
        ("l2+l2", "agent: 'l2+l2' names l2 twice; give it once"),
        ("adam+linear", "agent: 'adam+linear' has two bases; give one of ['adam', 'linear']"),
        (
            "json:dump_all",
            "agent: 'json:dump_all' (json:dump_all) cannot be loaded: AttributeError",
        ),
        ("no_such_module:x", "cannot be loaded: ModuleNotFoundError: No module named"),
        ("json:", "agent: 'json:' (json:) cannot be loaded"),
        ("math:pi", "agent: 'math:pi' (math:pi) is not callable; give a factory"),
        ("l2+math:pi", "agent: 'math:pi' (math:pi) is not callable"),
        ("l2+no_such_module:x", "cannot be loaded: ModuleNotFoundError: No module named"),
        (f"l2+{__name__}:plain", "is no method, which has one of build, wrap_optimizer, before"),
        (f"l2+{__name__}:plain", "a whole agent joins none but fresh, give it alone"),
        (f"l2+{__name__}:Idle", "is no method, which has one of build, wrap_optimizer, before"),
        (f"l2+{__name__}:Seeded", "has a setting seed, as every agent has; rename it"),
        (f"l2+{__name__}:Builder", "has the argument observation_space; a method's settings are"),
        (f"l2+{__name__}:Builder", "A whole agent joins none but fresh"),
        (f"l2+{__name__}:ByPosition", "has the argument rate; a method's settings are keyword"),
        ("./mine.py:Mine", "agent: './mine.py:Mine' is not module:attribute, such as my_module:"),
        (f"l2+{__name__}:WithoutDefault", "has the argument rate; a method's settings are"),
        (f"{__name__}:Pull+{__name__}:Pull", f"names {__name__}:Pull twice; give it once"),
    ],
)
def test_bad_names_are_refused_in_one_line(name, message):
    assert message in refused(agents.factory, name)


def test_a_seed_is_a_whole_number():
    assert "seed: -1 is not allowed" in refused(agents.make, "l2", *problem(), seed=-1)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("l2", {"weight_deccay": 1}, "setting: 'weight_deccay' is not one of"),
        ("l2", {"weight_deccay": 1}, "nearest: weight_decay"),
        ("l2", {"shrink-perturb.weight_decay": 1}, "'shrink-perturb.weight_decay' is not one of"),
        ("l2", {"l2.weight_decay": 1, "weight_decay": 1}, "given twice; give it once"),
        ("adam", {"optimizer": "sgd"}, "setting: 'optimizer' is not one of"),
        ("linear", {"hidden": [5]}, "setting: 'hidden' is not one of"),
        ("backprop", {"dtype": "float16"}, "setting: 'dtype' is not one of"),
        (
            f"{__name__}:plain",
            {"sped": 1},
            f"setting of {__name__}:plain: 'sped' is not one of speed",
        ),
    ],
)
def test_bad_settings_are_refused_in_one_line(name, settings, message):
    assert message in refused(agents.make, name, *problem(), seed=0, **settings)


def plain(observation_space, action_space, *, seed, device="cpu", speed: "Unimported" = 1.0):  # noqa: F821
    """A factory whose annotation only a type checker could resolve."""
    return seed, device, speed


class Holder:
    inner = plain


class Pull:
    """A method of another's: every parameter is drawn to a value."""

    def __init__(self, *, strength: float = 0.1, weight_decay: "Unimported" = 0.0):  # noqa: F821
        self.strength, self.weight_decay = strength, weight_decay

    def attach(self, network):
        self.network = network

    def before_step(self, batch):
        for parameter in self.network.params.values():
            parameter.grad += self.strength * (parameter - self.weight_decay)


class ByPosition(Pull):
    def __init__(self, rate=0.1):
        super().__init__(strength=rate)


class Idle:
    """Has a hook whose name is wrong."""

    def attach(self, network):
        self.network = network

    afterstep = attach


class Seeded(Pull):
    def __init__(self, *, seed=0):
        super().__init__(strength=seed)


class Builder:
    """A whole agent that forgets the device, with a method called like a hook."""

    def __init__(self, observation_space, action_space, *, seed):
        self.build = seed

    def build(self):
        """No hook."""


class WithoutDefault(Pull):
    def __init__(self, *, rate):
        super().__init__(strength=rate)


def test_a_method_of_another_joins_ours():
    name = f"l2+{__name__}:Pull+redo"
    assert {"strength", "period", "l2_weight_decay"} <= set(agents.parameters(name))
    given = {"strength": 0.5, f"{__name__}:Pull.weight_decay": 0.25, "l2.weight_decay": 0.0}
    learner = agents.make(name, *problem(), seed=0, **given)
    kinds = [type(method) for method in learner.methods]
    assert kinds[1] is Pull and len(kinds) == 3
    assert learner.methods[1].strength == 0.5 and learner.methods[1].weight_decay == 0.25
    weight = learner.module.linears[0].weight
    start = weight.detach().clone()
    for _ in range(10):
        learner.update(np.zeros((1, 7)), np.zeros(1, dtype=np.int64))  # no other gradient
    shrunk = (1 - 0.01 * 0.5) ** 10
    assert np.allclose(weight.detach(), 0.25 + shrunk * (start - 0.25))


def test_a_method_alone_is_no_agent_and_an_agent_that_cannot_be_called_no_method():
    message = refused(agents.make, f"{__name__}:Pull", *problem(), seed=0)
    assert message == f"agent: {__name__}:Pull is a method; give backprop+{__name__}:Pull"
    (fault,) = check_agent(f"{__name__}:Pull")
    assert "it is a method; check it with a base, as backprop+module:Class" in fault
    assert check_agent(functools.partial(Pull, strength=0.5)) == [fault]
    message = refused(agents.make, f"{__name__}:Builder", *problem(), seed=0)
    assert "cannot be called as factory(" in message and "'device'" in message


@pytest.mark.parametrize("path", ["plain", "Holder.inner"])
def test_an_agent_by_module_and_attribute(path):
    name = f"{__name__}:{path}"
    assert [(key, p.default) for key, p in agents.parameters(name).items()] == [("speed", 1.0)]
    assert agents.make(name, *problem(), seed=3, speed=2.0) == (3, "cpu", 2.0)


PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "third-party"
version = "1.0"
[project.entry-points."continual_envs.agents"]
majority = "third_party.majority:make"
broken = "third_party.broken:make"
[tool.hatch.build.targets.wheel]
packages = ["third_party"]
"""
MAJORITY = """
import numpy as np

class Majority:
    def __init__(self, classes, memory):
        self.counts, self.memory = np.zeros(classes), memory
    def act(self, observation):
        return int(np.argmax(self.counts))
    def learn(self, transition):
        self.counts *= self.memory
        self.counts[transition.info["target"]] += 1

def make(observation_space, action_space, *, seed, device="cpu", memory=0.9):
    return Majority(int(action_space.n), memory)
"""
BROKEN = "raise RuntimeError('no licence\\nfound')"
SCRIPT = """
import sys
import agents, gymnasium as gym
assert {"majority", "broken"} <= set(agents.names()), agents.names()
assert not any(name.startswith("third_party") for name in sys.modules)
assert list(agents.parameters("majority")) == ["memory"]
try:
    agents.make("broken", None, None, seed=0)
except ValueError as error:
    print(error)
try:
    agents.make("majority", None, None, seed=0, memry=1)
except ValueError as error:
    print(error)
import continual_envs
from agents.base import Agent, Transition
env = gym.make("continual_envs/PermutedDigits-v0")
agent = agents.make("majority", env.observation_space, env.action_space, seed=0, memory=1.0)
assert isinstance(agent, Agent)
observation, _ = env.reset(seed=0)
total = 0
for _ in range(500):
    action = agent.act(observation)
    following, reward, terminated, truncated, info = env.step(action)
    agent.learn(Transition(observation, action, reward, following, terminated, truncated, info))
    observation, total = following, total + reward
assert agent.counts.sum() == 500 and 0 < total < 500
print("torch" in sys.modules)
"""


def test_an_installed_distribution_takes_part_and_a_broken_one_harms_only_itself(tmp_path):
    package = tmp_path / "project" / "third_party"
    package.mkdir(parents=True)
    (package.parent / "pyproject.toml").write_text(PYPROJECT)
    for name, text in (("__init__", ""), ("majority", MAJORITY), ("broken", BROKEN)):
        (package / f"{name}.py").write_text(text)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=package.parent, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:  # all that installing a pure wheel comes to
        archive.extractall(site)
    path = {"PYTHONPATH": f"{ROOT}:{site}", "PATH": ""}
    run = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(run, env=path, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    broken, misspelt, torch_loaded = done.stdout.splitlines()
    assert broken.startswith("agent: 'broken' (third_party.broken:make) cannot be loaded: Runtime")
    assert "no licence found" in broken
    assert misspelt == "setting of majority: 'memry' is not one of memory; nearest: memory"
    assert torch_loaded == "False"

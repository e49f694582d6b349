"""The settings of reinforcement learning that a preset gives, beside what was published."""

from typing import Any

import pytest

from evaluation.config import configure

# protocols.md A1.5: Dohare et al. 2024, and what Stable-Baselines3 does the same by default.
PUBLISHED: dict[str, Any] = {
    "hidden": [256, 256],
    "activation": "relu",
    "initialiser": "lecun",
    "step_size": 1e-4,
    "epsilon": 1e-8,
    "n_steps": 2048,
    "batch_size": 128,
    "n_epochs": 10,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "clip_range_vf": None,
    "ent_coef": 0.0,
    "vf_coef": 1.0,
    "max_grad_norm": 1e9,
    "copies": 1,
}
REPLACES: dict[str, Any] = {
    "replacement_rate": 1e-4,
    "maturity": 10_000,
    "utility": "contribution",
    "utility_decay": 0.99,
    "replacement": "bernoulli",
    "profile": "code",
}


@pytest.mark.parametrize(
    ("agent", "own"),
    [
        ("sb3/ppo", {"betas": [0.9, 0.999]}),
        ("sb3/ppo+equal-betas", {"beta": 0.99}),
        ("sb3/ppo+equal-betas+l2", {"beta": 0.99, "weight_decay": 1e-3}),
        (
            "sb3/ppo+equal-betas+l2+continual-backprop",
            {"beta": 0.99, "weight_decay": 1e-4, **REPLACES},
        ),
        ("continual-backprop+l2+sb3/ppo", {"weight_decay": 1e-4, **REPLACES}),
        (
            "sb3/ppo+equal-betas+l2+redo",
            {"beta": 0.99, "weight_decay": 1e-4, "tau": 0.1, "period": 100},
        ),
        ("sb3/ppo+equal-betas+shrink-perturb", {"beta": 0.99, "weight_decay": 1e-4}),
    ],
)
def test_published_arms_have_their_settings(agent: str, own: dict[str, Any]) -> None:
    (config,) = configure("SlipperyAnt-v0", agent, preset="paper")
    assert config.tasks == 10 and config.problem_settings["period"] == 2_000_000
    published = PUBLISHED | own
    assert {name: config.agent_settings[name] for name in published} == published


MOMENTUM = {"step_size": 0.01, "momentum": 0.9}
CIFAR = {"network": "resnet18", "step_size": 0.1, "momentum": 0.9, "decay_epochs": [60, 120, 160]}
CIFAR |= {"weight_decay": 5e-4}
KUMAR = {"network": "small_cnn", "optimizer": "adam"}
IN_TURN = {"utility": "adaptable_contribution", "utility_decay": 0.99, "replacement": "counter"}
IN_TURN |= {"profile": "code", "maturity": 100}
# protocols.md A1.2, A1.4, A2 and methods.md 10: the paper's other problems and Kumar et al. 2023.
ON_IMAGES: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("ContinualImageNet-v0", "backprop", 2000, MOMENTUM | {"network": "convnet"}),
    ("ContinualImageNet-v0", "linear", 2000, MOMENTUM),
    ("ContinualImageNet-v0", "l2", 2000, {"step_size": 0.03, "momentum": 0.9}),
    ("ContinualImageNet-v0", "l2", 2000, {"weight_decay": 3e-6, "network": "convnet"}),
    ("ContinualImageNet-v0", "shrink-perturb", 2000, MOMENTUM),
    ("ContinualImageNet-v0", "shrink-perturb", 2000, {"weight_decay": 1e-5, "noise_std": 1e-5}),
    ("ContinualImageNet-v0", "continual-backprop", 2000, MOMENTUM),
    ("ContinualImageNet-v0", "continual-backprop", 2000, IN_TURN | {"replacement_rate": 3e-4}),
    ("IncrementalCIFAR100-v0", "l2", 20, CIFAR),
    ("IncrementalCIFAR100-v0", "head-reset+l2", 20, CIFAR),
    ("IncrementalCIFAR100-v0", "shrink-perturb", 20, CIFAR | {"noise_std": 1e-5}),
    ("IncrementalCIFAR100-v0", "l2+continual-backprop", 20, CIFAR | {"utility": "contribution"}),
    ("IncrementalCIFAR100-v0", "l2+continual-backprop", 20, {"replacement_rate": 1e-5}),
    ("IncrementalCIFAR100-v0", "l2+continual-backprop", 20, {"maturity": 1000}),
    ("KumarContinualImageNet-v0", "backprop", 500, KUMAR | {"step_size": 1e-4}),
    ("KumarContinualImageNet-v0", "layer-norm", 500, KUMAR | {"step_size": 1e-3}),
    ("KumarContinualImageNet-v0", "l2", 500, KUMAR | {"step_size": 1e-3, "weight_decay": 1e-3}),
    ("KumarContinualImageNet-v0", "l2-init", 500, {"step_size": 1e-3, "weight_decay": 1e-3}),
    ("KumarContinualImageNet-v0", "redo", 500, KUMAR | {"period": 120, "tau": 0.0}),
    ("KumarContinualImageNet-v0", "continual-backprop", 500, {"replacement_rate": 1e-4}),
    ("KumarContinualImageNet-v0", "continual-backprop", 500, {"step_size": 1e-3, "maturity": 100}),
)


@pytest.mark.parametrize(("problem", "agent", "tasks", "own"), ON_IMAGES)
def test_published_arms_on_images_have_their_settings(
    problem: str, agent: str, tasks: int, own: dict[str, Any]
) -> None:
    (config,) = configure(problem, agent, preset="paper")
    assert config.tasks == tasks
    assert {name: config.agent_settings[name] for name in own} == own
    protocol: dict[str, Any] = {"epochs": 10 if "Kumar" in problem else 250}
    protocol |= {"train_images": None, "test_images": None, "batch_size": 100}  # all there are
    if "CIFAR" in problem:
        protocol = {"epochs": 200, "classes_per_task": 5, "batch_size": 90, "augment": True}
    assert {name: config.problem_settings[name] for name in protocol} == protocol


class Grows:
    """A method with settings that learners have, too."""

    def __init__(self, *, hidden: int = 3, step_size: float = 0.5) -> None: ...

    def after_step(self, batch: Any) -> None: ...


@pytest.mark.parametrize(("base", "size"), [("backprop", [32, 32]), ("linear", None)])
def test_a_preset_is_for_the_base_whatever_settings_a_method_has(base: str, size: Any) -> None:
    (config,) = configure("PermutedDigits-v0", f"{base}+{__name__}:Grows")
    (plain,) = configure("PermutedDigits-v0", base)
    own = config.agent_settings
    name = f"{__name__}:Grows".replace(".", "_").replace(":", "_")
    assert own.get("hidden" if base == "linear" else f"{name}_hidden") == 3
    assert own.get("backprop_hidden") == plain.agent_settings.get("hidden") == size
    assert own[f"{base}_step_size"] == plain.agent_settings["step_size"]
    assert own[f"{name}_step_size"] == 0.5


def test_what_a_preset_has_for_a_part_is_of_the_part_or_of_the_base() -> None:
    (config,) = configure("KumarContinualImageNet-v0", f"l2+{__name__}:Grows", preset="paper")
    assert config.agent_settings["backprop_step_size"] == 1e-3
    assert config.agent_settings["weight_decay"] == 1e-3
    name = f"{__name__}:Grows".replace(".", "_").replace(":", "_")
    assert config.agent_settings[f"{name}_step_size"] == 0.5


@pytest.mark.parametrize("agent", ["sb3/sac", "fresh+sb3/a2c"])
def test_the_paper_has_no_settings_for_other_algorithms(agent: str) -> None:
    with pytest.raises(ValueError, match="^preset: paper has no settings for sb3/...; it has sb3"):
        configure("SlipperyAnt-v0", agent, preset="paper")


@pytest.mark.parametrize("body", ["SlipperyAnt", "SlipperyHopper", "StationaryWalker2d"])
def test_on_a_laptop_a_million_steps_have_the_published_agents(body: str) -> None:
    (config,) = configure(f"{body}-v0", "sb3/ppo")
    assert config.tasks * config.problem_settings["period"] == 1_000_000
    assert {name: config.agent_settings[name] for name in PUBLISHED} == PUBLISHED

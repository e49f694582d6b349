"""Every bad setting of a drifting environment is one line; what it needs is imported late."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import gymnasium as gym
import pytest

import continual_envs
from continual_envs.control.classic import CartPole
from continual_envs.control.drift import DriftEnv
from continual_envs.registration import CONTROL, NAMESPACE
from tests.drifting import CARTPOLE

BAD: list[tuple[dict[str, Any], str]] = [
    (
        {"drift": "lenght"},
        "drift: 'lenght' is not one of force, length, mass, none, offset; neares",
    ),
    ({"drift": "friction"}, "drift: 'friction' is not one of force, length, mass, none, offset"),
    ({"drift": None}, "drift: None is not one of force"),
    ({"drift": "mass", "low": 0}, "low: 0 is not allowed; give a finite number above 0"),
    ({"drift": "mass", "low": -1.0}, "low: -1.0 is not allowed; give a finite number above 0"),
    ({"drift": "mass", "low": "a"}, "low: 'a' is not allowed; give a finite number above 0"),
    ({"drift": "mass", "high": float("inf")}, "high: inf is not allowed; give a finite number"),
    ({"drift": "mass", "high": float("nan")}, "high: nan is not allowed; give a finite number"),
    ({"drift": "mass", "low": 3, "high": 2}, "low: 3 is not allowed; give at most high=2"),
    ({"drift": "mass", "low": 3}, "low: 3 is not allowed; give at most high=2.0"),
    ({"drift": "mass", "scale": 1}, "scale: 1 is not allowed with drift='mass'; give low and high"),
    ({"low": 1.0}, "low: 1.0 is not allowed with drift='offset'; give scale"),
    ({"drift": "none", "high": 2.0}, "high: 2.0 is not allowed with drift='none'; it has no range"),
    ({"scale": -0.1}, "scale: -0.1 is not allowed; give a finite number at least 0"),
    ({"drift": "mass", "low": 1e-200, "high": 1e200}, "low: 1e-200 is not allowed; high=1e+200"),
    (
        {"scale": 1e38},
        "scale: 1e+38 is not allowed; give a finite number at least 0 and below 1e+37",
    ),
    ({"scale": True}, "scale: True is not allowed; give a finite number at least 0"),
    ({"period": 0}, "period: 0 is not allowed; give a whole number of at least 1"),
    ({"period": 1e6}, "period: 1000000.0 is not allowed; give a whole number of at least 1"),
    ({"schedule": "periodical"}, "schedule: 'periodical' is not one of periodic, random; nearest"),
    ({"disclosure": "identifed"}, "disclosure: 'identifed' is not one of hidden, identified, sig"),
]


@pytest.mark.parametrize(("settings", "line"), BAD, ids=lambda case: str(case)[:40])
def test_bad_input_is_one_line(settings: dict[str, Any], line: str) -> None:
    for make in (gym.make, gym.make_vec):
        with pytest.raises(ValueError) as caught:
            make(CARTPOLE, **settings)
        assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


def test_bad_numbers_of_copies_are_one_line() -> None:
    with pytest.raises(ValueError, match="^n: 0 is not allowed; give a whole number of at least 1"):
        continual_envs.copies(CARTPOLE, 0)
    with pytest.raises(ValueError, match="^problem: 'CartPole-v1' is not a drifting environment$"):
        continual_envs.copies("CartPole-v1", 2)
    with pytest.raises(ValueError, match="^num_envs: 0 is not allowed"):
        gym.make_vec(CARTPOLE, 0)
    with pytest.raises(ValueError, match="^shared_stream: 1 is not allowed; give true or false$"):
        gym.make_vec(CARTPOLE, 2, shared_stream=1)
    shared = gym.make_vec(CARTPOLE, 2, shared_stream=True)
    for seeds in ([5, 9], (5, 9), [5, None], [None, None], [5]):
        with pytest.raises(ValueError, match="^seed: .* is not allowed with shared_stream; give s"):
            shared.reset(seed=seeds)
    told, alone = shared.reset(seed=[5, 6])[0], shared.reset(seed=5)[0]
    assert (told == alone).all()
    shared.step(shared.action_space.sample())


def test_a_step_before_reset_is_refused() -> None:
    with pytest.raises(gym.error.ResetNeeded):
        DriftEnv(CartPole, drift="none", period=10).step(0)


MUJOCO = [id for id, row in CONTROL.items() if row[0].startswith("mujoco")]


@pytest.mark.parametrize("missing", ["mujoco", "imageio"])
@pytest.mark.parametrize("problem", MUJOCO)
def test_what_is_not_installed_is_one_line(
    problem: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "imageio":
        pytest.importorskip("mujoco")
    monkeypatch.setitem(sys.modules, missing, None)
    body = problem.removesuffix("-v0").replace("Slippery", "").replace("Stationary", "")
    with pytest.raises(ValueError) as caught:
        gym.make(f"{NAMESPACE}/{problem}")
    expected = f"{missing}: not installed; {body}-v5 needs it: pip install 'continual-envs[mujoco]'"
    assert str(caught.value) == expected


def test_importing_is_light() -> None:
    script = (
        "import sys, continual_envs, continual_envs.control.mujoco, continual_envs.control.vector\n"
        "print([name for name in ('mujoco', 'imageio', 'pygame', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


class ShowsAChoice(CartPole):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.env.observation_space = gym.spaces.Discrete(3)


class TakesAnything(CartPole):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.env.action_space = gym.spaces.Box(-float("inf"), float("inf"), (1,))


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (ShowsAChoice, "body: ShowsAChoice shows Discrete.3.; it must be a Box of one dimension"),
        (TakesAnything, "body: TakesAnything takes Box.*; give Discrete or a bounded Box"),
        ("no_module:Body", "body: 'no_module:Body' cannot be loaded: No module named 'no_module'"),
        (f"{__name__}:Nothing", "body: '.*:Nothing' cannot be loaded: module .* has no attribute"),
    ],
)
def test_a_body_that_cannot_drift_is_refused_in_one_line(body: Any, line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line}") as caught:
        DriftEnv(body, drift="none", period=10)
    assert "\n" not in str(caught.value)


def test_a_registration_with_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="^setting: 'lowest' is not one of .*; nearest: low"):
        continual_envs.register_control(
            "mine/Odd-v0", "x:Y", drift="mass", period=9, max_episode_steps=9, lowest=1
        )

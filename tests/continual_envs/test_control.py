"""Drifting classic control: values, moments, physics, and Gymnasium's side."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.acrobot import AcrobotEnv
from gymnasium.utils.env_checker import check_env

from continual_envs.control.changes import LogUniform, Offset
from continual_envs.control.classic import Acrobot, CartPole
from continual_envs.control.drift import parameters
from continual_envs.control.schedule import Schedule
from continual_envs.core import Clock
from tests.drifting import ACROBOT, CARTPOLE, SHORT, each_classic, live
from tests.problems import same


def test_factors_are_log_uniform() -> None:
    change = LogUniform(0.02, 2.0)
    values = np.array([change.value(3, task, 1) for task in range(4000)])
    assert 0.02 <= values.min() < 0.021 and 1.9 < values.max() <= 2.0
    shares = np.log(values / 0.02) / np.log(100)
    assert np.abs(np.quantile(shares, [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.03
    assert all(value == float(f"{value:.12g}") for value in values)
    assert {LogUniform(0.3, 0.3).value(seed, seed, 1) for seed in range(9)} == {0.3}


def test_offsets_are_normal_and_none_at_first() -> None:
    change = Offset(2.0)
    drawn = np.array([change.value(1, task, 50) for task in range(1, 100)])
    assert abs(drawn.mean()) < 0.1 and abs(drawn.std() - 2.0) < 0.05
    assert same(change.value(1, 0, 4), np.zeros(4))
    assert not Offset(0.0).value(1, 5, 4).any()


def test_random_lengths_are_uniform_about_the_period() -> None:
    schedule = Schedule("random", 100)
    lengths = [schedule.length(0, task) for task in range(500)]
    assert 50 <= min(lengths) < 54 and 146 < max(lengths) <= 150
    assert abs(np.mean(lengths) - 100) < 4
    assert schedule.start(0, 500) == sum(lengths)
    assert lengths[:9] != [schedule.length(1, task) for task in range(9)]
    assert {Schedule("random", 1).length(0, task) for task in range(9)} == {1}


def test_another_process_draws_the_same_values() -> None:
    script = (
        "import gymnasium, continual_envs\n"
        f"env = gymnasium.make('{CARTPOLE}', drift='length')\n"
        "env.reset(seed=4)\n"
        "print([env.unwrapped.stream.value(k) for k in (3, 1, 2)])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    env = gym.make(CARTPOLE, drift="length")
    env.reset(seed=4)
    values = [env.unwrapped.stream.value(k) for k in (3, 1, 2)]
    assert done.stdout.strip() == str(values), done.stderr
    assert len(set(values)) == 3


@each_classic
@pytest.mark.parametrize("schedule", ["periodic", "random"])
def test_switches_fall_on_the_first_episode_end_after_the_period(
    problem: str, schedule: str
) -> None:
    env = gym.make(problem, schedule=schedule, disclosure="identified", **SHORT)
    env.reset(seed=2)
    base: Any = env.unwrapped
    stream = base.stream
    task = steps = began = 0
    switches = []
    for _ in range(400):
        *_, terminated, truncated, info = env.step(0)
        steps += 1
        assert base.clock == Clock(task, steps - began, steps)
        assert info["task"] == task and info["task_switch"] is False
        if terminated or truncated:
            switched = steps >= stream.start(task + 1)
            _, info = env.reset()
            if switched:
                task, began = task + 1, steps
                switches.append(steps)
            assert info["task"] == task and info["task_switch"] is switched
            assert base.clock == Clock(task, steps - began, steps)
    assert len(switches) > 3


def test_several_thresholds_passed_in_one_episode_are_one_switch_each() -> None:
    env = gym.make(CARTPOLE, period=1)
    env.reset(seed=0)
    for task in range(4):
        assert env.unwrapped.clock.task == task
        while not any(env.step(0)[2:4]):
            pass
        env.reset()


def test_the_seed_of_an_unseeded_stream_starts_it_again() -> None:
    first, second = gym.make(CARTPOLE, **SHORT), gym.make(CARTPOLE, **SHORT)
    shown = first.reset()
    seed = first.unwrapped.stream.seed
    assert same(shown, second.reset(seed=seed))
    assert same(live(first, 100), live(second, 100))
    assert first.unwrapped.stream.seed == seed and first.unwrapped.clock.task > 0


@pytest.mark.parametrize(
    ("problem", "base", "settings"),
    [
        (CARTPOLE, "CartPole-v1", {"scale": 0.0}),
        (CARTPOLE, "CartPole-v1", {"drift": "length", "low": 1.0, "high": 1.0}),
        (CARTPOLE, "CartPole-v1", {"drift": "mass", "low": 1, "high": 1}),
        (CARTPOLE, "CartPole-v1", {"drift": "none"}),
        (ACROBOT, "Acrobot-v1", {"scale": 0.0}),
        (ACROBOT, "Acrobot-v1", {"drift": "mass", "low": 1.0, "high": 1.0}),
        (ACROBOT, "Acrobot-v1", {"drift": "none"}),
    ],
)
def test_undrifted_it_is_gymnasiums_own(problem: str, base: str, settings: dict[str, Any]) -> None:
    ours, theirs = gym.make(problem, period=40, **settings), gym.make(base)
    assert same(ours.reset(seed=3), theirs.reset(seed=3))
    assert same(live(ours, 700), live(theirs, 700)), "time limit included"


def test_the_offset_is_all_that_differs() -> None:
    ours, theirs = gym.make(CARTPOLE, period=40), gym.make("CartPole-v1")
    pairs = [(ours.reset(seed=3), theirs.reset(seed=3))]
    tasks = [0]
    for _ in range(200):
        pairs.append((ours.step(1), theirs.step(1)))
        tasks.append(ours.unwrapped.clock.task)
        if pairs[-1][0][2]:
            pairs.append((ours.reset(), theirs.reset()))
            tasks.append(ours.unwrapped.clock.task)
    assert max(tasks) >= 3
    for task, (mine, their) in zip(tasks, pairs, strict=True):
        offset = np.asarray(ours.unwrapped.stream.value(task), dtype=np.float32)
        assert same(mine[0], their[0] + offset)
        assert same(mine[1:-1], their[1:-1])


def test_cartpole_keeps_its_derived_quantities() -> None:
    body = CartPole()
    env: Any = body.env
    for drift, length, mass, force in (
        ("length", 0.7, 0.1, 10.0),
        ("mass", 0.5, 0.14, 10.0),
        ("force", 0.5, 0.1, 14.0),
    ):
        body.apply(drift, 3.0)
        body.apply(drift, 1.4)
        found = [env.length, env.masspole, env.force_mag]
        assert np.allclose(found, [length, mass, force], rtol=1e-15)
        assert env.total_mass == env.masspole + 1.0
        assert env.polemass_length == env.masspole * env.length


def test_acrobot_is_a_scaled_one_and_its_class_is_left_alone() -> None:
    body = Acrobot()
    env: Any = body.env
    body.apply("length", 2.0)
    lengths = env.LINK_LENGTH_1, env.LINK_LENGTH_2, env.LINK_COM_POS_1, env.LINK_COM_POS_2
    assert lengths == (2.0, 2.0, 1.0, 1.0) and env.LINK_MOI == 4.0 and env.LINK_MASS_1 == 1.0
    body.apply("mass", 0.5)
    assert (env.LINK_LENGTH_1, env.LINK_MASS_1, env.LINK_MASS_2, env.LINK_MOI) == (1, 0.5, 0.5, 0.5)
    body.apply("force", 3.0)
    assert env.AVAIL_TORQUE == [-3.0, 0.0, 3.0] and env.LINK_MASS_2 == 1.0
    assert AcrobotEnv.AVAIL_TORQUE == [-1.0, 0.0, 1.0] and AcrobotEnv.LINK_MOI == 1.0


@pytest.mark.parametrize("drift", ["length", "mass", "force"])
@each_classic
def test_physics_survives_resets_and_acts(problem: str, drift: str) -> None:
    lived = []
    for value in (0.5, 1.0, 2.0, 2.0):
        env = gym.make(problem, drift=drift, low=value, high=value, **SHORT)
        env.reset(seed=0)
        lived.append([came[0] for came in live(env, 100)])
    assert same(lived[2], lived[3])
    late = [np.array(shown[-20:]) for shown in lived[:3]]
    assert not any(np.array_equal(late[i], late[i - 1]) for i in range(3))


def test_the_anchor_is_the_random_policys_return() -> None:
    env = gym.make(CARTPOLE, drift="length", low=0.1, high=10.0, max_episode_steps=3)
    env.reset(seed=1)
    stream = env.unwrapped.stream
    for task in range(3):
        body = CartPole()
        body.apply("length", float(stream.value(task)))
        generator, total = np.random.default_rng(task), 0.0
        for episode in range(200):
            body.env.reset(seed=episode)
            terminated = False
            while not terminated:
                _, reward, terminated, *_ = body.env.step(generator.integers(2))
                total += reward
        assert abs(stream.anchor(task) / (total / 200) - 1) < 0.35
    assert len({stream.anchor(task) for task in range(3)}) == 3


@each_classic
@pytest.mark.parametrize("drift", ["offset", "length"])
def test_checkers_find_nothing(problem: str, drift: str) -> None:
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(gym.make(problem, drift=drift).unwrapped, skip_render_check=True)
        sb3.check_env(gym.make(problem, drift=drift))
        check_env(gym.make(problem, drift=drift), skip_render_check=True)
    found = [str(item.message) for item in caught]
    # Bounds of the base environments, and the wrappers that gym.make itself puts around.
    known = "infinity. This is probably too", "is different from the unwrapped version"
    assert [text for text in found if not any(one in text for one in known)] == []


@each_classic
def test_its_specification_is_plain(problem: str) -> None:
    env = gym.make(problem, schedule="random", **SHORT)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert same(env.reset(seed=1), again.reset(seed=1)) and same(live(env, 90), live(again, 90))


def test_rendering_is_the_simulators() -> None:
    pytest.importorskip("pygame")
    ours = gym.make(CARTPOLE, drift="none", render_mode="rgb_array")
    theirs = gym.make("CartPole-v1", render_mode="rgb_array")
    ours.reset(seed=0), theirs.reset(seed=0)
    assert ours.metadata["render_fps"] == 50 and same(ours.render(), theirs.render())
    ours.close()


def test_offset_observations_are_unbounded_and_others_keep_their_space() -> None:
    space = gym.make(ACROBOT).observation_space
    assert not space.is_bounded("below") and space.dtype == np.float32 and space.shape == (6,)
    assert gym.make(ACROBOT, drift="mass").observation_space.is_bounded()


def test_settings_are_those_of_the_constructor() -> None:
    names = ["drift", "low", "high", "scale", "period", "schedule", "disclosure"]
    assert list(parameters()) == names
    assert parameters()["schedule"].default == "periodic"

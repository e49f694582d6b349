"""Drifting environments as copies and vectors, and exact resume."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import NormalizeObservation, RecordEpisodeStatistics
from gymnasium.wrappers.vector import RecordEpisodeStatistics as RecordVectorStatistics

import continual_envs
from continual_envs.control.vector import DriftVectorEnv
from continual_envs.core import Clock
from tests.drifting import ACROBOT, CARTPOLE, SHORT, each_classic, live
from tests.problems import same


def test_three_copies_count_together_and_switch_one_by_one() -> None:
    envs = continual_envs.copies(CARTPOLE, 3, disclosure="identified", **SHORT)
    bases: list[Any] = [env.unwrapped for env in envs]
    shown = [env.reset(seed=7 + i)[0] for i, env in enumerate(envs)]
    assert [base.stream.seed for base in bases] == [7] * 3
    assert not np.array_equal(shown[0], shown[1]) and not np.array_equal(shown[1], shown[2])
    singles = [gym.make(CARTPOLE, scale=0.0) for _ in range(3)]
    alone = [env.reset(seed=7 + i)[0] for i, env in enumerate(singles)]
    assert same(shown[0], alone[0]) and not any(map(same, shown[1:], alone[1:])), "own noise"
    steps, tasks, switches = 0, [0, 0, 0], []
    for _ in range(150):
        for i, env in enumerate(envs):
            *_, terminated, truncated, _ = env.step(1)
            steps += 1
            if terminated or truncated:
                due = steps >= 50 * (tasks[i] + 1)
                _, info = env.reset()
                tasks[i] += due
                switches += [(i, steps)] * due
                assert info["task_switch"] is due and info["task"] == tasks[i]
            assert [base.clock.task for base in bases] == tasks
            assert {base.clock.examples for base in bases} == {steps}
    assert {i for i, _ in switches} == {0, 1, 2} and len(switches) > 12
    offsets = [[base.stream.value(task).tolist() for task in range(5)] for base in bases]
    assert offsets[0] == offsets[1] == offsets[2]


def test_copies_start_again_together() -> None:
    envs = continual_envs.copies(CARTPOLE, 2, **SHORT)
    bases: list[Any] = [env.unwrapped for env in envs]
    for i, env in enumerate(envs):
        env.reset(seed=i)
    live(envs[0], 120)
    assert bases[1].clock == Clock(0, 120, 120)
    first = envs[0].reset(seed=4)
    assert bases[0].clock == Clock(0, 0, 0)
    with pytest.raises(gym.error.ResetNeeded):
        envs[1].step(0)
    envs[0].step(0)
    envs[1].reset()
    assert bases[1].stream.seed == 4 and bases[1].clock == Clock(0, 1, 1)
    assert same(first, envs[0].reset(seed=4)) and bases[0].clock.examples == 0
    envs[1].reset(seed=5)
    assert bases[1].stream.seed == 4 and bases[0].clock.examples == 0
    with pytest.raises(ValueError, match="^seed: 0 is not allowed; give a whole number of at leas"):
        envs[1].reset(seed=0)


def test_unseeded_copies_share_a_stream() -> None:
    envs = continual_envs.copies(ACROBOT, 3)
    shown = [env.reset()[0] for env in envs]
    (seed,) = {env.unwrapped.stream.seed for env in envs}
    again = continual_envs.copies(ACROBOT, 3)
    assert same(shown, [env.reset(seed=seed + i)[0] for i, env in enumerate(again)])


def test_stable_baselines_takes_copies() -> None:
    vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
    envs = continual_envs.copies(CARTPOLE, 3, **SHORT)
    vector = vec_env.DummyVecEnv([lambda env=env: env for env in envs])
    vector.seed(11)
    shown = vector.reset()
    others = continual_envs.copies(CARTPOLE, 3)
    assert same(list(shown), [env.reset(seed=11 + i)[0] for i, env in enumerate(others)])
    for _ in range(100):
        vector.step(np.zeros(3, dtype=int))
    assert {env.unwrapped.stream.seed for env in envs} == {11}
    assert {env.unwrapped.clock.examples for env in envs} == {300}
    assert all(env.unwrapped.clock.task >= 4 for env in envs)


def test_a_shared_vector_is_the_copies() -> None:
    vector: Any = gym.make_vec(CARTPOLE, 3, shared_stream=True, **SHORT)
    assert type(vector) is DriftVectorEnv
    envs = continual_envs.copies(CARTPOLE, 3, **SHORT)
    expected = np.array([env.reset(seed=7 + i)[0] for i, env in enumerate(envs)])
    assert np.array_equal(vector.reset(seed=7)[0], expected)
    ended = [False] * 3
    for _ in range(200):
        shown = vector.step(np.zeros(3, dtype=int))[0]
        for i, env in enumerate(envs):
            if ended[i]:
                expected[i], ended[i] = env.reset()[0], False
            else:
                expected[i], _, terminated, truncated, _ = env.step(0)
                ended[i] = terminated or truncated
        assert np.array_equal(shown, expected)
        assert vector.clocks == [env.unwrapped.clock for env in envs]
    assert min(clock.task for clock in vector.clocks) > 5
    assert [stream.seed for stream in vector.streams] == [7] * 3


def test_members_have_the_registered_time_limit_and_streams_of_their_own() -> None:
    vector: Any = gym.make_vec(ACROBOT, 2, disclosure="signalled")
    _, info = vector.reset(seed=3)
    assert not info["task_switch"].any() and info["_task_switch"].all()
    assert [stream.seed for stream in vector.streams] == [3, 4]
    for count in range(1, 501):
        _, _, terminated, truncated, info = vector.step(np.ones(2, dtype=int))
        assert not terminated.any() and truncated.all() == (count == 500)
    assert [clock.examples for clock in vector.clocks] == [500, 500]


@pytest.mark.parametrize("shared", [False, True])
def test_a_vector_goes_on_from_its_state(shared: bool) -> None:
    def make() -> Any:
        vector = gym.make_vec(CARTPOLE, 3, shared_stream=shared, disclosure="identified", **SHORT)
        return RecordVectorStatistics(vector)

    def go_on(vector: Any) -> list[Any]:
        came = [vector.step(np.full(3, step % 2)) for step in range(150)]
        for *_, info in came:
            info.get("episode", {}).pop("t", None)
        return came

    vector = make()
    vector.reset(seed=1)
    ended, steps = np.zeros(3, dtype=bool), 0
    while steps < 77 or not ended.any():  # such a one begins again in the next step
        _, _, terminated, truncated, _ = vector.step(np.zeros(3, dtype=int))
        ended, steps = terminated | truncated, steps + 1
    state = copy.deepcopy(continual_envs.state_dict(vector))
    expected, other = go_on(vector), make()
    continual_envs.load_state_dict(other, state)
    assert same(expected, go_on(other))
    with pytest.raises(ValueError, match="^num_envs: the state is of 3, not of 2$"):
        gym.make_vec(CARTPOLE, 2).load_state_dict(vector.env.state_dict())


@each_classic
@pytest.mark.parametrize("drift", ["offset", "length"])
def test_it_goes_on_from_a_state_through_wrappers(problem: str, drift: str) -> None:
    def make() -> Any:
        env = gym.make(problem, drift=drift, disclosure="identified", **SHORT)
        return NormalizeObservation(RecordEpisodeStatistics(env))

    env = make()
    env.reset(seed=6)
    live(env, 137)
    state, clock = copy.deepcopy(continual_envs.state_dict(env)), env.unwrapped.clock
    expected, other = live(env, 150), make()
    continual_envs.load_state_dict(other, state)
    assert other.unwrapped.clock == clock and clock.example < clock.examples
    came = live(other, 150)
    for *_, info in (*expected, *came):
        info.get("episode", {}).pop("t", None)
    assert same(expected, came)
    assert expected[0][-1]["task"] >= 2 < expected[-1][-1]["task"] - 1


def test_copies_go_on_from_their_states() -> None:
    envs = continual_envs.copies(CARTPOLE, 2, **SHORT)
    for i, env in enumerate(envs):
        env.reset(seed=i)
        live(env, 70)
    states = [continual_envs.state_dict(env) for env in envs]
    expected = [live(env, 100) for env in envs]
    others = continual_envs.copies(CARTPOLE, 2, **SHORT)
    for env, state in zip(others, states, strict=True):
        continual_envs.load_state_dict(env, state)
    assert same(expected, [live(env, 100) for env in others])
    with pytest.raises(ValueError, match="^copy: the state is of 1, not of 0$"):
        continual_envs.load_state_dict(others[0], states[1])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"drift": "mass"}, "drift: the state is of 'length', not of 'mass'"),
        ({"low": 0.6}, "range: the state is of {'low': 0.5, 'high': 2.0}, not of {'low': 0.6, "),
        ({"period": 51}, "schedule: the state is of {'kind': 'periodic', 'period': 50}, not of "),
    ],
)
def test_a_state_of_another_problem_is_refused(settings: dict[str, Any], named: str) -> None:
    given = {"drift": "length", **SHORT}
    state = continual_envs.state_dict(gym.make(CARTPOLE, **given))
    with pytest.raises(ValueError) as caught:
        continual_envs.load_state_dict(gym.make(CARTPOLE, **{**given, **settings}), state)
    assert str(caught.value).startswith(named)


@each_classic
def test_copied_and_pickled_it_goes_on(problem: str) -> None:
    env = gym.make(problem, drift="length", **SHORT)
    env.reset(seed=6)
    live(env, 137)
    others = copy.deepcopy(env), pickle.loads(pickle.dumps(env))
    expected = live(env, 100)
    assert all(same(expected, live(other, 100)) for other in others)


def test_a_state_taken_before_any_reset_needs_one() -> None:
    state = continual_envs.state_dict(gym.make(CARTPOLE).unwrapped)
    env: Any = gym.make(CARTPOLE).unwrapped
    env.reset(seed=3)
    continual_envs.load_state_dict(env, state)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    env.reset(seed=3)
    assert env.clock == Clock(0, 0, 0) and env.stream.seed == 3

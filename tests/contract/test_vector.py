"""What `gym.make_vec` gives: the native environment, whose members are the single problems."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from continual_envs.core import Clock
from continual_envs.environment import StreamVectorEnv
from tests.problems import (
    IDS,
    STEPS_A_TASK,
    VARIANTS,
    length_of,
    make,
    make_vec,
    rollout,
    same,
    start,
)

each_id = pytest.mark.parametrize("problem", IDS)
each_variant = pytest.mark.parametrize("variant", VARIANTS)


@each_id
@each_variant
def test_native_by_default_with_both_kinds_of_spaces(problem: str, variant: str) -> None:
    single, env = make(problem, variant), make_vec(problem, 3, variant)
    assert type(env) is StreamVectorEnv and env.num_envs == 3
    assert env.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert env.single_observation_space == single.observation_space
    assert env.single_action_space == single.action_space
    assert env.observation_space == batch_space(single.observation_space, 3)
    assert env.action_space == batch_space(single.action_space, 3)
    assert env.reset(seed=0)[0] in env.observation_space
    assert env.step(env.action_space.sample())[0] in env.observation_space


@each_id
@each_variant
@pytest.mark.parametrize("level", ["hidden", "signalled", "identified"])
def test_members_are_the_singles_of_the_next_seeds(problem: str, variant: str, level: str) -> None:
    members, seed, steps = 3, 11, 2 * STEPS_A_TASK[variant]
    env = make_vec(problem, members, variant, disclosure=level)
    singles = [make(problem, variant, disclosure=level) for _ in range(members)]
    results = [env.reset(seed=seed)]
    expected = [[single.reset(seed=seed + i)] for i, single in enumerate(singles)]
    for _ in range(steps):
        actions = env.action_space.sample()
        results.append(env.step(actions))
        for mine, single, action in zip(expected, singles, actions, strict=True):
            mine.append(single.step(action))
    for step, result in enumerate(results):
        info = result[-1]
        assert set(info) == {x for key in expected[0][step][-1] for x in (key, f"_{key}")}
        for i in range(members):
            *values, its_info = expected[i][step]
            assert same(result[0][i], values[0])
            assert all(mine[i] == its for mine, its in zip(result[1:-1], values[1:], strict=True))
            for key, value in its_info.items():
                assert np.array_equal(info[key][i], value) and info[f"_{key}"][i]
    for array in (*results[1][2:4], *(m for key, m in results[1][4].items() if key[0] == "_")):
        assert array.shape == (members,) and array.dtype == bool
    assert results[1][1].shape == (members,) and results[1][1].dtype == np.float64


@each_id
def test_all_members_switch_together_under_one_clock(problem: str) -> None:
    env = make_vec(problem, 4, disclosure="identified")
    env.reset(seed=0)
    stream = env.streams[0]
    for task, example in [(0, i) for i in range(1, 48)] + [(1, i) for i in range(48)]:
        info = env.step(env.action_space.sample())[-1]
        assert set(info["task"]) == {task}
        assert env.clock == Clock(task, example, 48 * task + example)
    ended = stream.start(2)
    while env.clock.examples < ended:
        info = env.step(env.action_space.sample())[-1]
    assert set(info["task"]) == {2} and env.clock == Clock(2, 0, ended)


@each_id
@pytest.mark.parametrize("batch", [None, 16])
def test_a_finite_vector_truncates_everyone_and_then_refuses(
    problem: str, batch: int | None
) -> None:
    env = make_vec(problem, 2, num_tasks=2, batch_size=batch)
    seen = start(env, 0, length_of(problem) // (batch or 1))
    assert not any(step[4].any() for step in seen[1:-1]) and seen[-1][4].all()
    assert not any(step[3].any() for step in seen[1:])
    assert same(seen[-1][1], seen[-2][1]), "the last observations are shown again"
    with pytest.raises(RuntimeError, match="num_tasks=2"):
        env.step(env.action_space.sample())
    env.reset(seed=0)
    assert same(env.step(seen[1][0]), seen[1][1:])


@each_id
def test_reset_without_a_seed_starts_other_streams(problem: str) -> None:
    seeds = []
    for _ in range(2):
        env = make_vec(problem, 2)
        env.reset(seed=3)
        rollout(env, 2)
        env.reset()
        assert env.clock == Clock(0, 0, 0)
        seeds.append([stream.seed for stream in env.streams])
    assert seeds[0] == seeds[1] and seeds[0][1] == seeds[0][0] + 1
    assert seeds[0][0] not in (3, 4)


@each_id
@each_variant
def test_nothing_returned_reaches_into_the_environment(problem: str, variant: str) -> None:
    steps = 2 * STEPS_A_TASK[variant]
    expected = start(make_vec(problem, 2, variant), 0, steps)
    env = make_vec(problem, 2, variant)
    env.action_space.seed(0)
    result: Any = env.reset(seed=0)
    for step in range(steps + 1):
        assert same(result, expected[step] if step == 0 else expected[step][1:])
        observations, info = result[0], result[-1]
        assert observations.base is None or observations.base.size == observations.size
        assert all(array.base is None for array in info.values())
        observations[...] = 1 - observations
        for array in info.values():
            array[...] = ~array if array.dtype == bool else array + 1
        if step < steps:
            result = env.step(env.action_space.sample())


@each_id
def test_misuse_is_one_line(problem: str) -> None:
    env = make_vec(problem, 2)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.action_space.sample())
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"^actions: shape \(5,\) is not allowed; give [^\n]+$"):
        env.step(np.zeros(5))
    if classes := env.unwrapped.streams[0].classes:
        actions = np.zeros(env.action_space.shape, int)
        actions[-1] = classes
        with pytest.raises(ValueError, match=f"^action: {classes} is not allowed; give whole"):
            env.step(actions)
    with pytest.raises(ValueError, match="^num_envs: 0 is not allowed"):
        make_vec(problem, 0)
    with pytest.raises(ValueError, match="^setting: 'max_episode_steps' is not one of"):
        make_vec(problem, 2, max_episode_steps=3)


def test_a_hundred_members_share_the_stored_images() -> None:
    env = make_vec("PermutedDigits-v0", 100, examples_per_task=None)
    env.reset(seed=0)
    images = {id(stream.task(0).inputs) for stream in env.streams}
    assert len(images) == 1

"""One data path, and no target before its prediction, for every registered problem."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from continual_envs.core import Clock
from tests.problems import (
    IDS,
    IMAGES,
    STEPS_A_TASK,
    VARIANTS,
    length_of,
    make,
    make_vec,
    same,
    start,
)

each_id = pytest.mark.parametrize("problem", IDS)
each_variant = pytest.mark.parametrize("variant", VARIANTS)


@each_id
@each_variant
def test_steps_read_and_chunk_are_one_data_path(problem: str, variant: str) -> None:
    env, reader = make(problem, variant).unwrapped, make(problem, variant).unwrapped
    size, total = env.batch_size or 1, env.stream.start(2)
    observation, _ = env.reset(seed=2)
    reader.reset(seed=2)
    shown, targets = [observation], []
    for _ in range(total // size):
        observation, *_, info = env.step(env.action_space.sample())
        shown.append(observation)
        targets.append(info["target"])
    chunk = env.stream.chunk(0, total)
    read = [reader.read(size), reader.read(4 * size), reader.read(total - 5 * size)]
    shape = (total, *env.stream.inputs_shape)
    assert same(np.stack(shown[:-1]).reshape(shape), chunk.examples())
    assert same(np.concatenate([part.examples() for part in read]), chunk.examples())
    assert same(np.array(targets).reshape(-1), chunk.targets)
    assert same(np.concatenate([part.targets for part in read]), chunk.targets)
    assert reader.clock == env.clock == Clock(2, 0, total)


@each_id
def test_steps_go_on_behind_what_was_read(problem: str) -> None:
    env, walker = make(problem, "batch"), make(problem, "batch")
    for each in (env, walker):
        each.action_space.seed(0)
        each.reset(seed=4)
    seen = []
    for n in (1, 2, 9):  # inside the rows read ahead, and over a switch
        env.unwrapped.read(16 * n)
        for _ in range(n):
            after = walker.step(walker.action_space.sample())
        seen.append(same(env.unwrapped.observe(), after[0]))
        action = walker.action_space.sample()
        seen.append(same(env.step(action), walker.step(action)))
    assert seen == [True] * 6


@each_id
def test_steps_go_on_from_one_block_read_ahead_to_the_next(problem: str) -> None:
    longer = {"epochs": 20} if problem in IMAGES else {"examples_per_task": 320}
    env, members, total = make(problem, **longer), make_vec(problem, 2, **longer), 600
    singles = [env.reset(seed=0)[0]] + [
        env.step(env.action_space.sample())[0] for _ in range(total)
    ]
    first = [members.reset(seed=0)[0][0]]
    first += [members.step(members.action_space.sample())[0][0] for _ in range(total)]
    assert same(np.stack(singles), env.unwrapped.stream.chunk(0, total + 1).examples())
    assert same(np.stack(first), np.stack(singles))


@each_id
@pytest.mark.parametrize("n", [0, -16, 8, None])
def test_what_cannot_be_read_is_refused(problem: str, n: int | None) -> None:
    env = make(problem, "batch", num_tasks=2).unwrapped
    n = length_of(problem) + 16 if n is None else n
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"^n: .+ is not allowed; [^\n]+$"):
        env.read(n)
    assert env.clock == Clock(0, 0, 0)


@each_id
@each_variant
def test_rewards_are_of_the_example_before(problem: str, variant: str) -> None:
    env = make(problem, variant)
    env.reset(seed=8)
    env.action_space.seed(8)
    size = env.unwrapped.batch_size or 1
    chunk = env.unwrapped.stream.chunk(0, 20 * size if variant == "batch" else 90)
    for _, targets in chunk.batches(size):
        right = targets.reshape(env.action_space.shape)
        wrong = env.action_space.sample()
        if env.unwrapped.stream.classes is None:
            expected = -np.mean((np.asarray(wrong, np.float64) - targets) ** 2)
        else:
            expected = np.mean(wrong == right)
        action, expected = (right, None) if env.unwrapped.clock.examples % 2 else (wrong, expected)
        _, reward, terminated, _, info = env.step(action)
        if expected is None:
            expected = 0.0 if env.unwrapped.stream.classes is None else 1.0
        assert type(reward) is float and reward == pytest.approx(expected, abs=1e-12)
        assert np.array_equal(info["target"], right)
        assert terminated is False


@each_id
@each_variant
def test_nothing_tells_of_targets_to_come(problem: str, variant: str) -> None:
    """Two streams that differ only in targets from some step on give equal returns up to it."""
    size = VARIANTS[variant].get("batch_size", 1)
    known = STEPS_A_TASK[variant] // 2

    def live(change: bool) -> bytes:
        env = make(problem, variant)
        stream = env.unwrapped.stream
        honest = stream.task

        def task(index: int) -> Any:
            given = honest(index)
            if change and index == 0:
                given.targets[known * size :] = -given.targets[known * size :] - 1
            return given

        stream.task = task
        return pickle.dumps(start(env, 0, known))  # seed 0 is the stream it was made with

    assert live(False) == live(True)


@each_id
@each_variant
def test_nothing_returned_reaches_into_the_environment(problem: str, variant: str) -> None:
    """No array is part of a larger one, and writing to what was returned changes nothing."""
    steps = 2 * STEPS_A_TASK[variant]
    expected = start(make(problem, variant), 0, steps)
    env = make(problem, variant)
    env.action_space.seed(0)
    result: Any = env.reset(seed=0)
    kept = []
    for step in range(steps + 1):
        assert same(result, expected[step] if step == 0 else expected[step][1:])
        observation, info = result[0], result[-1]
        assert not any(np.shares_memory(observation, other) for other in kept)
        assert observation.base is None or observation.base.size == observation.size
        assert all(x.base is None for x in info.values() if isinstance(x, np.ndarray))
        kept.append(observation)
        for array in (observation, *info.values()):
            if isinstance(array, np.ndarray):
                array[...] = 1 - array
        if step < steps:
            result = env.step(env.action_space.sample())
    assert same(env.reset(seed=0), expected[0])

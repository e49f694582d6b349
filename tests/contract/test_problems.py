"""What every registered problem promises, through `gym.make` as a user calls it."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from continual_envs.core import Clock
from continual_envs.registration import NAMESPACE
from tests.problems import (
    FETCHED,
    IDS,
    SMALL,
    STEPS_A_TASK,
    VARIANTS,
    length_of,
    make,
    rollout,
    same,
    start,
)

ALLOWED_WARNINGS = {
    # check_env would rather have the bare environment; a user has what gym.make returns
    "is different from the unwrapped version",
    # Stable-Baselines3: observations of a batch have a batch axis, which is what was asked for
    "has an unconventional shape",
    # both checkers: a regression's action is in the units of its targets
    "symmetric and normalized",
    # Stable-Baselines3's own network for images wants larger ones, in grey levels
    "is an image but",
    "The minimal resolution for an image",
}

each_id = pytest.mark.parametrize("problem", IDS)
each_variant = pytest.mark.parametrize("variant", VARIANTS)


def test_the_module_prefix_makes_every_problem_in_a_fresh_process() -> None:
    ids = [f"{NAMESPACE}/{problem}" for problem in IDS if problem not in FETCHED]
    script = (
        "import gymnasium, sys\n"
        f"for id in {ids}:\n"
        f"    print(gymnasium.make('{NAMESPACE}:' + id).spec.id)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ids, done.stderr


@each_id
def test_the_default_settings_make_the_problem(problem: str, published: None) -> None:
    env = gym.make(f"{NAMESPACE}/{problem}")
    observation, info = env.reset(seed=0)
    stream = env.unwrapped.stream
    signalled = env.spec.kwargs.get("disclosure") == "signalled"
    told = stream.privileges(0, 0) | ({"task_switch": False} if signalled else {})
    assert observation in env.observation_space and same(info, told)
    assert bool(told) == signalled == bool(stream.disclosed)
    assert stream.examples_per_task >= 1000


@each_id
@each_variant
def test_checkers_find_nothing(problem: str, variant: str) -> None:
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(make(problem, variant))
        sb3.check_env(make(problem, variant))
    found = [str(item.message) for item in caught]
    assert [text for text in found if not any(map(text.__contains__, ALLOWED_WARNINGS))] == []


@each_id
@pytest.mark.filterwarnings("ignore:.*render_mode")
def test_stable_baselines_makes_it_by_id(problem: str) -> None:
    util = pytest.importorskip("stable_baselines3.common.env_util")
    env = util.make_vec_env(f"{NAMESPACE}/{problem}", 2, seed=0, env_kwargs=SMALL[problem])
    assert env.reset().shape == (2, *env.observation_space.shape)


@each_id
@each_variant
def test_equal_seeds_give_equal_rollouts_and_others_do_not(problem: str, variant: str) -> None:
    steps = 2 * STEPS_A_TASK[variant]
    env = make(problem, variant)
    first = start(env, 5, steps)
    assert same(first, start(env, 5, steps)), "the same environment, reset"
    assert same(first, start(make(problem, variant), 5, steps)), "another environment"
    other = start(make(problem, variant), 6, steps)
    assert not same([step[1] for step in first[1:]], [step[1] for step in other[1:]])


@each_id
@each_variant
def test_reset_without_a_seed_starts_another_stream(problem: str, variant: str) -> None:
    seeds = []
    for _ in range(2):
        env = make(problem, variant)
        env.reset(seed=3)
        for _ in range(3):
            rollout(env, 2)
            observation, _ = env.reset()
            assert env.unwrapped.clock == Clock(0, 0, 0)
            assert same(observation, env.unwrapped.observe())
            seeds.append(env.unwrapped.stream.seed)
    assert seeds[:3] == seeds[3:], "a seeded environment draws the same further streams"
    assert len({3, *seeds}) == 4
    unseeded = [make(problem) for _ in range(2)]
    for env in unseeded:
        env.reset()
    assert len({env.unwrapped.stream.seed for env in unseeded}) == 2


@each_id
@each_variant
def test_pickled_mid_task_it_goes_on(problem: str, variant: str) -> None:
    env = make(problem, variant)
    start(env, 0, STEPS_A_TASK[variant] + 1)
    copy = pickle.loads(pickle.dumps(env))
    assert same(rollout(env, 2), rollout(copy, 2))


@each_id
@each_variant
def test_spec_survives_json(problem: str, variant: str) -> None:
    env = make(problem, variant)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.spec == env.spec
    assert same(start(env, 1, 5), start(again, 1, 5))


@each_id
@pytest.mark.parametrize("batch", [None, 16])
def test_a_finite_stream_truncates_and_then_refuses(problem: str, batch: int | None) -> None:
    env = make(problem, num_tasks=2, batch_size=batch)
    endless = make(problem, batch_size=batch)
    steps = length_of(problem) // (batch or 1)
    seen, reference = start(env, 0, steps), start(endless, 0, steps)
    assert [step[4] for step in seen[1:]] == [False] * (steps - 1) + [True]
    assert not any(step[4] for step in reference[1:])
    assert same(seen[:-1], reference[:-1])
    _, observation, reward, *_, info = seen[-1]
    assert observation in env.observation_space
    assert same(observation, seen[-2][1]), "the last observation is shown again"
    assert same(observation, env.unwrapped.observe())
    assert same((reward, info["target"]), (reference[-1][2], reference[-1][5]["target"]))
    last, before = ({**step[5], "target": None} for step in seen[-2:])
    assert same(last, before), "the last observation keeps its privileges"
    for act in (lambda: env.step(env.action_space.sample()), lambda: env.unwrapped.read(16)):
        with pytest.raises(RuntimeError, match="num_tasks=2"):
            act()
    env.reset(seed=1)
    assert env.step(env.action_space.sample())[3] is False


@each_id
def test_a_batch_of_one_is_the_single_problem(problem: str) -> None:
    single, batch = make(problem), make(problem, batch_size=1)
    a, b = single.reset(seed=9)[0], batch.reset(seed=9)[0]
    assert same(a[None], b)
    for _ in range(100):
        action = single.action_space.sample()
        one = single.step(action)
        many = batch.step(np.reshape(action, (1,)))
        assert same(one[0][None], many[0])
        assert same(one[1:4], many[1:4])
        assert np.array_equal(np.reshape(one[4]["target"], (1,)), many[4]["target"])


@each_id
@pytest.mark.parametrize("batch", [None, 16])
@pytest.mark.parametrize(
    ("level", "keys"),
    [("hidden", set()), ("signalled", {"task_switch"}), ("identified", {"task_switch", "task"})],
)
def test_exactly_what_is_disclosed(
    problem: str, batch: int | None, level: str, keys: set[str]
) -> None:
    env = make(problem, disclosure=level, batch_size=batch, num_tasks=3)
    stream, size = env.unwrapped.stream, batch or 1
    second, third, last = (stream.start(index) // size for index in (1, 2, 3))
    seen = start(env, 0, last)
    infos = [seen[0][1], *(step[5] for step in seen[1:])]
    # the last step shows the last observation again, which is of the last task
    places = [stream.locate(min(step, last - 1) * size) for step in range(last + 1)]
    for info, place in zip(infos, places, strict=True):
        assert same({key: info.pop(key) for key in stream.privileges(*place)}, told(stream, place))
    assert set(infos[0]) == keys
    assert {frozenset(info) for info in infos[1:]} == {frozenset(keys | {"target"})}
    if level != "hidden":
        switches = [step for step, info in enumerate(infos) if info["task_switch"]]
        assert switches == [second, third]
        assert all(type(info["task_switch"]) is bool for info in infos)
    if level == "identified":
        assert [info["task"] for info in infos] == [task for task, _ in places]


def told(stream: Any, place: tuple[int, int]) -> dict[str, Any]:
    """What the protocols say that they disclose, worked out here."""
    task, example = place
    by_word: dict[str, dict[str, Any]] = {
        "epoch": {"epoch": example * stream.epochs // stream.length(task)},
        "head": {"zero_head": example == 0},
        "seen": {"seen": np.isin(np.arange(100), stream.task(task).targets)},
        "validation": {},
    }
    return {key: value for word in stream.disclosed for key, value in by_word[word].items()}


@each_id
@each_variant
@pytest.mark.filterwarnings("ignore:.*render_mode")
def test_misuse_is_one_line(problem: str, variant: str) -> None:
    env = make(problem, variant)
    with pytest.raises(gym.error.ResetNeeded):
        env.unwrapped.step(env.action_space.sample())
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"^action: shape \(7,\) is not allowed; give [^\n]+$"):
        env.unwrapped.step(np.zeros(7))
    classes = env.unwrapped.stream.classes
    for wrong in (-1, classes, 0.5) if classes else ():
        action = np.zeros(env.action_space.shape) + wrong
        action = action if wrong == 0.5 else action.astype(int)
        with pytest.raises(ValueError, match=f"^action: {wrong}.* from 0 to {classes - 1}$"):
            env.unwrapped.step(action)
    with pytest.raises(TypeError, match="unexpected keyword argument 'render_mode'"):
        make(problem, variant, render_mode="human")

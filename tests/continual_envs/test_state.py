"""An environment saved in the middle of a task goes on as if nothing had happened."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.wrappers import vector as vector_wrappers

import continual_envs
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

DISTANCES = [0, 1, 2, 10]  # steps before saving, beyond the whole first task


def double(value: Any) -> Any:
    return value * 2


def transformed(env: gym.Env) -> gym.Env:
    return wrappers.TransformObservation(env, double, env.observation_space)


CHAINS: dict[str, list[Callable[[gym.Env], gym.Env]]] = {
    "statistics": [lambda env: wrappers.TimeLimit(env, 80), wrappers.RecordEpisodeStatistics],
    "normalised": [
        wrappers.NormalizeObservation,
        wrappers.NormalizeReward,
        wrappers.RecordEpisodeStatistics,
    ],
    "stacked": [transformed, lambda env: wrappers.FrameStackObservation(env, 3)],
    "delayed": [lambda env: wrappers.DelayObservation(env, 4)],
    "sticky": [lambda env: wrappers.StickyAction(env, 0.5, (1, 4))],
    "timed": [lambda env: wrappers.TimeLimit(env, 500), wrappers.TimeAwareObservation],
    "automatic": [lambda env: wrappers.TimeLimit(env, 53), wrappers.Autoreset],
}
VECTOR_CHAINS: dict[str, list[Callable[[Any], Any]]] = {
    "bare": [],
    "statistics": [vector_wrappers.RecordEpisodeStatistics],
    # Gymnasium's vector NormalizeObservation refuses every autoreset mode but NEXT_STEP
    "normalised": [vector_wrappers.NormalizeReward],
}


def wrapped(env: Any, chain: list[Callable[[Any], Any]]) -> Any:
    for wrapper in chain:
        env = wrapper(env)
    return env


def without_wall_clock(results: list[Any]) -> list[Any]:
    for result in results:
        result[-1].get("episode", {}).pop("t", None)
    return results


def assert_plain(value: Any, where: str = "state") -> None:
    """Only what any format can hold: no subclass, no numpy scalar, no tuple, no object."""
    kind = type(value)
    assert kind in (dict, list, str, int, float, bool, type(None), np.ndarray), f"{where}: {kind}"
    if kind is np.ndarray:
        assert value.dtype.kind in "biuf", f"{where}: {value.dtype}"
        return
    parts = value.items() if kind is dict else enumerate(value) if kind is list else ()
    for key, part in parts:
        assert type(key) in (str, int)
        assert_plain(part, f"{where}.{key}")


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """Save and load without executing anything, arrays as tensors."""
    torch = pytest.importorskip("torch")

    def convert(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
        if isinstance(value, dict):
            return {key: convert(part, kind, change) for key, part in value.items()}
        if isinstance(value, list):
            return [convert(part, kind, change) for part in value]
        return change(value) if isinstance(value, kind) else value

    file = io.BytesIO()
    torch.save(convert(state, np.ndarray, torch.from_numpy), file)
    file.seek(0)
    return convert(torch.load(file, weights_only=True), torch.Tensor, lambda x: x.numpy())


def assert_goes_on(build: Callable[[], Any], steps: int, more: int) -> None:
    """Save after `steps`, load into a fresh copy without a reset, compare `more` steps."""
    env = build()
    start(env, 3, steps)
    state = continual_envs.state_dict(env)
    assert_plain(state)
    fresh = build()
    continual_envs.load_state_dict(fresh, through_a_file(state))
    expected = without_wall_clock(rollout(env, more))
    assert same(without_wall_clock(rollout(fresh, more)), expected)
    assert fresh.unwrapped.clock == env.unwrapped.clock
    expected = [without_wall_clock([each.reset()]) for each in (env, fresh)]
    assert same(*expected), "the generator of further seeds is restored"
    used = build()
    start(used, 4, 7)
    continual_envs.load_state_dict(used, state)
    assert same(continual_envs.state_dict(used), state), "loading is exact, and harmed no state"


@each_id
@each_variant
@pytest.mark.parametrize("beyond", DISTANCES)
def test_through_what_gym_make_builds(problem: str, variant: str, beyond: int) -> None:
    steps = beyond if variant == "batch" or beyond < 3 else STEPS_A_TASK[variant] + beyond
    more = min(40, 2 * STEPS_A_TASK[variant] - steps) if variant == "finite" else 60
    assert_goes_on(lambda: make(problem, variant, max_episode_steps=1000), steps, more)


@each_id
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("steps", [0, 53])
def test_through_a_users_wrappers(problem: str, chain: str, steps: int) -> None:
    assert_goes_on(lambda: wrapped(make(problem), CHAINS[chain]), steps, 60)


@each_id
@pytest.mark.parametrize("chain", VECTOR_CHAINS)
def test_the_vector_environment(problem: str, chain: str) -> None:
    assert_goes_on(lambda: wrapped(make_vec(problem, 3), VECTOR_CHAINS[chain]), 51, 60)
    finite = {"num_tasks": 2}
    assert_goes_on(lambda: wrapped(make_vec(problem, 3, **finite), VECTOR_CHAINS[chain]), 51, 45)


@each_id
def test_generators_of_every_space(problem: str) -> None:
    env, fresh = make_vec(problem, 2), make_vec(problem, 2)
    names = ("action_space", "observation_space", "single_action_space", "single_observation_space")
    continual_envs.load_state_dict(fresh, continual_envs.state_dict(env))
    for name in names:
        assert same(getattr(env, name).sample(), getattr(fresh, name).sample()), name


def test_rescaled_actions_have_generators_of_their_own() -> None:
    def build() -> gym.Env:
        return wrappers.RescaleAction(
            make("SlowlyChangingRegression-v0"), np.float32(-1), np.float32(1)
        )

    assert_goes_on(build, 50, 20)


@each_id
def test_before_the_first_reset_and_at_the_end(problem: str) -> None:
    env = make(problem, "finite")
    fresh = make(problem, "finite")
    fresh.reset(seed=1)
    continual_envs.load_state_dict(fresh, continual_envs.state_dict(env))
    with pytest.raises(gym.error.ResetNeeded):
        fresh.unwrapped.step(fresh.action_space.sample())
    seen = start(env, 0, length_of(problem))
    continual_envs.load_state_dict(fresh, continual_envs.state_dict(env))
    assert same(fresh.unwrapped.observe(), seen[-1][1])
    with pytest.raises(RuntimeError, match="num_tasks=2"):
        fresh.step(fresh.action_space.sample())


@each_id
def test_the_time_limit_counts_on(problem: str) -> None:
    env, fresh = (make(problem, max_episode_steps=10) for _ in range(2))
    start(env, 0, 7)
    continual_envs.load_state_dict(fresh, continual_envs.state_dict(env))
    assert [step[4] for step in rollout(fresh, 3)] == [False, False, True]


def test_a_state_is_json_but_for_its_arrays() -> None:
    env = make("PermutedDigits-v0")
    start(env, 0, 60)
    state = continual_envs.state_dict(env)
    text = json.dumps(state, default=np.ndarray.tolist)
    assert same(json.loads(text)["layers"][-1], state["layers"][-1])
    assert len(text) < 4000, "positions, not data"


class Mystery(gym.Wrapper):
    """A wrapper that says nothing of its state."""


class Renamed(wrappers.TimeLimit):
    """A subclass of a known wrapper may remember more."""


class ClipReward(gym.Wrapper):
    """A name of Gymnasium's on something else."""


class Counting(gym.Wrapper):
    """A wrapper that saves itself."""

    count = 0

    def step(self, action: Any) -> Any:
        self.count += 1
        return super().step(action)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


@pytest.mark.parametrize(
    "wrapper",
    [
        Mystery,
        ClipReward,
        lambda env: Renamed(env, 10),
        lambda env: wrappers.MaxAndSkipObservation(env, 2),
        lambda env: wrappers.RecordEpisodeStatistics(Mystery(env)),
    ],
)
def test_an_unknown_wrapper_is_refused_by_name(wrapper: Callable[[gym.Env], gym.Env]) -> None:
    env = wrapper(make("PermutedDigits-v0"))
    pattern = r"^environment: [\w.]+\.(Mystery|ClipReward|Renamed|MaxAndSkip\w+) has no"
    with pytest.raises(ValueError, match=pattern):
        continual_envs.state_dict(env)


def test_a_foreign_environment_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"CartPoleEnv has no state_dict"):
        continual_envs.state_dict(gym.make("CartPole-v1"))


def test_a_wrapper_with_a_state_of_its_own_is_served() -> None:
    env = Counting(make("PermutedDigits-v0"))
    start(env, 0, 5)
    fresh = Counting(make("PermutedDigits-v0"))
    continual_envs.load_state_dict(fresh, continual_envs.state_dict(env))
    assert fresh.count == 5


@pytest.mark.parametrize(
    "other",
    [
        lambda: wrappers.RecordEpisodeStatistics(make("PermutedDigits-v0")),
        lambda: make("PermutedDigits-v0", max_episode_steps=5),
        lambda: make("PermutedDigits-v0").unwrapped,
        lambda: wrappers.ClipReward(make("PermutedDigits-v0", disable_env_checker=True), 0, 1),
        lambda: make_vec("PermutedDigits-v0", 2),
    ],
)
def test_another_chain_is_refused_with_both_named(other: Callable[[], Any]) -> None:
    env = make("PermutedDigits-v0")
    start(env, 0, 3)
    with pytest.raises(ValueError, match=r"^environment: .*Env is not the saved .*StreamEnv$"):
        continual_envs.load_state_dict(other(), continual_envs.state_dict(env))

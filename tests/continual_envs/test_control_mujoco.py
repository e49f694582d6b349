"""Bodies of MuJoCo whose friction drifts: it acts, where it is set, and exact resume."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import NormalizeObservation, RecordEpisodeStatistics

import continual_envs
from continual_envs.control.drift import DriftEnv
from continual_envs.registration import CONTROL, NAMESPACE
from tests.drifting import live
from tests.problems import same

mujoco = pytest.importorskip("mujoco")

BODIES = ["Ant", "Hopper", "Walker2d", "HalfCheetah"]
IDS = [id for id, row in CONTROL.items() if row[0].startswith("mujoco")]
SHORT: dict[str, Any] = {"period": 45, "max_episode_steps": 40}
each_body = pytest.mark.parametrize("body", BODIES)


def make(body: str, **settings: Any) -> Any:
    return gym.make(f"{NAMESPACE}/Slippery{body}-v0", **settings)


def held(env: Any, friction: float) -> list[Any]:
    env.reset(seed=0)
    assert env.unwrapped.stream.value(0) == friction
    return [step[:2] for step in live(env, 60)]


@each_body
def test_friction_acts(body: str) -> None:
    slippery, middle, rough, again = (
        held(make(body, low=friction, high=friction), friction) for friction in (0.05, 0.5, 2, 2)
    )
    assert same(rough, again)
    for one, other in ((slippery, middle), (middle, rough)):
        assert not np.array_equal(one[-1][0], other[-1][0])
        assert sum(a[1] != b[1] for a, b in zip(one, other, strict=False)) > 10, "rewards"


@each_body
def test_it_is_set_on_every_geom_and_survives_reset(body: str) -> None:
    env = make(body, **SHORT)
    env.reset(seed=3)
    base = env.unwrapped
    own = make(body, drift="none").unwrapped.simulator.model.geom_friction
    seen = []
    for _ in range(100):
        model, value = base.simulator.model, base.stream.value(base.clock.task)
        assert np.array_equal(model.geom_friction[:, 0], np.full(model.ngeom, value))
        assert np.array_equal(model.geom_friction[:, 1:], own[:, 1:])
        seen.append(value)
        live(env, 1)
    assert len(set(seen)) >= 2


def test_another_process_draws_the_same_friction() -> None:
    script = (
        "import gymnasium, continual_envs\n"
        "env = gymnasium.make('continual_envs/SlipperyAnt-v0')\n"
        "env.reset(seed=4)\n"
        "print([env.unwrapped.stream.value(k) for k in (3, 1, 2)])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    env = make("Ant")
    env.reset(seed=4)
    values = [env.unwrapped.stream.value(k) for k in (3, 1, 2)]
    assert done.stdout.strip() == str(values), done.stderr
    assert len(set(values)) == 3


def test_the_floors_friction_alone_changes_nothing() -> None:
    """Why every geom is set: the larger of the two counts."""
    shown = []
    for friction in (0.05, 0.5):
        env = gym.make("Ant-v5")
        env.unwrapped.model.geom_friction[0, 0] = friction
        env.reset(seed=0)
        shown.append([came[0] for came in live(env, 60)])
    assert same(*shown)


@each_body
@pytest.mark.parametrize("drift", ["friction", "offset"])
def test_it_goes_on_exactly_within_an_episode(body: str, drift: str) -> None:
    def wrapped() -> Any:
        env = make(body, drift=drift, disclosure="identified", **SHORT)
        return NormalizeObservation(RecordEpisodeStatistics(env))

    env = wrapped()
    env.reset(seed=1)
    while env.unwrapped.clock.task < 2 or env.unwrapped.clock.example < 7:
        live(env, 1)
    state = copy.deepcopy(continual_envs.state_dict(env))
    expected, other = live(env, 100), wrapped()
    continual_envs.load_state_dict(other, state)
    came = live(other, 100)
    for *_, info in (*expected, *came):
        info.get("episode", {}).pop("t", None)
    assert same(expected, came)
    assert expected[-1][-1]["task"] > 2
    size = sum(
        array.nbytes for array in state["layers"][-1]["state"]["simulator"]["arrays"].values()
    )
    assert size < 100_000


def test_copied_and_pickled_it_goes_on() -> None:
    env = make("Ant", **SHORT)
    env.reset(seed=1)
    live(env, 100)
    others = copy.deepcopy(env), pickle.loads(pickle.dumps(env))
    expected = live(env, 50)
    assert all(same(expected, live(other, 50)) for other in others)


@pytest.mark.parametrize("body", BODIES[:3])
def test_stationary_is_gymnasiums_own(body: str) -> None:
    id, base = f"{NAMESPACE}/Stationary{body}-v0", f"{body}-v5"
    assert gym.spec(id).max_episode_steps == gym.spec(base).max_episode_steps
    ours, theirs = gym.make(id, **SHORT), gym.make(base, max_episode_steps=40)
    assert same(ours.reset(seed=3), theirs.reset(seed=3))
    assert same(live(ours, 150), live(theirs, 150))
    assert ours.unwrapped.clock.task > 0


def test_gravity_is_a_factor() -> None:
    env = make("Hopper", drift="gravity", low=0.5, high=0.5)
    env.reset(seed=0)
    env.reset(seed=0)
    assert env.unwrapped.simulator.model.opt.gravity.tolist() == [0.0, 0.0, -9.81 / 2]


def test_copies_share_the_friction() -> None:
    envs = continual_envs.copies(f"{NAMESPACE}/SlipperyHopper-v0", 3, **SHORT)
    for i, env in enumerate(envs):
        env.reset(seed=5 + i)
    for _ in range(4):
        for env in envs:
            live(env, 20)
    for env in envs:
        base: Any = env.unwrapped
        assert base.clock.examples == 240 and base.clock.task >= 1
        value = base.stream.value(base.clock.task)
        assert (base.simulator.model.geom_friction[:, 0] == value).all()


@pytest.mark.parametrize("problem", IDS)
def test_checkers_find_nothing(problem: str) -> None:
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env: Any = gym.make(f"{NAMESPACE}/{problem}")
        check_env(env.unwrapped, skip_render_check=True)
        sb3.check_env(env)
        check_env(env, skip_render_check=True)
    found = [str(item.message) for item in caught]
    # Bounds of the base environments, and the wrappers that gym.make itself puts around.
    known = "infinity. This is probably too", "is different from the unwrapped version"
    assert [text for text in found if not any(one in text for one in known)] == []
    assert not {"task", "task_switch"} & env.reset()[1].keys()


@pytest.mark.parametrize("version", ["4.0.0", "3.0.1", "2.3.7"])
def test_another_version_is_one_line(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mujoco, "__version__", version)
    with pytest.raises(ValueError) as caught:
        make("Ant")
    assert str(caught.value) == (
        f"mujoco: version {version} is not allowed; Ant-v5 needs at least 3.1 and below 4: "
        "pip install 'continual-envs[mujoco]'"
    )


def test_making_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    DriftEnv("continual_envs.control.mujoco:HalfCheetah", drift="none", period=10)
    assert list(tmp_path.iterdir()) == []
    assert mujoco.get_mju_user_warning() is None

"""Recording a loop that is not ours: the same folder as the runner's, refused or kept whole."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import evaluation
from agents import registry
from agents.base import LearnerAgent, Transition
from tests.conftest import ROOT
from tests.evaluation.helpers import cell, finish, live, online, python, read, snapshot
from tests.problems import SMALL, make

FIELDS = ("task", "bin", "updates", "examples", "anchor")


def _script(env: Any, steps: int, seed: int, agent: str, **settings: Any) -> None:
    """A loop as anyone writes it."""
    made = registry.make(
        agent, env.observation_space, env.action_space, seed=seed, **{"hidden": [8], **settings}
    )
    actor = LearnerAgent(made, env.action_space)
    observation, _ = env.reset(seed=seed)
    for _ in range(steps):
        action = actor.act(observation)
        following, reward, terminated, truncated, info = env.step(action)
        actor.learn(Transition(observation, action, reward, following, terminated, truncated, info))
        observation = following
    env.close()


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("problem", [id for id in sorted(SMALL) if "epochs" not in SMALL[id]])
def test_a_hand_written_loop_is_recorded_as_the_runner_would(
    problem: str, batch_size: int | None, tmp_path: Path
) -> None:
    batch = {} if batch_size is None else {"batch_size": batch_size}
    settings = {**SMALL[problem], **batch}
    config = cell("adam", problem=problem, problem_settings=settings, seeds=[3], tasks=2)
    live(config, tmp_path / "ours")
    env = evaluation.Record(
        make(problem, **batch),
        tmp_path / "theirs",
        agent="adam",
        settings=config.agent_settings,
        seed=3,
    )
    _script(env, 96 // (batch_size or 1), seed=3, agent="adam", step_size=0.1)
    outcome = read(tmp_path / "ours")["outcome"]
    ours, theirs = (
        [{k: line[k] for k in (*FIELDS, outcome)} for line in online(folder)]
        for folder in (tmp_path / "ours", tmp_path / "theirs")
    )
    assert ours == theirs and len(ours) == 2 * (3 if batch_size else 10)
    # What a script's agent outputs is not seen; the loss of values is their error.
    losses = [line["loss"] for line in online(tmp_path / "theirs")]
    assert losses == [line["error"] if outcome == "error" else None for line in theirs]
    said, same = read(tmp_path / "theirs"), read(tmp_path / "ours")
    keys = set(said) - {"cpu"}
    assert {key: said[key] for key in keys} == {key: same[key] for key in keys}
    assert read(tmp_path / "theirs", "result.json")["tasks"] == 2
    mine, yours = evaluation.load(tmp_path / "ours", tmp_path / "theirs")
    assert mine.settings_hash == yours.settings_hash
    np.testing.assert_array_equal(mine.skill, yours.skill)


def test_held_out_examples_are_not_looked_at_and_the_record_says_so(tmp_path: Path) -> None:
    env = evaluation.Record(make("ProceduralPairs-v0", "batch"), tmp_path, agent="x")
    env.reset()
    for _ in range(6):
        env.step(env.action_space.sample())
    env.close()
    assert read(tmp_path)["scored"] == "online"
    (run,) = evaluation.load(tmp_path)
    assert run.test is None and len(run.outcome) == 2
    assert [line["bin"] for line in online(tmp_path)] == [0, 1, 2, 0, 1, 2]


def _digits(**settings: Any) -> gym.Env[Any, Any]:
    return gym.make("continual_envs/PermutedDigits-v0", **{"examples_per_task": 10, **settings})


def _live(env: gym.Env[Any, Any], steps: int, seed: int | None = 0) -> None:
    env.reset(seed=seed)
    for _ in range(steps):
        env.step(0)


def test_settings_are_written_as_the_runner_writes_them(tmp_path: Path) -> None:
    problem = gym.make(
        "continual_envs/PermutedMNIST-v0", dataset="digits", permuted_fraction=1, num_tasks=5
    )
    env = evaluation.Record(problem, tmp_path / "a", agent="x")
    env.reset()
    config = cell(
        problem="PermutedMNIST-v0", problem_settings={"dataset": "digits", "num_tasks": 5}
    )
    said = read(tmp_path / "a")
    assert said["problem_settings"] == config.problem_settings
    assert type(said["problem_settings"]["permuted_fraction"]) is float
    env.close()


def test_the_seed_is_that_of_the_stream(tmp_path: Path) -> None:
    """Runs are paired by seed, so one that lies would be compared with another stream's."""
    env = evaluation.Record(_digits(), tmp_path / "given", agent="x", seed=7)
    env.reset()
    assert env.unwrapped.stream.seed == read(tmp_path / "given")["seed"] == 7
    env = evaluation.Record(_digits(), tmp_path / "wrong", agent="x", seed=7)
    with pytest.raises(ValueError, match="seed: 8"):
        env.reset(seed=8)
    assert not (tmp_path / "wrong").exists()


def test_a_second_reset_ends_the_recording(tmp_path: Path) -> None:
    env = evaluation.Record(_digits(), tmp_path, agent="x")
    _live(env, 25)
    assert not (tmp_path / "result.json").exists()
    env.reset(seed=5)
    before = snapshot(tmp_path)
    assert read(tmp_path, "result.json")["tasks"] == 2
    _live(env, 30, seed=None)
    env.close()
    env.close()
    assert snapshot(tmp_path) == before
    (run,) = evaluation.load(tmp_path)
    assert len(run.tasks) == 2


def test_a_finite_stream_is_recorded_to_its_end(tmp_path: Path) -> None:
    env = evaluation.Record(_digits(num_tasks=2), tmp_path, agent="x")
    _live(env, 20)
    env.close()
    assert [line["examples"] for line in online(tmp_path)] == list(range(1, 21))


def test_what_cannot_be_recorded_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = snapshot(tmp_path)
    cases: list[tuple[Any, str, dict[str, Any], str]] = [
        (_digits(), "full", {}, "not empty"),
        (_digits(), "file", {}, "folder"),
        (_digits(), "file/below", {}, "folder"),
        (gym.make("CartPole-v1"), "new", {}, "not a stream"),
        (_digits(), "new", {"settings": {"kind": object()}}, "kind"),
        (_digits(), "new", {"settings": {"rate": float("nan")}}, "rate"),
        (_digits(), "new", {"seed": -1}, "seed: -1"),
        (_digits(), "new", {"agent": 3}, "agent: 3 is not allowed"),
        (_digits(), "new", {"agent": ""}, "agent: '' is not allowed"),
    ]
    for env, name, more, said in cases:
        with pytest.raises(ValueError, match=said) as caught:
            evaluation.Record(env, tmp_path / name, **{"agent": "x", **more})
        assert "\n" not in str(caught.value)
    assert snapshot(tmp_path) == before and not (tmp_path / "new").exists()


def _example(name: str, *arguments: object) -> Any:
    call = ", ".join(map(repr, arguments))
    path = str(ROOT / "examples" / name)
    return python("-c", f"import runpy; runpy.run_path({path!r})['main']({call})")


def test_the_example_of_the_python_interface(tmp_path: Path) -> None:
    code, out, err = finish(_example("benchmark_script.py", str(tmp_path), 3))
    assert code == 0, err
    assert len(evaluation.load(tmp_path)) == 9
    assert "continual-backprop" in out and (tmp_path / "report.html").stat().st_size > 10_000


def test_the_example_with_stable_baselines3(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    code, out, err = finish(_example("sb3_on_a_stream.py", str(tmp_path), 1))
    assert code == 0, err
    (run,) = evaluation.load(tmp_path)
    assert run.config["agent"] == "sb3-ppo" and len(run.tasks) == 1 and run.seed == 0
    assert 0.0 < run.outcome[0] < 1.0 and "accuracy by task" in out


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_recording_that_was_killed_stays_readable(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    process = _example("sb3_on_a_stream.py", str(tmp_path), 500)
    path, deadline = tmp_path / "ppo" / "seed-0" / "records.jsonl", time.monotonic() + 90
    while not (path.exists() and path.read_bytes().count(b"\n") > 12):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (run,) = evaluation.load(tmp_path)
    assert len(run.tasks) >= 1 and not (path.parent / "result.json").exists()
    with open(path, "ab") as file:
        file.write(b'{"kind": "onl')  # cut in the middle of a line
    assert len(evaluation.load(tmp_path)[0].tasks) == len(run.tasks)

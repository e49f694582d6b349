"""Agents in drifting environments: what is recorded, stopping and going on, what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO

import evaluation
from agents.rl.sb3 import SB3Agent
from continual_envs.control.drift import DriftEnv
from evaluation import loop
from evaluation.config import RunConfig
from evaluation.control import ControlLife
from evaluation.episodes import bins_of_steps
from evaluation.loop import run_one
from evaluation.measures import rarely_active_units
from tests.evaluation.folders import write_run
from tests.evaluation.helpers import cell, live, online, read, records

CARTPOLE = "DriftingCartPole-v0"
PERIOD = 300
PLAIN: dict[str, Any] = {"copies": 1, "activation": "tanh", "step_size": 3e-4}  # SB3's own
PPO_NET: dict[str, Any] = {
    **PLAIN,
    "n_steps": 64,
    "batch_size": 32,
    "n_epochs": 2,
    "hidden": [8],
}
METHODS = "sb3/ppo+l2+continual-backprop+redo+shrink-perturb"
HOT: dict[str, Any] = {
    **PPO_NET,
    "l2.weight_decay": 1e-3,
    "replacement_rate": 0.05,
    "maturity": 5,
    "period": 7,
    "noise_std": 1e-4,
}
DQN_NET: dict[str, Any] = {"hidden": [8], "learning_starts": 50, "buffer_size": 400}
ACTOR = "tests.evaluation.plugins:by_state"


def control(agent: str = "sb3/ppo", **more: Any) -> RunConfig:
    """One small run on CartPole."""
    settings = {"sb3/ppo": PPO_NET, "fresh+sb3/ppo": PPO_NET, METHODS: HOT, "sb3/dqn": DQN_NET}
    defaults: dict[str, Any] = {"problem": CARTPOLE, "engine": "auto", "tasks": 3}
    defaults["problem_settings"] = {"period": PERIOD}
    defaults["settings"] = settings.get(agent, {})
    return cell(agent, **{**defaults, **more})


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Save after every cycle, and let a run die in its n-th."""
    monkeypatch.setattr(loop, "SAVE_AFTER", 0.0)
    monkeypatch.setattr(loop, "SAVE_AT_MOST_EVERY", 0.0)
    advance = ControlLife.advance

    def after(n: int) -> None:
        left = iter(range(n, -1, -1))

        def dying(life: ControlLife) -> None:
            if next(left) == 0:
                advance(life)  # what this cycle records is to be forgotten
                raise KeyboardInterrupt
            advance(life)

        monkeypatch.setattr(ControlLife, "advance", dying)

    yield after
    monkeypatch.setattr(ControlLife, "advance", advance)


@pytest.mark.parametrize(
    ("agent", "problem"),
    [
        (METHODS, CARTPOLE),
        (METHODS, "SlipperyHopper-v0"),
        ("fresh+sb3/ppo", CARTPOLE),
        ("sb3/dqn", CARTPOLE),
        (ACTOR, CARTPOLE),
    ],
)
def test_a_run_that_dies_goes_on_as_if_nothing_had_happened(
    agent: str, problem: str, tmp_path: Path, crash: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if problem != CARTPOLE:
        pytest.importorskip("mujoco")
    config = control(agent, problem=problem)
    want = live(config, tmp_path / "whole")
    advance = ControlLife.advance
    for moment in (3, 4):
        crash(moment)
        with pytest.raises(KeyboardInterrupt):
            run_one(config, tmp_path / "parts")
        monkeypatch.setattr(ControlLife, "advance", advance)
    assert live(config, tmp_path / "parts") == want
    assert read(tmp_path / "parts", "result.json")["finished"]


@pytest.mark.parametrize("agent", [METHODS, "sb3/dqn", ACTOR])
def test_a_longer_horizon_continues(agent: str, tmp_path: Path) -> None:
    want = live(control(agent, tasks=4), tmp_path / "long")
    for tasks in (1, 3, 4):
        got = live(control(agent, tasks=tasks), tmp_path / "grown")
        assert got == want[: len(got)] and len(got) >= 10 * tasks
    assert got == want


def test_every_task_has_its_bins_and_every_episode_is_in_one(tmp_path: Path) -> None:
    config, ended = control(tasks=4), []
    life = ControlLife(config)
    episode = life.recorder(tmp_path).episode
    life.watch.recorder.episode = lambda task, value: (
        ended.append((task, value)),
        episode(task, value),
    )
    while life.clock.task < 4:
        life.advance()
    lines = online(tmp_path)
    places = [(line["task"], line["bin"]) for line in lines]
    assert places[:40] == [(task, bin) for task in range(4) for bin in range(10)]
    for task in range(4):
        own = [line for line in lines if line["task"] == task]
        returns = [value for index, value in ended if index == task]
        assert sum(line["episodes"] for line in own) == len(returns) > 3
        total = sum((line["return"] or 0.0) * line["episodes"] for line in own)
        assert total == pytest.approx(sum(returns))
        assert {line["anchor"] for line in own} == {life.stream.anchor(task)}
    steps = [line["examples"] for line in lines]
    assert steps == sorted(steps) and steps[:3] == [30, 60, 90]


def test_the_moments_of_the_switches_are_recorded(tmp_path: Path) -> None:
    live(control(tasks=3), tmp_path)
    ends = [line["examples"] for line in online(tmp_path) if line["bin"] == 9][:3]
    assert all(PERIOD * (k + 1) <= end < PERIOD * (k + 1) + 500 for k, end in enumerate(ends))
    env = gym.make(f"continual_envs/{CARTPOLE}", period=PERIOD)
    model = PPO(
        "MlpPolicy", env, seed=0, n_steps=64, batch_size=32, n_epochs=2,
        policy_kwargs={"net_arch": [8]},
    )  # fmt: skip
    moments, inside = [], env.unwrapped
    assert isinstance(inside, DriftEnv)
    enter = inside._enter
    inside._enter = lambda task, began: (moments.append(began), enter(task, began))  # type: ignore
    model.learn(ends[-1] + 64)
    assert moments[1:4] == ends, "plain Stable-Baselines3 with the same seed has the same life"


def test_copies_share_a_stream_and_their_steps_count_together(tmp_path: Path) -> None:
    config = control(settings={**PPO_NET, "n_steps": 128, "copies": 3}, tasks=3)
    life = ControlLife(config)
    recorder = life.recorder(tmp_path)
    assert len(life.envs) == 3
    life.advance()
    assert life.clock.examples == recorder._examples == 3 * 128
    while life.clock.task < 3:
        life.advance()
    tasks = [env.unwrapped.clock.task for env in life.envs]
    assert min(tasks) == 3
    ends = [line["examples"] for line in online(tmp_path) if line["bin"] == 9]
    assert all(end >= PERIOD * (k + 1) for k, end in enumerate(ends))
    assert len(online(tmp_path)) >= 30
    values = {env.unwrapped.stream.value(1).tolist()[0] for env in life.envs}
    assert len(values) == 1


def test_time_never_goes_back_while_copies_switch_one_after_another(tmp_path: Path) -> None:
    settings = {**PPO_NET, "n_steps": 16, "copies": 8, "n_epochs": 1}
    life = ControlLife(control(settings=settings, problem_settings={"period": 2000}))
    life.recorder(tmp_path)
    seen, apart = [], 0
    while life.clock.task < 4:
        life.advance()
        seen.append((life.clock.task, life.clock.example))
        apart += len({env.unwrapped.clock.task for env in life.envs}) > 1
    assert seen == sorted(seen) and apart


def test_a_task_begins_when_the_last_of_the_copies_that_are_in_it_enters_it() -> None:
    life = ControlLife(control(settings={**PPO_NET, "copies": 3}))
    steps = life.envs[0].unwrapped._tally.steps = 4000
    for env, task, began in zip(life.envs, (1, 1, 2), (2000, 2300, 3900), strict=True):
        env.unwrapped._task, env.unwrapped._began = task, began
    life.watch.task = 1
    assert (life.clock.task, life.clock.example, life.clock.examples) == (1, steps - 2300, steps)


def test_copies_can_be_stopped_too(tmp_path: Path) -> None:
    config = control(METHODS, settings={**HOT, "copies": 2})
    want = live(config, tmp_path / "long")
    live(replace(config, tasks=1), tmp_path / "grown")
    assert live(config, tmp_path / "grown") == want


def test_fresh_starts_over_after_every_switch_and_others_do_not() -> None:
    told: list[int] = []
    for agent in ("fresh+sb3/ppo", "sb3/ppo"):
        life = ControlLife(control(agent))
        assert life.needs_boundary is (agent != "sb3/ppo")
        life.inside.on_task_switch = lambda life=life: told.append(life.clock.task)
        while life.clock.task < 3:
            life.advance()
            life.settle()
    assert told == [1, 2, 3]


@pytest.mark.parametrize("agent", ["fresh+sb3/ppo", "sb3/ppo", "head-reset+sb3/ppo"])
def test_of_fresh_only_what_the_new_network_earns_is_counted(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner has to live with what it was; the reference is to have no past."""
    signalled = {"period": 2 * PERIOD, "disclosure": "signalled"}
    settings = {**PPO_NET, "n_steps": 32, "copies": 2}
    life = ControlLife(control(agent, problem_settings=signalled, settings=settings))
    recorder, watch = life.recorder(tmp_path), life.watch
    restarts, born = [0], [0, 0]
    present: list[int] = []  # the copy that steps; none when what had to wait is told again
    ended: list[tuple[int, int]] = []
    counted: list[tuple[int, int]] = []
    stepped, episode, switch = watch.stepped, recorder.episode, life.inside.on_task_switch

    def note_step(copy: int, observation: Any, reward: float, end: bool) -> None:
        if not watch._running[copy]:
            born[copy] = restarts[0]
        if end:
            ended.append((watch._tasks[copy], born[copy]))
        present.append(copy)
        stepped(copy, observation, reward, end)
        present.pop()

    def note_episode(task: int, value: float) -> None:
        counted.extend((task, born[copy]) for copy in present)
        episode(task, value)

    def note_switch() -> None:
        restarts[0] += 1
        switch()

    monkeypatch.setattr(watch, "stepped", note_step)
    monkeypatch.setattr(recorder, "episode", note_episode)
    monkeypatch.setattr(life.inside, "on_task_switch", note_switch)
    while life.clock.task < 4:
        life.advance()
        life.settle()
    if agent == "fresh+sb3/ppo":
        assert counted == [(task, restart) for task, restart in ended if task == restart]
        assert len(ended) - 40 < len(counted) < len(ended)
    else:
        assert counted == ended


def test_a_run_measures_fresh_before_it_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for owner, name in ((ControlLife, "measures"), (SB3Agent, "on_task_switch")):
        method = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda self, name=name, do=method: (order.append(name), do(self))[1]
        )
    lines = live(control("fresh+sb3/ppo"), tmp_path)
    found = [line["distance_from_init"] for line in lines if line["kind"] == "measure"]
    assert order == ["measures", "on_task_switch"] * len(found)
    assert len(found) >= 2 and min(found) > 0


def test_measures_are_of_the_latest_observations(tmp_path: Path) -> None:
    life = ControlLife(control(METHODS))
    assert life.measures() is None, "nothing was seen yet"
    seen: list[Any] = []
    for env in life.watch.envs:
        step = env.step
        env.step = lambda action, step=step: seen.append(step(action)) or seen[-1]  # type: ignore
    for _ in range(20):
        life.advance()
    assert np.array_equal(
        np.sort(life.watch.probe(), axis=0), np.sort([one[0] for one in seen][-1000:], axis=0)
    )
    values = life.measures()
    assert values is not None
    assert {"rarely_active_units", "srank_99_last", "mean_abs_weight", "largest_change"} <= set(
        values
    )
    assert "gradient_norm" not in values and values["largest_change"] > 0


def test_rare_units_are_those_active_on_at_most_one_in_a_hundred() -> None:
    shares = [np.array([0.0, 0.009, 0.01, 0.011, 1.0])]
    assert rarely_active_units(shares, at_most=True) == 3 / 5
    assert rarely_active_units(shares) == 2 / 5


def test_a_task_has_ten_bins_or_more_of_a_hundred_thousand_steps() -> None:
    assert [bins_of_steps(n) for n in (4, 80_000, 2_000_000, 1_950_000)] == [4, 10, 20, 20]


def test_scores_are_against_fresh_and_the_random_policy_of_each_task(tmp_path: Path) -> None:
    for agent in ("sb3/ppo", "fresh+sb3/ppo"):
        for seed in (0, 1, 2):
            config = control(agent, seeds=[seed])
            run_one(config, config.folder(tmp_path))
    scores = {one.agent: one for one in evaluation.score(evaluation.load(tmp_path))}
    own, fresh = scores["sb3/ppo"], scores["fresh+sb3/ppo"]
    assert own.outcome_name == "return" and own.fresh == fresh.label and fresh.is_reference
    assert fresh.privileges == ("task_switch",)
    runs = [run for run in evaluation.load(tmp_path) if run.config["agent"] == "sb3/ppo"]
    shares = [float(run.outcome[-1] <= run.anchor[-1]) for run in runs]
    assert own.collapse.estimate == pytest.approx(np.mean(shares))
    page = evaluation.report([tmp_path], tmp_path / "page.html").read_text()
    assert "Collapsed tasks" in page and "return, higher is better" in page


def test_plasticity_of_returns_is_skill_over_the_skill_of_fresh(tmp_path: Path) -> None:
    more: dict[str, Any] = {"problem": "continual_envs/DriftingCartPole-v0", "outcome": "return"}
    for seed in range(3):
        for agent, late in (("sb3/ppo", 60.0 + seed), ("fresh+sb3/ppo", 120.0 - seed)):
            reference = "fresh" if "fresh" in agent else None
            write_run(
                tmp_path, [50.0] * 9 + [late], agent=agent, seed=seed, anchor=20.0,
                reference=reference, **more,
            )  # fmt: skip
    scores = {one.agent: one for one in evaluation.score(evaluation.load(tmp_path))}
    assert scores["sb3/ppo"].plasticity.estimate == pytest.approx(41 / 99)
    assert scores["sb3/ppo"].collapse.estimate == 0


def test_a_task_without_an_end_of_an_episode_is_weighed_by_episodes(tmp_path: Path) -> None:
    config = {"problem": "x", "agent": "a", "seed": 0, "outcome": "return", "bins_per_task": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    lines = [
        {"kind": "online", "task": 0, "bin": 0, "updates": 0, "examples": 10, "return": 1.0,
         "episodes": 3, "anchor": 0.5},
        {"kind": "online", "task": 0, "bin": 1, "updates": 0, "examples": 90, "return": 5.0,
         "episodes": 1, "anchor": 0.5},
        {"kind": "online", "task": 1, "bin": 0, "updates": 0, "examples": 95, "return": None,
         "episodes": 0, "anchor": 0.5},
        {"kind": "online", "task": 1, "bin": 1, "updates": 0, "examples": 99, "return": 7.0,
         "episodes": 2, "anchor": 0.5},
    ]  # fmt: skip
    (tmp_path / "records.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (run,) = evaluation.load(tmp_path)
    assert run.outcome.tolist() == [2.0, 7.0] and run.anchor.tolist() == [0.5, 0.5]


def test_a_script_with_stable_baselines3_can_be_recorded(tmp_path: Path) -> None:
    env = gym.make(f"continual_envs/{CARTPOLE}", period=PERIOD)
    recorded = evaluation.Record(env, tmp_path / "mine", agent="mine", settings={"a": 1}, seed=4)
    PPO("MlpPolicy", recorded, seed=4, n_steps=64).learn(1200)
    recorded.close()
    (run,) = evaluation.load(tmp_path)
    assert len(run.tasks) >= 2 and run.config["problem_settings"]["period"] == PERIOD
    settings = {**PLAIN, "n_steps": 64, "batch_size": 64, "n_epochs": 10, "hidden": [64, 64]}
    own = live(control(settings=settings, tasks=2, seeds=[4]), tmp_path / "ours")
    ours = [line["return"] for line in own if line["kind"] == "online" and line["task"] < 2]
    mine = [line["return"] for line in records(tmp_path / "mine") if line["task"] < 2]
    assert mine == ours, "plain Stable-Baselines3 earns what sb3/ppo does"


@pytest.mark.parametrize(
    ("agent", "more", "complaint"),
    [
        ("backprop", {}, "agent: backprop learns from targets"),
        ("sb3/ppo", {"problem": "PermutedDigits-v0", "problem_settings": {}},
         "agent: sb3/ppo steps its environment itself"),
        ("sb3/pppo", {}, "agent: 'sb3/pppo' is not one of .*nearest: sb3/ppo"),
        ("sb3/ppo", {"engine": "fused"}, "engine: 'fused' is not allowed"),
        ("sb3/sac", {}, "problem: sb3/sac cannot use observations"),
        ("head-reset+sb3/ppo", {}, "needs to know the switches"),
        ("sb3/ppo", {"problem_settings": {"period": 0}}, "period: 0 is not allowed"),
        ("sb3/ppo", {"problem_settings": {"drift": "friction"}}, "drift: 'friction' is not one of"),
        ("sb3/a2c+equal-betas", {}, "equal-betas: RMSprop.* has no betas"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(agent: str, more: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        loop.build(control(agent, **more))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["TransformReward", "NormalizeReward"])
def test_a_changed_reward_is_not_recorded(kind: str, tmp_path: Path) -> None:
    """Its returns would stand beside the random policy's, which are not changed."""
    env = gym.make(f"continual_envs/{CARTPOLE}")
    more = {"func": lambda reward: 2 * reward} if kind == "TransformReward" else {}
    changed = gym.wrappers.TimeAwareObservation(getattr(gym.wrappers, kind)(env, **more))
    with pytest.raises(ValueError, match=f"^env: {kind} changes the reward; put it around Record"):
        evaluation.Record(changed, tmp_path / "mine", agent="mine")
    assert not (tmp_path / "mine").exists()


def test_a_collapse_of_a_run_that_diverged_is_not_denied(tmp_path: Path) -> None:
    for seed in (0, 1, 2):
        write_run(tmp_path, [5.0] * 19 + [float("nan")], outcome="return", seed=seed, anchor=1.0)
    (own,) = evaluation.score(evaluation.load(tmp_path))
    assert own.collapse.estimate is None and "finite" in own.collapse.note


def test_a_return_as_low_as_the_anchor_is_a_collapse(tmp_path: Path) -> None:
    more: dict[str, Any] = {"problem": "continual_envs/DriftingCartPole-v0", "outcome": "return"}
    for seed in range(3):
        write_run(tmp_path, [50.0] * 18 + [20.0, 21.0], agent="a", seed=seed, anchor=20.0, **more)
    (own,) = evaluation.score(evaluation.load(tmp_path))
    assert own.collapse.estimate == 0.5


def test_a_collapse_is_a_share(tmp_path: Path) -> None:
    for seed, late in ((0, 0.5), (1, 5.0), (2, 5.0)):
        write_run(tmp_path, [5.0] * 9 + [late], outcome="return", seed=seed, anchor=1.0)
    (own,) = evaluation.score(evaluation.load(tmp_path))
    assert own.collapse.estimate == pytest.approx(1 / 3)
    assert (own.collapse.low, own.collapse.high) == (0.0, 1.0)


def test_an_episode_that_is_broken_off_counts(tmp_path: Path) -> None:
    life = ControlLife(control(ACTOR))
    recorder, env = life.recorder(tmp_path), life.watch.envs[0]
    env.reset()
    for _ in range(40):
        env.step(0), env.step(1), env.reset()
    recorder.close()
    lines = online(tmp_path)
    assert sum(line["episodes"] for line in lines) >= 25
    assert all(line["return"] == 2.0 for line in lines)


def test_fresh_is_refused_where_it_would_be_told_too_late() -> None:
    with pytest.raises(ValueError, match="^period: 300 is not allowed for fresh.sb3/ppo, which"):
        ControlLife(control("fresh+sb3/ppo", settings={**PPO_NET, "n_steps": 256}))
    ControlLife(control(settings={**PPO_NET, "n_steps": 256}))


def test_updates_of_a_measure_are_those_so_far(tmp_path: Path) -> None:
    lines = live(control(tasks=2), tmp_path)
    place = next(i for i, line in enumerate(lines) if line["kind"] == "measure")
    assert lines[place]["updates"] == lines[place]["examples"] // 64 * 4


def test_an_acting_agent_is_told_of_switches_in_info(tmp_path: Path) -> None:
    config = control("tests.evaluation.plugins:told", problem_settings={
        "period": PERIOD, "disclosure": "signalled"})  # fmt: skip
    life = ControlLife(config)
    life.recorder(tmp_path)
    while life.clock.task < 3:
        life.advance()
    assert life.inside.switches == 3 and life.measures() is None


def test_an_episode_of_another_length_is_not_recorded(tmp_path: Path) -> None:
    env = gym.make(f"continual_envs/{CARTPOLE}", max_episode_steps=10)
    with pytest.raises(ValueError, match="^max_episode_steps: 10 is not allowed"):
        evaluation.Record(env, tmp_path / "mine", agent="mine")


def test_nor_is_it_run_in(tmp_path: Path) -> None:
    wrong = "tests.evaluation.plugins:mine/WrongLimit-v0"
    with pytest.raises(ValueError, match="^max_episode_steps: 300 is not allowed"):
        evaluation.run(wrong, ACTOR, tasks=1, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cycle_without_a_step_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as failed:
        evaluation.run(CARTPOLE, "tests.evaluation.plugins:Idle", tasks=1, out=tmp_path)
    assert "a cycle took no step" in str(failed.value.__cause__)


def test_the_problem_of_a_module_is_found_in_every_process(tmp_path: Path) -> None:
    problem = "tests.evaluation.plugins:mine/Cart-v0"
    evaluation.run(problem, ACTOR, seeds=[0, 1], tasks=1, jobs=2, out=tmp_path)
    assert [len(run.tasks) for run in evaluation.load(tmp_path)] == [1, 1]

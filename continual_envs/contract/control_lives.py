"""What a drifting environment promises over its life: repeat, resume, copies, members."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

import continual_envs
from continual_envs.contract.control_problem import (
    LIMIT,
    STEPS,
    ControlProblem,
    draw,
    live,
    results,
)
from continual_envs.contract.faults import not_plain, same, scribble
from continual_envs.contract.problem import SEED


def writing_to_results_is_harmless(problem: ControlProblem) -> Iterator[str]:
    """An agent that overwrites what it was given changes nothing of what comes."""
    clean, written = problem.env(), problem.env()
    generator = np.random.default_rng(0)
    returned = [env.reset(seed=SEED) for env in (clean, written)]
    for count in range(STEPS):
        if not same(*returned):
            yield f"writing: overwriting what was returned changed the result of call {count}"
            return
        ended = len(returned[0]) == 5 and (returned[0][2] or returned[0][3])
        observation, *_, info = returned[1]
        scribble(observation, *info.values())
        info.clear()
        action = draw(clean.action_space, generator)
        returned = [env.reset() if ended else env.step(action) for env in (clean, written)]


def equal_seeds_repeat(problem: ControlProblem) -> Iterator[str]:
    """`reset(seed=s)` starts stream s again, in a new environment or after other tasks."""
    env = problem.env()
    runs = [results(live(env, seed=SEED)) for _ in range(2)]
    if not same(*runs):
        yield f"reset: reset(seed={SEED}) twice in one environment starts two different streams"
    elif not same(runs[0], results(live(problem.env(), seed=SEED))):
        yield f"reset: reset(seed={SEED}) in two environments starts two different streams"


def state_can_be_restored(problem: ControlProblem) -> Iterator[str]:
    """A new environment with the state of one goes on as that one does, in its physics."""
    for name, place in (("within an episode", _within), ("after a switch of task", _switched)):
        env = problem.env()
        place(env)
        state = continual_envs.state_dict(env)
        if odd := not_plain(state):
            yield f"state_dict: holds a {odd}; give arrays, numbers and strings"
            return
        snapshot = copy.deepcopy(state)
        following = live(env)
        if not same(state, snapshot):
            yield "state_dict: the state changed when its environment went on: copy its arrays"
            return
        restored = problem.env()
        continual_envs.load_state_dict(restored, state)
        if not same(results(following), results(live(restored))):
            yield f"state_dict: a new environment with the state of one {name} goes on differently"
            return


def copies_share_a_stream(problem: ControlProblem) -> Iterator[str]:
    """Copies show one stream, with noise of their own, and their steps count together."""
    n = 3
    envs: list[Any] = continual_envs.copies(
        problem.spec.id, n, max_episode_steps=LIMIT, **problem.settings
    )
    generator = np.random.default_rng(0)
    first = [env.reset(seed=SEED + i)[0] for i, env in enumerate(envs)]
    bases = [env.unwrapped for env in envs]
    if any(base.stream.seed != SEED for base in bases):
        yield f"copies: of seeds {SEED} + i show streams {[base.stream.seed for base in bases]}"
        return
    if same(first[0], first[1]):
        yield "copies: two of one stream begin with the same observation"
        return
    stream, tasks, steps = bases[0].stream, [0] * n, 0
    for _ in range(STEPS // n):
        for i, env in enumerate(envs):
            *_, terminated, truncated, _ = env.step(draw(env.action_space, generator))
            steps += 1
            if bases[i].clock.examples != steps:
                yield f"copies: {bases[i].clock.examples} steps counted, all took {steps}"
                return
            if terminated or truncated:
                tasks[i] += steps >= stream.start(tasks[i] + 1)
                env.reset()
            if [base.clock.task for base in bases] != tasks:
                found = [base.clock.task for base in bases]
                yield f"copies: in tasks {found} after step {steps}, not {tasks}"
                return


def members_are_singles(problem: ControlProblem) -> Iterator[str]:
    """Member i of a native vector environment of seed s is the environment of seed s + i."""
    if problem.spec.vector_entry_point is None:
        return
    members = 2
    env: Any = gym.make_vec(
        problem.spec.id,
        members,
        vectorization_mode="vector_entry_point",
        max_episode_steps=LIMIT,
        **problem.settings,
    )
    singles = [problem.env() for _ in range(members)]
    generator = np.random.default_rng(0)
    shown, _ = env.reset(seed=SEED)
    expected = [single.reset(seed=SEED + i)[0] for i, single in enumerate(singles)]
    ended = [False] * members
    for count in range(STEPS):
        if not same(shown, np.stack(expected)):
            yield f"vector: observation {count} of seed {SEED} is not that of singles of {SEED} + i"
            return
        actions = [draw(single.action_space, generator) for single in singles]
        shown, rewards, *_ = env.step(np.stack(actions))
        for i, single in enumerate(singles):  # autoreset is in the step after an end
            reward = 0.0
            if ended[i]:
                expected[i], ended[i] = single.reset()[0], False
            else:
                expected[i], reward, terminated, truncated, _ = single.step(actions[i])
                ended[i] = terminated or truncated
            if rewards[i] != reward:
                yield f"vector: reward of step {count} is not that of singles of {SEED} + i"
                return


def _within(env: Any) -> None:
    live(env, LIMIT // 2, SEED)


def _switched(env: Any) -> None:
    """Stop right after the reset that begins task 2."""
    env.reset(seed=SEED)
    generator = np.random.default_rng(0)
    while env.unwrapped.clock.task < 2:
        *_, terminated, truncated, _ = env.step(draw(env.action_space, generator))
        if terminated or truncated:
            env.reset()

"""What a problem promises over its life: repeat, resume, batches, members, an end."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium.utils.env_checker import check_env

import continual_envs
from continual_envs.contract.control_problem import ControlProblem
from continual_envs.contract.faults import not_plain, same
from continual_envs.contract.problem import SEED, Problem, draw, walk


def state_can_be_restored(problem: Problem) -> Iterator[str]:
    """A new environment with the state of one within a task goes on as that one does."""
    env = problem.env()
    for _ in walk(env, SEED, steps=6):
        pass
    state = continual_envs.state_dict(env)
    if odd := not_plain(state):
        yield f"state_dict: holds a {odd}; give arrays, numbers and strings"
        return
    snapshot = copy.deepcopy(state)
    following = _future(env)
    if not same(state, snapshot):
        yield "state_dict: the state changed when its environment went on: copy its arrays"
        return
    restored = problem.env()
    continual_envs.load_state_dict(restored, state)
    if not same(following, _future(restored)):
        yield "state_dict: a new environment with another's state goes on differently"


def _future(env: Any) -> list[Any]:
    """Return what comes next, over a switch of task and into the stream after it."""
    shown = np.array(env.unwrapped.observe())
    taken = [(step.shown, step.result) for step in walk(env)]
    return [shown, taken, copy.deepcopy(env.reset()), [step.result for step in walk(env, steps=4)]]


def equal_seeds_repeat(problem: Problem) -> Iterator[str]:
    """`reset(seed=s)` starts stream s again; `reset()` starts one that s decides."""
    env = problem.env()
    runs = []
    for _ in range(2):
        runs.append([copy.deepcopy(env.reset(seed=SEED)), [s.result for s in walk(env, steps=4)]])
        runs[-1].append([copy.deepcopy(env.reset()), [s.result for s in walk(env, steps=4)]])
    if not same(*runs):
        yield f"reset: reset(seed={SEED}) twice in one environment starts two different streams"


def batch_of_one_is_single(problem: Problem) -> Iterator[str]:
    """`batch_size=1` differs from no batch by an axis of length one."""
    single, batch = (walk(problem.env(batch_size=size), SEED) for size in (None, 1))
    for one, many in zip(single, batch, strict=True):
        pairs = [
            (np.asarray(one.shown)[None], many.shown),
            (np.reshape(one.result[4]["target"], -1), many.result[4]["target"]),
        ]
        if not all(np.array_equal(a, b) for a, b in pairs) or one.result[1] != many.result[1]:
            yield f"batch_size: a batch of one is not the single example {one.position}"
            return


def members_are_singles(problem: Problem) -> Iterator[str]:
    """Member i of a native vector environment of seed s is the environment of seed s + i."""
    members = 3
    env = problem.vector(members)
    if env is None:
        return
    singles = [problem.env() for _ in range(members)]
    generator = np.random.default_rng(0)
    shown, info = env.reset(seed=SEED)
    results: list[tuple[Any, ...]] = [one.reset(seed=SEED + i) for i, one in enumerate(singles)]
    for count in range(20):
        told = [result[-1] for result in results]
        if not np.array_equal(shown, np.stack([result[0] for result in results])):
            yield f"vector: observation {count} of seed {SEED} is not that of singles of {SEED} + i"
            return
        for key in told[0]:
            if not np.array_equal(info.get(key), np.stack([one[key] for one in told])):
                yield f"vector: info[{key!r}] {count} is not that of singles of {SEED} + i"
                return
        actions = [draw(single.action_space, generator) for single in singles]
        shown, values, *_, info = env.step(np.stack(actions))
        results = [one.step(action) for one, action in zip(singles, actions, strict=True)]
        if not np.allclose(values, [result[1] for result in results]):
            yield f"vector: reward of step {count} is not that of singles of {SEED} + i"
            return


def finite_streams_truncate(problem: Problem) -> Iterator[str]:
    """`num_tasks` ends the stream with a valid step, and a further one raises."""
    env = problem.env(num_tasks=1)
    env.reset(seed=SEED)
    base, generator = env.unwrapped, np.random.default_rng(0)
    batch, size = base.batch_size or 1, base.stream.length(0)
    last = min(3, size // batch)
    if size > last * batch:
        base.read(size - last * batch)
    ends = []
    for _ in range(last):
        observation, _, terminated, truncated, _ = env.step(draw(env.action_space, generator))
        ends.append((terminated, truncated))
    if ends != [(False, False)] * (last - 1) + [(False, True)]:
        yield f"num_tasks: the last steps of one task give (terminated, truncated) {ends}"
    elif observation not in env.observation_space:
        yield "num_tasks: the last observation is not within the observation space"
    else:
        try:
            env.step(draw(env.action_space, generator))
        except Exception:
            return
        yield "num_tasks: a step after the end of the stream does not raise"


def gymnasium_checker(problem: Problem | ControlProblem) -> Iterator[str]:
    """Gymnasium's own `check_env` passes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(problem.env().unwrapped, skip_render_check=True)
    yield from ()

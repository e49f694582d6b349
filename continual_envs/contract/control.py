"""What a drifting environment promises: pure values, switches at episode ends, a hidden drift."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from continual_envs.contract.control_problem import (
    LIMIT,
    STEPS,
    ControlProblem,
    draw,
    live,
    results,
)
from continual_envs.contract.environments import DISCLOSED
from continual_envs.contract.faults import global_generators_used, same
from continual_envs.contract.problem import SEED
from continual_envs.control.changes import LogUniform
from continual_envs.control.drift import DriftEnv

TASKS = range(4)


def environments_run(problem: ControlProblem) -> Iterator[str]:
    """An environment can be made, reset and stepped through, within its spaces."""
    env = problem.env()
    if not isinstance(env.unwrapped, DriftEnv):
        yield f"environment: {type(env.unwrapped).__name__} is not a DriftEnv"
        return
    limit, body = problem.spec.max_episode_steps, env.unwrapped.stream.body
    if limit != body.episode_steps:
        yield f"max_episode_steps: {limit} registered, but episode_steps is {body.episode_steps}"
        return
    kept: list[tuple[Any, Any]] = []
    generator = np.random.default_rng(0)
    returned, length = env.reset(seed=SEED), 2
    for count in range(STEPS):
        if not isinstance(returned, tuple) or len(returned) != length:
            yield f"environment: call {count} does not return a tuple of {length}"
            return
        observation = returned[0]
        if observation not in env.observation_space:
            yield f"observation: {count} is not within {env.observation_space}"
            return
        if kept and np.shares_memory(kept[-1][0], observation):
            yield f"buffer: observation {count} is in memory returned before"
            return
        kept.append((observation, np.array(observation)))
        ended = length == 5 and (returned[2] or returned[3])
        if ended:
            returned, length = env.reset(), 2
        else:
            returned, length = env.step(draw(env.action_space, generator)), 5
    if not all(same(*pair) for pair in kept):
        yield "buffer: an observation that had been returned was changed by a later step"


def global_generators(problem: ControlProblem) -> Iterator[str]:
    """Everything random comes from generators of the problem's own."""

    def exercise() -> Any:
        env = problem.env()
        lived = results(live(env, seed=SEED))
        stream = env.unwrapped.stream
        return lived, stream.value(1), stream.start(2)

    yield from global_generators_used(exercise, "making an environment and living in it")


def tasks_are_pure(problem: ControlProblem) -> Iterator[str]:
    """Value and length of a task depend on seed and index, on nothing else, and add up."""
    stream = problem.stream()
    in_order = [_content(stream, index) for index in TASKS]
    if not same(in_order, [_content(stream, index) for index in TASKS]):
        yield "value: of tasks 0 to 3 asked twice of one stream gives two answers"
        return
    stream = problem.stream()
    if not same(in_order[::-1], [_content(stream, index) for index in reversed(TASKS)]):
        yield "value: of tasks 3 to 0 asked in this order is not what it is in the other"
        return
    starts = [stream.start(index) for index in range(len(TASKS) + 1)]
    lengths = [stream.length(index) for index in TASKS]
    if starts[0] != 0 or min(lengths) < 1 or np.diff(starts).tolist() != lengths:
        yield f"length: tasks start at {starts}, their lengths are {lengths}"
    elif not all(np.isfinite(stream.value(index)).all() for index in TASKS):
        yield "value: not finite in tasks 0 to 3"


def seeds_differ(problem: ControlProblem) -> Iterator[str]:
    """Streams of two seeds have two sequences of values, and hashes tell them apart."""
    streams = [problem.stream(seed) for seed in (0, 1)]
    values = [[stream.value(index) for index in TASKS] for stream in streams]
    if all(same(value, values[0][0]) for value in values[0]):
        return  # nothing drifts
    if same(*values):
        yield "seed: ignored: the streams of seeds 0 and 1 have the same values in tasks 0 to 3"
    elif streams[0].content_hash(TASKS) == streams[1].content_hash(TASKS):
        yield "content_hash: the same for seeds 0 and 1, which differ"
    elif streams[0].content_hash(TASKS) != problem.stream().content_hash(TASKS):
        yield "content_hash: differs between two streams of one seed"


def anchors_are_pure(problem: ControlProblem) -> Iterator[str]:
    """The random policy's return depends on seed and index, and leaves the environment alone."""
    env, other = problem.env(), problem.env()
    live(env, LIMIT // 2, SEED), live(other, LIMIT // 2, SEED)
    stream = env.unwrapped.stream
    anchors: list[float] = []

    def exercise() -> float:
        anchors.append(stream.anchor(1))
        return anchors[-1]

    yield from global_generators_used(exercise, "asking for an anchor")
    if not np.isfinite(anchors[0]):
        yield f"anchor: of task 1 is {anchors[0]}, not a finite number"
    elif not same(anchors[0], anchors[-1]):
        yield "anchor: of task 1 asked twice gives two answers"
    elif not same(results(live(env)), results(live(other))):
        yield "anchor: asking for it changed what the environment does next"


def switches_fall_at_episode_ends(problem: ControlProblem) -> Iterator[str]:
    """A task ends with the first episode to end at or after its last step; `reset()` goes on."""
    env = problem.env()
    moments, stream = live(env, seed=SEED), env.unwrapped.stream
    task = steps = began = 0
    for moment in moments[1:]:
        due = moment.reset and steps >= stream.start(task + 1)
        steps += not moment.reset
        if due:
            task, began = task + 1, steps
        now = moment.clock
        call = "reset()" if moment.reset else "step"
        if now.examples != steps:
            yield f"clock: {now.examples} steps after {call}, {steps} were taken in this stream"
        elif now.task != task:
            yield f"switch: {call} at step {steps} leads to task {now.task}, not {task}"
        elif now.example != steps - began:
            yield f"clock: {now.example} steps of task {task} after {call}, not {steps - began}"
        else:
            continue
        return
    if env.unwrapped.stream.seed != SEED:
        yield f"reset: reset() leads from stream {SEED} to stream {env.unwrapped.stream.seed}"


def infos_disclose_what_is_promised(problem: ControlProblem) -> Iterator[str]:
    """`info` has the simulator's entries and what the level of disclosure promises, right."""
    hidden = live(problem.env(disclosure="hidden"), seed=SEED)
    for level, keys in DISCLOSED.items():
        task = 0
        for bare, moment in zip(
            hidden, live(problem.env(disclosure=level), seed=SEED), strict=True
        ):
            told = moment.info.keys() - (bare.info.keys() - {"task_switch", "task"})
            right = {"task_switch": moment.clock.task > task, "task": moment.clock.task}
            task = moment.clock.task
            if told != keys:
                odd = ", ".join(sorted(told ^ keys))
                yield f"info: {odd} told or missing against the promise (disclosure={level!r})"
                return
            for key in keys:
                if type(moment.info[key]) is not type(right[key]) or moment.info[key] != right[key]:
                    yield (
                        f"info: {key!r} is {moment.info[key]!r} at step {moment.clock.examples}, "
                        f"not {right[key]!r} (disclosure={level!r})"
                    )
                    return


def the_drift_is_not_shown(problem: ControlProblem) -> Iterator[str]:
    """Neither an observation nor an info has an entry that is the value of the drift."""
    env = problem.env(disclosure="hidden")
    moments, stream = live(env, seed=SEED), env.unwrapped.stream
    values = [stream.value(moment.clock.task) for moment in moments]
    if np.ndim(values[0]) or len(set(values)) < 2:
        return
    for key in moments[-1].info:
        told = [moment.info.get(key) for moment in moments if key in moment.info]
        due = [v for v, moment in zip(values, moments, strict=True) if key in moment.info]
        if all(isinstance(value, int | float) for value in told) and len(set(due)) > 1:
            if np.allclose(np.array(told), due, rtol=1e-5, atol=0):
                yield f"leak: info[{key!r}] is the value of the drift"
    shown = np.array([np.ravel(moment.result[0]) for moment in moments])
    for column in np.flatnonzero(np.isclose(shown.T, values, rtol=1e-5, atol=0).all(axis=1)):
        yield f"leak: entry {column} of the observation is the value of the drift"


def the_drift_acts(problem: ControlProblem) -> Iterator[str]:
    """Equal values give equal trajectories, and the ends of the range different ones."""
    change, drift = problem.env().unwrapped.stream.change, problem.env().unwrapped.stream.drift
    if not isinstance(change, LogUniform) or change.low == change.high:
        return
    ends = (change.low, change.low, change.high)
    lived = [results(live(problem.env(low=end, high=end), seed=SEED)) for end in ends]
    if not same(lived[0], lived[1]):
        yield f"drift: {drift} of {ends[0]:g} in two environments gives two trajectories"
    elif same(lived[0], lived[2]):
        yield f"drift: {drift} of {ends[0]:g} and of {ends[2]:g} give the same trajectory"


def _content(stream: Any, index: int) -> tuple[Any, ...]:
    return stream.value(index), stream.length(index), stream.start(index)

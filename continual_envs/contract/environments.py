"""What a problem promises step by step: one data path, disclosure, results of their own memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from continual_envs.contract.faults import global_generators_used, same, scribble
from continual_envs.contract.problem import SEED, Problem, draw, walk
from continual_envs.core import Stream
from continual_envs.environment import rewards

DISCLOSED: dict[str, set[str]] = {
    "hidden": set(),
    "signalled": {"task_switch"},
    "identified": {"task_switch", "task"},
}


def global_generators(problem: Problem) -> Iterator[str]:
    """Everything random comes from generators of the problem's own."""

    def exercise() -> Any:
        stream = problem.stream()
        task, chunk = stream.task(1), stream.chunk(0, 20)
        taken = [step.result for step in walk(problem.env(), SEED, steps=10)]
        return chunk.examples(), np.array(chunk.targets), np.array(task.targets), taken

    yield from global_generators_used(exercise, "making a stream and stepping through it")


def environments_run(problem: Problem) -> Iterator[str]:
    """An environment can be made, reset and stepped through."""
    env = problem.env()
    first = env.reset(seed=SEED)
    later = env.step(draw(env.action_space, np.random.default_rng(0)))
    for name, result, length in (("reset", first, 2), ("step", later, 5)):
        if not isinstance(result, tuple) or len(result) != length:
            yield f"environment: {name} does not return a tuple of {length}"
            return
    for _ in walk(env, SEED):
        pass


def steps_read_the_chunk(problem: Problem) -> Iterator[str]:
    """`step` shows and scores the stream's chunk one step at a time, and so does `read`."""
    env, reader = problem.env(), problem.env().unwrapped
    reader.reset(seed=SEED)
    stream, batch = reader.stream, reader.batch_size or 1
    seen = list(walk(env, SEED))
    coming = [stream.chunk(step.position + batch, batch) for step in seen]
    present = [stream.chunk(step.position, batch) for step in seen]
    if all(
        np.array_equal(np.reshape(step.result[4].get("target"), -1), chunk.targets)
        for step, chunk in zip(seen, coming, strict=True)
    ) and not all(same(a.targets, b.targets) for a, b in zip(present, coming, strict=True)):
        yield "leak: info['target'] is that of the observation it comes with, not yet predicted"
        return
    for step, chunk in zip(seen, present, strict=True):
        observation, reward, terminated, truncated, info = step.result
        where = f"at example {step.position} of seed {SEED}"
        values = rewards(np.reshape(step.action, -1), chunk.targets, stream.classes)
        shown = np.reshape(step.shown, (batch, *stream.inputs_shape))
        if not np.array_equal(shown, chunk.examples()):
            yield f"observation: {where} is not that of the stream's chunk"
        elif observation not in env.observation_space:
            yield f"observation: after {where} is not within {env.observation_space}"
        elif not np.array_equal(np.reshape(info["target"], -1), chunk.targets):
            yield f"info: 'target' {where} is {info['target']}, not the chunk's {chunk.targets}"
        elif type(reward) is not float or not math.isclose(reward, values.mean(), rel_tol=1e-6):
            yield f"reward: {where} is {reward!r}, not the Python float {float(values.mean())!r}"
        elif terminated is not False or truncated is not False:
            yield f"terminated, truncated: {where} are {terminated}, {truncated}, not False, False"
        else:
            continue
        return
    n = 7 * batch
    for start in (0, n):
        chunk, expected = reader.read(n), stream.chunk(start, n)
        parts = (chunk.examples(), chunk.targets), (expected.examples(), expected.targets)
        if not same(*parts) or reader.clock.examples != start + n:
            yield f"read: read({n}) at example {start} is not the stream's chunk({start}, {n})"
            return


def infos_disclose_what_is_promised(problem: Problem) -> Iterator[str]:
    """`info` has what protocol and level of disclosure promise, right, and no target to come."""
    for level, keys in DISCLOSED.items():
        env = problem.env(disclosure=level)
        infos = [copy.deepcopy(env.reset(seed=SEED)[1])]
        stream, batch = env.unwrapped.stream, env.unwrapped.batch_size or 1
        positions = [0]
        for step in walk(env, SEED):
            infos.append(step.result[4])
            positions.append(step.position + batch)
        coming = [stream.chunk(position, batch).targets for position in positions]
        promised = [_promised(stream, position, keys) for position in positions]
        found = _odd_keys(promised, infos, coming) or _wrong_values(promised, infos, positions)
        if found:
            yield from (f"{fault} (disclosure={level!r})" for fault in found)
            return


def _promised(stream: Stream, position: int, keys: set[str]) -> dict[str, Any]:
    """Return what is to be told with the observation at a position, but for the target."""
    task, example = stream.locate(position)
    by_level = {"task_switch": task > 0 and example == 0, "task": task}
    return stream.privileges(task, example) | {key: by_level[key] for key in keys}


def _odd_keys(
    promised: list[dict[str, Any]], infos: list[dict[str, Any]], coming: list[Any]
) -> list[str]:
    """Return a fault for each key that should not be there, or that is missing somewhere.

    Args:
        promised: what every info is to have; beyond it "target" is in that of every step.
        infos: in order; the first is reset's.
        coming: the targets of the observations that came with `infos`.
    """
    found = []
    varied = any(not np.array_equal(targets, coming[0]) for targets in coming)
    for key in sorted({"target", *(key for info in (*promised, *infos) for key in info)}):
        having = [i for i, info in enumerate(infos) if key in info]
        due = [i for i in range(len(infos)) if (i > 0 if key == "target" else key in promised[i])]
        own = key == "target" and 0 not in having
        told = all(np.array_equal(np.reshape(infos[i][key], -1), coming[i]) for i in having)
        if having and told and varied and not own:
            found.append(f"leak: info[{key!r}] is the target of the observation that it comes with")
        elif not set(due) <= set(having):
            found.append(f"info: {key!r} is not in every info that should have it")
        elif having != due:
            found.append(f"info: {key!r} is disclosed, which is not promised")
    return found


def _wrong_values(
    promised: list[dict[str, Any]], infos: list[dict[str, Any]], positions: list[int]
) -> list[str]:
    for right, info, position in zip(promised, infos, positions, strict=True):
        for key, value in right.items():
            if not np.array_equal(info[key], value):
                return [f"info: {key!r} is {info[key]} at example {position}, not {value}"]
    return []


def observations_are_new_arrays(problem: Problem) -> Iterator[str]:
    """What was returned stays as it was: no buffer is used again."""
    env = problem.env()
    observation, _ = env.reset(seed=SEED)
    kept: list[tuple[str, Any]] = [("observation", observation)]
    generator = np.random.default_rng(0)
    copies = [np.array(observation)]
    for count in range(1, 11):
        observation, *_, info = env.step(draw(env.action_space, generator))
        for name, array in (("observation", observation), ("target", info["target"])):
            if not isinstance(array, np.ndarray):
                continue
            if any(np.shares_memory(array, other) for _, other in kept):
                yield f"buffer: step {count} returned an {name} in memory returned before"
                return
            kept.append((name, array))
            copies.append(np.array(array))
    for (name, array), copied in zip(kept, copies, strict=True):
        if not same(array, copied):
            yield f"buffer: an {name} that had been returned was changed by a later step"
            return


def writing_to_results_is_harmless(problem: Problem) -> Iterator[str]:
    """An agent that overwrites what it was given changes nothing of what comes."""
    clean, written = problem.env(), problem.env()
    generator = np.random.default_rng(0)
    results = [env.reset(seed=SEED) for env in (clean, written)]
    for count in range(20):
        if not same(*results):
            yield f"writing: overwriting what was returned changed the result of step {count}"
            return
        observation, *_, info = results[1]
        scribble(observation, *info.values())
        info.clear()
        action = draw(clean.action_space, generator)
        results = [env.step(copy.deepcopy(action)) for env in (clean, written)]

"""Speed of the environments beside bare numpy loops: `python benchmarks/environments.py`.

One core, CPU time, all of one run; no agent, and the same action at every step. Forms take turns,
five times: times are medians, ratios the median of the rounds'. An environment is stepped through
whole tasks, whose making counts; a bare loop is given its arrays ready. Needs MNIST
(`continual-envs data fetch mnist`).
"""

from __future__ import annotations

import argparse
import csv
import inspect
import itertools
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy is imported

import gymnasium as gym
import numpy as np
from clock import clocked

import continual_envs
from continual_envs.core import Task
from continual_envs.registration import NAMESPACE, PROBLEMS
from continual_envs.transforms import Pixels

ROUNDS, STEPS, MEMBERS = 5, 60_000, 64

TARGETS = {  # (problem, form): in words, and whether (examples a second, ratio) reach it
    ("PermutedMNIST-v0", "gym.make"): (
        "200,000 a second or 60 % of the bare loop",
        lambda speed, ratio: speed >= 2e5 or ratio >= 0.6,
    ),
    ("PermutedMNIST-v0", "gym.make_vec"): ("400,000 a second", lambda speed, ratio: speed >= 4e5),
}


def images_loop(images, labels, rows, columns, divisor, action, steps):
    for i in range(steps):
        x = images[rows[i]][columns] / divisor
        y = labels[rows[i]]
        reward = float(action == y)
    return x, reward


def values_loop(inputs, targets, action, steps):
    for i in range(steps):
        x = inputs[i].copy()
        y = targets[i]
        reward = -float((action - y) ** 2)
    return x, reward


def images_members_loop(images, labels, rows, columns, divisor, actions, steps):
    for i in range(steps):
        x = images[rows[i, :, None], columns] / divisor
        y = labels[rows[i]]
        reward = (actions == y).astype(np.float64)
    return x, reward


def values_members_loop(inputs, targets, actions, steps):
    for i in range(steps):
        x = inputs[i].copy()
        y = targets[i]
        reward = -((actions - y) ** 2)
    return x, reward


def copy_loop(ready, steps):
    for i in range(steps):
        x = ready[i % len(ready)].copy()
    return x


LOOPS = (images_loop, values_loop, images_members_loop, values_members_loop, copy_loop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="a CSV file")
    parsed = parser.parse_args()
    print("\n\n".join(map(inspect.getsource, LOOPS)))
    rows = [row for problem in PROBLEMS for row in table(problem)]
    if parsed.out:
        with parsed.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def table(problem: str) -> list[dict[str, Any]]:
    """Measure every form of one problem and print it."""
    id = f"{NAMESPACE}/{problem}"
    several = {"num_envs": MEMBERS}
    bare, members, copy = bare_loops(gym.make_vec(id, **several).unwrapped.streams)
    forms: dict[str, tuple[str, Callable[[], float]]] = {
        "bare loop": ("bare loop", bare),
        "gym.make": ("bare loop", stepping(gym.make(id))),
        "gym.make, identified": ("bare loop", stepping(gym.make(id, disclosure="identified"))),
        "gym.make, no checker": ("bare loop", stepping(gym.make(id, disable_env_checker=True))),
        "gym.make, unwrapped": ("bare loop", stepping(gym.make(id).unwrapped)),
        "bare loop, members": ("bare loop, members", members),
        "gym.make_vec": ("bare loop, members", stepping(gym.make_vec(id, **several))),
        "gym.make_vec, identified": (
            "bare loop, members",
            stepping(gym.make_vec(id, **several, disclosure="identified")),
        ),
        "copies out of a ready block": ("bare loop, members", copy),
    }
    rounds = [{form: measure() for form, (_, measure) in forms.items()} for _ in range(ROUNDS)]
    print(f"{problem:<30}{'a second':>24}{'us':>8}{'ratio':>8}  (lowest, highest) beside")
    rows = [row(problem, form, beside, rounds) for form, (beside, _) in forms.items()]
    inside = statistics.median(each["gym.make, unwrapped"] / each["gym.make"] for each in rounds)
    print(f"  {1 - inside:.0%} of a step of gym.make is spent in its wrappers", flush=True)
    return rows


def row(problem: str, form: str, beside: str, rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Print and return one row; a ratio above 1 is faster than what it stands beside."""
    spent = statistics.median(each[form] for each in rounds)
    ratios = sorted(each[beside] / each[form] for each in rounds)
    speed, ratio = 1e6 / spent, statistics.median(ratios)
    target, reached = TARGETS.get((problem, form), ("", lambda *_: None))
    met = {True: "reached", False: "missed", None: ""}[reached(speed, ratio)]
    span = f"({ratios[0]:.2f}, {ratios[-1]:.2f})"
    print(f"  {form:<28}{speed:>24,.0f}{spent:>8.2f}{ratio:>8.2f}  {span} {beside}", end="")
    print(f"; {target}: {met}" if target else "", flush=True)
    return {
        "problem": problem,
        "form": form,
        "examples_per_second": round(speed),
        "microseconds": round(spent, 3),
        "ratio": round(ratio, 3),
        "lowest": round(ratios[0], 3),
        "highest": round(ratios[-1], 3),
        "beside": beside,
        "target": target,
        "reached": met,
        "numpy": np.__version__,
        "gymnasium": gym.__version__,
        "continual_envs": continual_envs.__version__,
    }


def stepping(env: Any) -> Callable[[], float]:
    """Return what measures an environment: microseconds an example of whole tasks."""
    base = env.unwrapped
    members = getattr(base, "num_envs", 1)
    length = (base.streams[0] if members > 1 else base.stream).examples_per_task
    steps = -(-STEPS // length) * length
    action = 3 if env.action_space.shape == () else np.zeros_like(env.action_space.sample())

    def walk() -> None:
        step = env.step
        for _ in itertools.repeat(None, steps):
            step(action)

    def measure() -> float:
        env.reset(seed=0)
        return clocked(walk) / (steps * members)

    return measure


def bare_loops(streams: list[Any]) -> tuple[Callable[[], float], ...]:
    """Return what measures the loops over the first task's arrays: of one, of all, and copies."""
    tasks: list[Task] = [stream.task(0) for stream in streams]
    first, steps = tasks[0], min(STEPS, streams[0].examples_per_task)
    inputs, targets = first.inputs, first.targets
    few = min(steps, 1500)
    if isinstance(first.transform, Pixels):
        labels = np.empty(len(inputs), np.int64)
        labels[first.rows] = targets
        columns, divisor = first.transform.columns, np.float32(first.transform.divisor)
        one = images_loop, (inputs, labels, first.rows, columns, divisor, 3)
        rows = np.stack([task.rows for task in tasks], axis=1)
        columns = np.stack([task.transform.columns for task in tasks])
        many = images_members_loop, (inputs, labels, rows, columns, divisor, np.full(MEMBERS, 3))
    else:
        one = values_loop, (inputs, targets, 0.0)
        shown = np.stack([task.inputs[task.rows] for task in tasks], axis=1)
        answers = np.stack([task.targets for task in tasks], axis=1)
        many = values_members_loop, (shown, answers, np.zeros(MEMBERS))
    ready = np.ones((64, MEMBERS, *streams[0].inputs_shape), np.float32)

    def measure(loop: Callable[..., Any], arguments: Any, steps: int, members: int) -> float:
        repeats = -(-STEPS // 2 // (steps * members))
        spent = (clocked(lambda: loop(*arguments, steps)) for _ in range(repeats))
        return sum(spent) / (repeats * steps * members)

    return (
        lambda: measure(*one, steps, 1),
        lambda: measure(*many, few, MEMBERS),
        lambda: measure(copy_loop, (ready,), few, MEMBERS),
    )


if __name__ == "__main__":
    main()

"""Peak memory of runs on images, besides torch: `python benchmarks/memory.py`.

Each row is of a process of its own: its peak less what it had when torch was imported, in MB.
"run": continual backprop on the laptop's network, four tasks of two passes each. "task": a batch of
the last task is read at the published number of passes, whose orders are the largest arrays there
are, after one of the task before it. Writes benchmarks/results/memory.csv.
"""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

# A problem and its last task; of Continual ImageNet all tasks are alike.
PROBLEMS = {"ContinualImageNet-v0": 1, "ProceduralPairs-v0": 1, "IncrementalCIFAR100-v0": 19}
RESULTS = Path(__file__).parent / "results" / "memory.csv"


def besides_torch(work: Callable[[str], None], problem: str) -> float:
    """Return the MB that a piece of work takes at most, in this process."""
    importlib.import_module("torch._dynamo")  # torch imports it when an optimizer is made
    before = peak()
    work(problem)
    return peak() - before


def peak() -> float:
    """Return the peak memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(problem: str) -> None:
    """Run four tasks."""
    from evaluation.config import configure
    from evaluation.loop import run_one

    (config,) = configure(
        problem, "continual-backprop", problem_settings={"epochs": 2}, tasks=4, measure_every=1
    )
    with tempfile.TemporaryDirectory() as out:
        run_one(config, Path(out))


def task(problem: str) -> None:
    """Read a batch each of the last two tasks."""
    import gymnasium as gym

    from continual_envs.environment import StreamEnv

    env = gym.make(f"continual_envs/{problem}").unwrapped
    assert isinstance(env, StreamEnv) and env.batch_size is not None
    last = PROBLEMS[problem]
    for index in (last - 1, last):
        env.stream.chunk(env.stream.start(index), env.batch_size).examples()


def main() -> None:
    from evaluation.export import write_csv

    context, rows = multiprocessing.get_context("spawn"), []
    for problem in PROBLEMS:
        for work in (run, task):
            with context.Pool(1) as pool:
                mb = pool.apply(besides_torch, (work, problem))
            rows.append({"problem": problem, "what": work.__name__, "peak_mb": round(mb)})
            print("  ".join(map(str, rows[-1].values())), flush=True)
    write_csv(rows, RESULTS)


if __name__ == "__main__":
    main()

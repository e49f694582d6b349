"""Peak memory of runs on images, besides torch: `python benchmarks/memory.py`.

Each run is in a process of its own: four tasks, two passes each, continual backprop on the laptop's
network. Printed is the peak of the process less what it had when torch was imported, in MB.
"""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import tempfile
from pathlib import Path

PROBLEMS = ("ContinualImageNet-v0", "ProceduralPairs-v0", "IncrementalCIFAR100-v0")


def peak() -> float:
    """Return the peak memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(problem: str) -> float:
    """Return the MB that a run takes besides torch."""

    importlib.import_module("torch._dynamo")  # torch imports it when an optimizer is made
    before = peak()
    from evaluation.config import configure
    from evaluation.loop import run_one

    (config,) = configure(
        problem, "continual-backprop", problem_settings={"epochs": 2}, tasks=4, measure_every=1
    )
    with tempfile.TemporaryDirectory() as out:
        run_one(config, Path(out))
    return peak() - before


def main() -> None:
    context = multiprocessing.get_context("spawn")
    for problem in PROBLEMS:
        with context.Pool(1) as pool:
            print(f"{problem:25} {pool.apply(run, (problem,)):.0f} MB")


if __name__ == "__main__":
    main()

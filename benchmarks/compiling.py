"""What compiling the engine `fused` costs: `python benchmarks/compiling.py`.

CPU seconds of a run of two small tasks with an empty cache of numba less those of the same with a
filled one, each the process's own. Every combination of parts and of kinds of batch is compiled
once a machine, the first time it is run. Writes benchmarks/results/compiling.csv.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from evaluation.export import write_csv

ALL = "adam+dropout+shrink-perturb+online-norm+continual-backprop"
WORK = (
    ("backprop", 1),
    ("l2+continual-backprop", 1),
    ("adam+continual-backprop", 1),
    (ALL, 1),
    (ALL, 16),
)
RESULTS = Path(__file__).parent / "results" / "compiling.csv"


def seconds(agent: str, batch: int, cache: str) -> float:
    """Return the CPU seconds of a run."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "continual_envs", "run", "PermutedDigits-v0"]
        command += ["--agent", agent, "--engine", "fused", "--tasks", "2", "--out", out]
        command += ["--problem-set", "examples_per_task=160"]
        command += [f"batch_size={batch}"] if batch > 1 else []
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    rows = []
    for agent, batch in WORK:
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = (seconds(agent, batch, cache) for _ in range(2))
        row = {"agent": agent, "batch": batch, "cpu_seconds": round(cold - warm, 1)}
        rows.append(row | {"warm_run": round(warm, 1)})
        print("  ".join(map(str, rows[-1].values())), flush=True)
    write_csv(rows, RESULTS)


if __name__ == "__main__":
    main()

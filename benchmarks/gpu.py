"""Time of an update on a CUDA device, in the engines graph and torch: `python benchmarks/gpu.py`.

Random images and labels, batch 1, float32. A time is the median of several chunks, each with what
it takes to bring the examples and to fetch the outputs. Exits with code 2 without a device.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from agents import registry
from agents.engines.graph import GraphLearner
from continual_envs.core import Chunk
from continual_envs.transforms import Pixels

PIXELS, CLASSES, IMAGES, CHUNKS = 784, 10, 60_000, 7


@dataclass(frozen=True)
class Row:
    """What is timed; the target is in microseconds an update of one member."""

    hidden: tuple[int, ...]
    members: int
    updates: int
    target: float


ROWS = (Row((2000,) * 3, 1, 2000, 80), Row((100,) * 3, 100, 1000, 3))
AGENTS: dict[str, dict[str, Any]] = {
    "backprop": {"step_size": 0.003},
    "backprop, momentum": {"step_size": 0.003, "momentum": 0.9},
    "adam": {"step_size": 1e-4},
    "l2": {"step_size": 0.003},
    "continual-backprop": {"step_size": 0.003},
}


def main() -> int:
    if not torch.cuda.is_available():
        print("gpu: no CUDA device; nothing was timed", file=sys.stderr)
        return 2
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    print(f"{'network':16} {'agent':20} {'members':>7} {'graph':>9} {'torch':>9} {'target':>7}")
    for row in ROWS:
        for name, settings in AGENTS.items():
            graph, eager = times(row, name.partition(",")[0], settings)
            sizes = f"784-{row.hidden[0]}x{len(row.hidden)}-10"
            line = f"{sizes:16} {name:20} {row.members:7} {graph:6.2f} us {eager:6.1f} us"
            print(
                f"{line} {row.target:4g} us  {'ok' if graph < row.target else 'above'}", flush=True
            )
    return 0


def times(row: Row, agent: str, settings: dict[str, Any]) -> tuple[float, float]:
    """Return microseconds an update of one member: of the graph engine, and of torch alone."""

    def make(seed: int) -> Any:
        observations = spaces.Box(0.0, 1.0, (PIXELS,), np.float32)
        own = {"hidden": row.hidden, **settings}
        return registry.make(
            agent, observations, spaces.Discrete(CLASSES), seed=seed, device="cuda", **own
        )

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, PIXELS), dtype=np.uint8)

    def chunk(n: int) -> Chunk:
        pixels = Pixels(rng.permutation(PIXELS), 255)
        rows, labels = rng.integers(IMAGES, size=n), rng.integers(CLASSES, size=n)
        return Chunk(images, rows, (pixels,), np.zeros(n, dtype=np.int64), labels)

    learner = GraphLearner([make(seed) for seed in range(row.members)])
    chunks = [chunk(row.updates) for _ in range(row.members)]
    together = median(lambda: learner.update_many(chunks), row.updates * row.members)
    alone, few = make(0), chunk(200)
    return together, median(lambda: alone.update_many(few), 200)


def median(work: Callable[[], Any], updates: int) -> float:
    """Return microseconds an update; the first time, with its capture, is not counted."""
    seconds = []
    for _ in range(CHUNKS + 1):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:]) / updates * 1e6


if __name__ == "__main__":
    sys.exit(main())

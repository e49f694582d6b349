"""Time of an update on a CUDA device, beside the textbook PyTorch loop: `python benchmarks/gpu.py`.

Random images and labels, float32. A time is the median of several chunks; those of our engines
have what it takes to bring the examples and to fetch the outputs, those of the textbook loop, which
has no method, have neither. What fails is named and the rest goes on. Exits with code 2 without a
device, with 1 where something failed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import textbook
import torch
from gymnasium import spaces
from torch import nn

from agents import registry
from agents.engines.graph import GraphLearner
from continual_envs.core import Chunk
from continual_envs.transforms import Pixels, Scale
from evaluation.export import write_csv

PIXELS, IMAGE, IMAGES, CHUNKS, FEW = 784, (32, 32, 3), 10_000, 7, 200
SGD: dict[str, Any] = {"step_size": 0.003}


@dataclass(frozen=True)
class Row:
    """What is timed: learners on a network; the target is in microseconds an update of one."""

    network: str
    classes: int
    settings: dict[str, Any]
    net: Callable[[], nn.Module]
    members: int
    batch: int | None
    updates: int
    target: float


CONVNET = Row(
    network="convnet",
    classes=2,
    settings={"network": "convnet"},
    net=lambda: textbook.convnet(2),
    members=1,
    batch=100,
    updates=240,
    target=400,
)
ROWS = (
    Row(
        network="784-2000x3-10",
        classes=10,
        settings={"hidden": (2000,) * 3},
        net=lambda: textbook.Net(PIXELS, 2000, 2000, 2000, 10),
        members=1,
        batch=None,
        updates=2000,
        target=80,
    ),
    Row(
        network="784-100x3-10",
        classes=10,
        settings={"hidden": (100,) * 3},
        net=lambda: textbook.Net(PIXELS, 100, 100, 100, 10),
        members=100,
        batch=None,
        updates=1000,
        target=3,
    ),
    CONVNET,
    replace(CONVNET, members=3),
)
AGENTS: dict[str, dict[str, Any]] = {
    "backprop": SGD,
    "backprop, momentum": {**SGD, "momentum": 0.9},
    "adam": {"step_size": 1e-4},
    "l2": SGD,
    "continual-backprop": SGD,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="a CSV file")
    parsed = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu: no CUDA device; nothing was timed", file=sys.stderr)
        return 2
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    rows = []
    for row in ROWS:
        for name, settings in AGENTS.items():
            try:
                rows.append(timed(row, name, settings, "cuda"))
            except Exception as error:
                cell = {"network": row.network, "agent": name, "members": row.members}
                rows.append({**cell, "error": " ".join(str(error).split())[:200]})
                # torch stays on the stream of a capture that failed.
                torch.cuda.set_stream(torch.cuda.default_stream())
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
            if parsed.out:
                write_csv(rows, parsed.out)
    return int(any("error" in row for row in rows))


def timed(row: Row, name: str, settings: dict[str, Any], device: str) -> dict[str, Any]:
    """Time one agent on one network, in microseconds an update of one member."""
    rng, size = np.random.default_rng(0), row.batch or 1
    shape = (PIXELS,) if row.batch is None else IMAGE
    images = rng.integers(0, 256, (IMAGES, *shape), dtype=np.uint8)

    def make(seed: int) -> Any:
        lead = () if row.batch is None else (row.batch,)
        one = spaces.Discrete(row.classes)
        actions = spaces.MultiDiscrete([row.classes] * size) if lead else one
        return registry.make(
            name.partition(",")[0],
            spaces.Box(0.0, 1.0, (*lead, *shape), np.float32),
            actions,
            seed=seed,
            device=device,
            **row.settings,
            **settings,
        )

    def chunk(updates: int) -> Chunk:
        n = updates * size
        shown: Any = Scale() if row.batch else Pixels(rng.permutation(PIXELS), 255)
        rows, labels = rng.integers(IMAGES, size=n), rng.integers(row.classes, size=n)
        return Chunk(images, rows, (shown,), np.zeros(n, dtype=np.int64), labels)

    learner = GraphLearner([make(seed) for seed in range(row.members)])
    chunks = [chunk(row.updates) for _ in range(row.members)]
    together = median(lambda: learner.update_many(chunks), row.updates * row.members)
    alone, few = make(0), chunk(FEW)
    eager = median(lambda: alone.update_many(few), FEW)
    base = median(textbook_loop(row, name, settings, few, device), FEW)
    return {
        "network": row.network,
        "agent": name,
        "batch": size,
        "members": row.members,
        "graph_us": round(together, 2),
        "torch_us": round(eager, 1),
        "textbook_us": round(base, 1),
        "ratio": round(base / together, 2),
        "target_us": row.target,
    }


def textbook_loop(
    row: Row, name: str, settings: dict[str, Any], chunk: Chunk, device: str
) -> Callable[[], None]:
    """Return the textbook loop over a chunk that is on the device already."""
    x = torch.from_numpy(chunk.examples()).to(device)
    y = torch.from_numpy(chunk.targets).to(device)
    if row.batch:
        x = x.unflatten(0, (-1, row.batch)).movedim(-1, 2).contiguous()
        y = y.unflatten(0, (-1, row.batch))
    net = row.net().to(device)
    step_size, momentum = settings["step_size"], settings.get("momentum", 0.0)
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(net.parameters(), lr=step_size)
        if name == "adam"
        else torch.optim.SGD(net.parameters(), lr=step_size, momentum=momentum)
    )
    return lambda: textbook.classify(net, optimizer, x, y)


def median(work: Callable[[], Any], updates: int) -> float:
    """Return microseconds an update; the first time, with its capture, is not counted."""
    seconds = []
    for _ in range(CHUNKS + 1):
        synchronise()
        started = time.perf_counter()
        work()
        synchronise()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:]) / updates * 1e6


def synchronise() -> None:
    """Wait for the device, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())

"""Speed of updates on images beside the textbook PyTorch loop: `python benchmarks/images.py`.

One core, CPU time, images of 32 x 32 x 3, SGD with momentum. The textbook loop has
its batches as tensors in its own layout; ours is given arrays as a problem shows them. Both take
turns; the ratio is the median over rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy is imported

import numpy as np
import textbook
import torch
from clock import clocked
from gymnasium import spaces
from torch import nn

from agents import registry
from evaluation.export import write_csv

CLASSES = 2
STEP: dict[str, Any] = {"step_size": 0.01, "momentum": 0.9}


@dataclass
class Work:
    """One row of the table: our agent on a network, beside the textbook loop without a method."""

    network: str
    net: Callable[[int], nn.Module]
    agent: str = "backprop"
    settings: dict[str, Any] = field(default_factory=dict)
    batch: int = 100
    updates: int = 4  # at a time
    rounds: int = 15


WORK = (
    Work("convnet", textbook.convnet),
    Work("small_cnn", textbook.small_cnn),
    Work("convnet", textbook.convnet, "continual-backprop", {"replacement_rate": 3e-4}),
    Work("small_cnn", textbook.small_cnn, "continual-backprop", {"replacement_rate": 1e-4}),
    Work("resnet18", textbook.resnet18, batch=30, updates=1, rounds=7),
    Work("resnet18", textbook.resnet18, "continual-backprop", {"replacement_rate": 1e-5}, batch=30,
         updates=1, rounds=7),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="a CSV file")
    parser.add_argument("--only", choices=sorted({work.network for work in WORK}), help="its rows")
    parsed = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    rows = []
    for work in WORK:
        if parsed.only not in (None, work.network):
            continue
        rows.append(row(work))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
        if parsed.out:
            write_csv(rows, parsed.out)


def row(work: Work) -> dict[str, Any]:
    """Measure one row, in milliseconds an update."""
    rng = np.random.default_rng(0)
    shape = (work.updates, work.batch, 32, 32, 3)
    images = rng.uniform(size=shape).astype(np.float32)
    labels = rng.integers(CLASSES, size=shape[:2])
    x, y = torch.from_numpy(images).movedim(-1, 2).contiguous(), torch.from_numpy(labels)
    net = work.net(CLASSES)
    optimizer = torch.optim.SGD(net.parameters(), lr=STEP["step_size"], momentum=STEP["momentum"])
    learner = registry.make(
        work.agent,
        spaces.Box(0.0, 1.0, shape[1:], np.float32),
        spaces.MultiDiscrete([CLASSES] * work.batch),
        seed=0,
        network=work.network,
        **STEP,
        **work.settings,
    )

    def theirs() -> None:
        textbook.classify(net, optimizer, x, y)

    def ours() -> None:
        for inputs, targets in zip(images, labels, strict=True):
            learner.update(inputs, targets)

    theirs(), ours()
    rounds = [(clocked(theirs), clocked(ours)) for _ in range(work.rounds)]
    ratios = sorted(a / b for a, b in rounds)
    base, own = (
        statistics.median(times) / work.updates / 1e3 for times in zip(*rounds, strict=True)
    )
    return {
        "network": work.network,
        "agent": work.agent,
        "batch": work.batch,
        "textbook_ms": round(base, 2),
        "ours_ms": round(own, 2),
        "ratio": round(statistics.median(ratios), 2),
        "lowest": round(ratios[0], 2),
        "highest": round(ratios[-1], 2),
    }


if __name__ == "__main__":
    main()

"""How the cost of an update grows: `python benchmarks/scaling.py --out DIR` (figure and CSV).

One core, CPU time, Online Permuted MNIST, SGD 0.003, one example an update, three hidden layers of
100 units where nothing else is said. The physical limit is the larger of two times: to move the
weights that an update touches (what multiplies a 0 left out), going forward as the product of a
vector and a matrix of the network's size reads it, going back as scaling it in place reads and
writes it; and to do its multiplications and additions at the speed of a large matrix product.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import speed  # first: one thread
import textbook
import torch
from clock import clocked

import agents
from agents.engines import on_engine
from evaluation.config import configure, make_problem
from evaluation.export import write_csv

WIDTHS = (10, 30, 100, 300, 1000, 3000)
DEPTHS = (1, 2, 3, 4, 6, 8)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
SERIES = {"textbook_us": ("textbook loop", "C7", "o--"), "engine_us": ("fused", "C0", "o-"),
          "limit_us": ("physical limit", "k", ":")}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("."), help="a folder")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    flops = matrix_product()
    rows = [point("width", width, (width,) * 3, 1, flops) for width in WIDTHS]
    rows += [point("depth", depth, (100,) * depth, 1, flops) for depth in DEPTHS]
    rows += [point("examples an update", size, (100,) * 3, size, flops) for size in BATCHES]
    members = [work(members, tasks) for members in (1, 2, 4) for tasks in (1, 2, 4, 8)]
    out.mkdir(parents=True, exist_ok=True)
    write_csv(rows + members, out / "scaling.csv")
    draw(rows, members, out / "scaling.png")


def point(
    axis: str, value: int, hidden: tuple[int, ...], batch: int, flops: float
) -> dict[str, Any]:
    """Measure one network in turns, three times, and take medians."""
    measured = [(theirs(hidden, batch), *ours(hidden, batch)) for _ in range(3)]
    base, mine, weights = (float(np.median(column)) for column in zip(*measured, strict=True))
    sizes = (784, *hidden, 10)
    floats = sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
    read, scale = memory(floats)
    limit = max(4 * weights * (1 / read + 2 / scale) / 1e3, 6 * batch * weights / flops / 1e3)
    row = {"axis": axis, "value": value, "textbook_us": base, "engine_us": mine, "limit_us": limit,
           "read_gb_per_s": read, "scale_gb_per_s": scale, "gflop_per_s": flops}  # fmt: skip
    print("  ".join(f"{k} {v if isinstance(v, str) else round(v, 2)}" for k, v in row.items()))
    return row


def theirs(hidden: tuple[int, ...], batch: int) -> float:
    """Return microseconds an update of the textbook loop."""
    updates = max(20, min(1000, 10**5 // max(hidden)))
    chunk = problem(batch).stream.chunk(0, 2 * updates * batch)
    x = torch.from_numpy(chunk.examples()).reshape(2 * updates, batch, -1)
    y = torch.from_numpy(chunk.targets).reshape(2 * updates, batch)
    net = textbook.Net(784, *hidden, 10)
    optimizer = speed.sgd(net.parameters())
    textbook.classify(net, optimizer, x[:updates], y[:updates])
    return clocked(
        lambda: textbook.classify(net, optimizer, x[updates:], y[updates:])
    ) / updates  # fmt: skip


def ours(hidden: tuple[int, ...], batch: int) -> tuple[float, float]:
    """Return microseconds an update of the engine, and the weights that an update touches."""
    env = problem(batch)
    learner = on_engine(
        agents.make("backprop", env.observation_space, env.action_space, seed=0,
                    step_size=0.003, hidden=list(hidden)),
        "fused",
    )[0]  # fmt: skip
    updates = max(100, min(20_000, 10**6 // max(hidden)) // batch)
    first, second = (env.stream.chunk(i * updates * batch, updates * batch) for i in range(2))
    learner.update_many(first)
    spent = clocked(lambda: learner.update_many(second)) / updates
    return spent, speed.touched(learner, second, env.stream, batch)


def problem(batch: int) -> Any:
    """Return Online Permuted MNIST, `batch` examples a step."""
    settings = {"batch_size": batch} if batch > 1 else {}
    config = configure("PermutedMNIST-v0", "backprop", problem_settings=settings)[0]
    env = make_problem(config, privileged=False).unwrapped
    env.reset(seed=0)
    return env


def work(members: int, tasks: int) -> dict[str, Any]:
    """Return the CPU seconds of the command line for some seeds and tasks, start-up included."""
    row = speed.Work("SGD", 30, textbook.classify, speed.sgd, "backprop", speed.STEP)
    seconds = speed.run(row, tasks, 0, members)
    result = {"axis": "members", "value": members, "tasks": tasks, "seconds": seconds}
    print("  ".join(f"{k} {v}" for k, v in result.items()))
    return result


def memory(floats: int) -> tuple[float, float]:
    """Return the bytes per second, in 1e9, of reading a matrix and of scaling it in place."""
    columns = min(floats, 1000)
    matrix = np.ones((floats // columns, columns), np.float32)
    vector, one = np.ones(columns, np.float32), np.float32(1)
    times = max(1, 10**8 // floats)

    def seconds(work: Callable[[], Any]) -> float:
        return min(clocked(lambda: [work() for _ in range(times)]) for _ in range(5)) * 1e-6 / times

    read = seconds(lambda: matrix @ vector)
    scale = seconds(lambda: np.multiply(matrix, one, out=matrix))
    return 1e-9 * matrix.nbytes / read, 2e-9 * matrix.nbytes / scale


def matrix_product() -> float:
    """Return the 1e9 multiplications and additions per second of a large matrix product."""
    a, b = (np.ones((1500, 1500), np.float32) for _ in range(2))
    return max(2e-3 * 1500**3 / clocked(lambda: a @ b) for _ in range(5))


def draw(rows: list[dict[str, Any]], members: list[dict[str, Any]], path: Path) -> None:
    """Draw the four panels."""
    figure, panels = plt.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    for panel, axis in zip(panels, ("width", "depth", "examples an update"), strict=False):
        mine = [row for row in rows if row["axis"] == axis]
        for key, (name, color, style) in SERIES.items():
            panel.plot(
                [row["value"] for row in mine], [row[key] for row in mine], style,
                color=color, label=name, markersize=3,
            )  # fmt: skip
        panel.set(xlabel=axis, yscale="log", xscale="linear" if axis == "depth" else "log")
        ticks = [row["value"] for row in mine]
        panel.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
        panel.minorticks_off()
    panels[0].set_ylabel("microseconds an update")
    panels[0].legend(frameon=False, fontsize=8)
    least = next(row["limit_us"] for row in rows if (row["axis"], row["value"]) == ("width", 100))
    for count in sorted({row["value"] for row in members}):
        mine = [row for row in members if row["value"] == count]
        x, y = [row["tasks"] * 60 for row in mine], [row["seconds"] for row in mine]
        name = f"{count} member" + "s" * (count > 1)
        (line,) = panels[3].plot(x, y, "o-", markersize=3, label=name)
        limits = [count * thousand * least / 1e3 for thousand in x]
        panels[3].plot(x, limits, ":", color=line.get_color())
    panels[3].set(
        xlabel="thousand examples of each member", ylabel="CPU seconds, start-up included"
    )
    panels[3].set(xlim=0, ylim=0)
    panels[3].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()

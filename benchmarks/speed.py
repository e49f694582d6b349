"""Speed of `continual-envs run` beside the textbook PyTorch loop: `python benchmarks/speed.py`.

One core, CPU time, all of one run. Ours is the marginal cost between a short and a long run of the
command line, so that environment, recording and checkpoints count and start-up does not. Textbook
and ours take turns, three times; the ratio is the median of three. Needs MNIST
(`continual-envs data fetch mnist`).
"""

from __future__ import annotations

import argparse
import inspect
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy is imported

import numpy as np
import textbook
import torch
from clock import clocked

from continual_envs.core import Chunk, Stream
from continual_envs.environment import StreamEnv
from evaluation.config import configure, make_problem
from evaluation.executors import one_thread
from evaluation.export import write_csv
from evaluation.loop import Run

ROUNDS = 3


@dataclass
class Work:
    """One row of the table.

    Attributes:
        name: what is trained.
        target: ratio to reach.
        loop: the textbook form, and `optimizer`, its optimizer from the parameters.
        updates: of the textbook loop.
        tasks: of the short and the long run of ours.
        lived: tasks of the run whose loop is timed: as published, of the regression; as many
            examples as a published task has, at width 2000.
        measure_every: in tasks, in the runs that measure.
    """

    name: str
    target: float
    loop: Callable[..., None]
    optimizer: Callable[[Any], torch.optim.Optimizer]
    agent: str
    settings: dict[str, Any]
    problem: str = "PermutedMNIST-v0"
    problem_settings: dict[str, Any] = field(default_factory=dict)
    hidden: tuple[int, ...] = (100, 100, 100)
    updates: int = 3000
    tasks: tuple[int, int] = (2, 12)
    lived: int = 12
    measure_every: int = 1


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.003)


def sgd_with_decay(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.003, weight_decay=1e-4)


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-4)


CODE = {"utility": "adaptable_contribution", "profile": "code", "replacement_rate": 1e-4}
STEP, DECAY = {"step_size": 0.003}, {"weight_decay": 1e-4}
WORK = (
    Work("SGD", 30, textbook.classify, sgd, "backprop", STEP),
    Work("continual backprop", 30, textbook.continual_backprop, sgd, "continual-backprop",
         STEP | CODE),
    Work("L2", 30, textbook.classify, sgd_with_decay, "l2", STEP | DECAY),
    Work("Adam", 4, textbook.classify, adam, "adam", {"step_size": 1e-4}),
    Work("shrink and perturb", 6, textbook.shrink_perturb, sgd_with_decay, "shrink-perturb",
         STEP | DECAY | {"noise_std": 1e-5}),
    Work("SGD, width 2000", 8, textbook.classify, sgd, "backprop", STEP, updates=100,
         problem_settings={"examples_per_task": 1500}, hidden=(2000, 2000, 2000),
         lived=40, measure_every=10),
    Work("regression 20-5-1, targets too", 300, textbook.regress,
         lambda parameters: torch.optim.SGD(parameters, lr=0.01), "backprop", {"step_size": 0.01},
         "SlowlyChangingRegression-v0", {"profile": "code"}, (5,), 10_000, (100, 1100), 300),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="a CSV file")
    parser.add_argument("--code", action="store_true", help="print the textbook loops and stop")
    parser.add_argument("--only", help="rows whose name contains this")
    parsed = parser.parse_args()
    if parsed.code:
        print(inspect.getsource(textbook))
        return
    torch.set_num_threads(1)
    print("textbook loops: python benchmarks/speed.py --code")
    rows = []
    for work in WORK:
        if parsed.only is None or parsed.only in work.name:
            rows.append(row(work))
            if parsed.out:
                write_csv(rows, parsed.out)


def row(work: Work) -> dict[str, Any]:
    """Measure one row and print it."""
    run(work, work.tasks[0], 0)  # compiles, if it must
    rounds = [
        (theirs(work), ours(work, 0), ours(work, work.measure_every), *engine(work))
        for _ in range(ROUNDS)
    ]
    base, off, _, alone, share, moved = map(statistics.median, zip(*rounds, strict=True))
    ratios = sorted(a / b for a, b, *_ in rounds)
    result = {
        "work": work.name,
        "textbook_us": round(base, 2),
        "ours_us": round(off, 3),
        "ratio": round(statistics.median(ratios), 1),
        "lowest": round(ratios[0], 1),
        "highest": round(ratios[-1], 1),
        "target": work.target,
        "ratio_measured": round(statistics.median(a / b for a, _, b, *_ in rounds), 1),
        "measured_every": work.measure_every * problem(work).stream.examples_per_task,
        "loop_share": round(share, 3),
        "engine_gb_per_s": round(moved / alone / 1e3, 2),
        "copy_gb_per_s": round(copy_bandwidth(), 2),
    }
    print("  ".join(f"{key} {value}" for key, value in result.items()), flush=True)
    return result


def theirs(work: Work) -> float:
    """Return microseconds an update of the textbook loop."""
    stream = problem(work).stream
    chunk = stream.chunk(0, 2 * work.updates)
    x, y = torch.from_numpy(chunk.examples()), torch.from_numpy(chunk.targets)
    outputs = stream.classes or 1
    net = textbook.Net(stream.inputs_shape[0], *work.hidden, outputs)
    optimizer = work.optimizer(net.parameters())
    half = work.updates
    work.loop(net, optimizer, x[:half], y[:half])
    return clocked(lambda: work.loop(net, optimizer, x[half:], y[half:])) / half


def ours(work: Work, measure_every: int) -> float:
    """Return microseconds an update of `continual-envs run`, from a short and a long run."""
    short, long = (run(work, tasks, measure_every) for tasks in work.tasks)
    updates = (work.tasks[1] - work.tasks[0]) * problem(work).stream.examples_per_task
    return (long - short) / updates * 1e6


def run(work: Work, tasks: int, measure_every: int, members: int = 1) -> float:
    """Return the CPU seconds of the command line."""
    settings = work.settings | {"hidden": list(work.hidden)}
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "continual_envs", "run", work.problem]
        command += ["--agent", work.agent, "--engine", "fused", "--tasks", str(tasks)]
        command += ["--measure-every", str(measure_every), "--seeds", f"0:{members}", "--out", out]
        for option, values in (("--set", settings), ("--problem-set", work.problem_settings)):
            for key, value in values.items():
                command += [option, f"{key}={value}"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def engine(work: Work) -> tuple[float, float, float]:
    """Return, of one run in this process, what is spent where.

    Returns:
        Microseconds an update of chunks and engine; the share of the run that is left for
        recording, progress and checkpoints; and the bytes that an update reads and writes.
    """
    tasks = work.lived
    config = configure(
        work.problem, work.agent, settings=work.settings | {"hidden": list(work.hidden)},
        problem_settings=work.problem_settings, tasks=tasks, engine="fused", measure_every=0,
    )[0]  # fmt: skip
    inside = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(argument: Any) -> Any:
            nonlocal inside
            start = time.process_time()
            result = function(argument)
            inside += time.process_time() - start
            return result

        return wrapped

    with tempfile.TemporaryDirectory() as out, one_thread():
        run = Run(config, Path(out), None, lambda tasks: None)
        env, learner = run.life.stream_env, run.life.inside
        env.read, learner.update_many = timed(env.read), timed(learner.update_many)
        total = clocked(run.live)
    stream, size = env.stream, env.stream.examples_per_task
    probe = stream.chunk(tasks * size, min(size, 1000))
    moved = 3 * 4 * touched(learner, probe, stream)
    return inside * 1e6 / tasks / size, 1 - inside * 1e6 / total, moved


def touched(learner: Any, probe: Chunk, stream: Stream, batch: int = 1) -> float:
    """Return how many weights have an input other than 0 in a batch, on average.

    An update reads these going forward, and reads and writes them going back; it skips the rest.
    """
    inputs = probe.examples()
    layers = [inputs, *learner.inspect(inputs, probe.targets).features]
    sizes = [layer.shape[1] for layer in layers] + [stream.classes or 1]
    shares = [(layer != 0).reshape(-1, batch, layer.shape[1]).any(1).mean() for layer in layers]
    return float(sum(s * a * b for s, a, b in zip(shares, sizes, sizes[1:], strict=False)))


def problem(work: Work) -> StreamEnv:
    """Return the problem, reset."""
    config = configure(work.problem, work.agent, problem_settings=work.problem_settings)[0]
    env = make_problem(config, privileged=False).unwrapped
    env.reset(seed=0)
    assert isinstance(env, StreamEnv)
    return env


def copy_bandwidth() -> float:
    """Return the bytes per second, in 1e9, that copying a large array reads and writes."""
    source = np.ones(1 << 26, np.float32)
    target = np.zeros_like(source)
    return max(2e-3 * source.nbytes / clocked(lambda: np.copyto(target, source)) for _ in range(5))


if __name__ == "__main__":
    main()

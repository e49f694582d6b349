"""How hard the procedural image classes are: `python benchmarks/procedural.py --out FILE.csv`.

For each of some pairs of classes, two convolutional networks (the one of Continual ImageNet) learn
from images that they do not share, 600 a class; test images are 100 others a class. The share of
test images on which the two agree says whether a class is more than its examples; a linear model,
of which the best test accuracy over step sizes and epochs counts, says whether pixels are enough.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from continual_envs.data import procedural
from evaluation.export import write_csv

TRAIN, TEST = 600, 100  # images a class
FIRST, SECOND, HELD_OUT = 0, 1000, 600  # numbers of the first images of the three sets
STEP, MOMENTUM, BATCH = 0.01, 0.9, 100
LINEAR_STEPS = (0.0003, 0.001, 0.003, 0.01, 0.03)
LINEAR_EPOCHS = (1, 2, 3, 5, 10, 20, 40, 70, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=40, help="of the networks")
    parser.add_argument("--every", type=int, default=10, help="epochs between two accuracies shown")
    parser.add_argument(
        "--bfloat16", action="store_true", help="the networks' products in 16 bits: twice as fast"
    )
    parser.add_argument("--out", type=Path, default=Path("procedural.csv"), help="a CSV file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, rows = time.time(), []
    order = np.argsort(np.random.PCG64(0).random_raw(procedural.CLASSES), kind="stable")
    for number, pair in enumerate(order[: 2 * options.pairs].reshape(-1, 2).tolist()):
        rows.append(measured(number, pair, options.epochs, options.every, options.bfloat16))
        print("  ".join(f"{k} {v}" for k, v in rows[-1].items()), flush=True)
        write_csv(rows, options.out)
    summary(rows)
    print(f"{(time.time() - started) / 60:.0f} minutes")


def measured(number: int, pair: list[int], epochs: int, every: int, short: bool) -> dict[str, Any]:
    """Return the row of a pair of classes."""
    start = time.process_time()
    first, second, held_out = (
        images(pair, number, n) for number, n in ((FIRST, TRAIN), (SECOND, TRAIN), (HELD_OUT, TEST))
    )
    drawn = time.process_time() - start
    torch.manual_seed(number)
    curves = [learn(train, held_out, epochs, every, short) for train in (first, second)]
    accuracies = [[(answers == held_out[1]).float().mean().item() for answers in c] for c in curves]
    row: dict[str, Any] = {"pair": number, "class_0": pair[0], "class_1": pair[1]}
    row["precision"] = "bfloat16" if short else "float32"
    row["agreement"] = (curves[0][-1] == curves[1][-1]).float().mean().item()
    row |= {"accuracy_1": accuracies[0][-1], "accuracy_2": accuracies[1][-1]}
    row["linear"] = linear(first, held_out)
    for i, both in enumerate(zip(*accuracies, strict=True)):
        row[f"accuracy_epoch_{min((i + 1) * every, epochs)}"] = sum(both) / 2
    row["draw_ms"] = 1000 * drawn / 2 / (2 * TRAIN + TEST) * (TRAIN + TEST)
    digits = {key: round(value, 4) for key, value in row.items() if isinstance(value, float)}
    return row | digits


def images(pair: list[int], first: int, n: int) -> tuple[Tensor, Tensor]:
    """Return n images of each class, (2 n, 3, 32, 32) in [0, 1], and their targets."""
    drawn = np.concatenate([procedural.draw(label, first, n) for label in pair])
    x = torch.from_numpy(drawn).permute(0, 3, 1, 2).float().div(255)  # channels last: faster
    return x, torch.arange(2).repeat_interleave(n)


def network() -> nn.Module:
    """Return the network of Continual ImageNet (Dohare et al., 2024).

    The published one pools after the ReLU, which gives the same numbers and takes longer.
    """
    return nn.Sequential(
        nn.Conv2d(3, 32, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(32, 64, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(64, 128, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(),
        nn.Linear(128, 2),
    )  # fmt: skip


def learn(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], epochs: int, every: int, short: bool
) -> list[Tensor]:
    """Train a new network; return its answers to the test images after some epochs and the last."""
    net, (x, y), answers = network().to(memory_format=torch.channels_last), train, []
    optimizer = torch.optim.SGD(net.parameters(), STEP, MOMENTUM)
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=short):
                loss = F.cross_entropy(net(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
        if epoch % every == 0 or epoch == epochs:
            with torch.no_grad():
                answers.append(net(test[0]).argmax(1))
    return answers


def linear(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """Return the best test accuracy of logistic regression over its step sizes and epochs."""
    (x, y), (x_test, y_test) = ((images.flatten(1), targets) for images, targets in (train, test))
    center = x.mean(0)
    x, x_test = x - center, x_test - center
    nets = [nn.Linear(x.shape[1], 1) for _ in LINEAR_STEPS]
    steps = zip(nets, LINEAR_STEPS, strict=True)
    parameters = [{"params": net.parameters(), "lr": step} for net, step in steps]
    optimizer = torch.optim.SGD(parameters, momentum=MOMENTUM)
    best = 0.0
    for epoch in range(1, LINEAR_EPOCHS[-1] + 1):
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            target = y[rows, None].float()
            for net in nets:
                F.binary_cross_entropy_with_logits(net(x[rows]), target).backward()
            optimizer.step()
        if epoch in LINEAR_EPOCHS:
            right = [((net(x_test)[:, 0] > 0) == y_test).float().mean().item() for net in nets]
            best = max(best, *right)
    return best


def summary(rows: list[dict[str, Any]]) -> None:
    """Print the mean and the quartiles of every column."""
    for key in list(rows[0])[4:]:
        values = [row[key] for row in rows]
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
        print(f"{key:>18}  mean {np.mean(values):.4g}  quartiles {low:.4g} {median:.4g} {high:.4g}")


if __name__ == "__main__":
    main()

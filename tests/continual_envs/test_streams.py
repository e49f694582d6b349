"""What the supervised problems draw, against their published protocols (Dohare et al. 2024)."""

from __future__ import annotations

from math import comb, sqrt
from pathlib import Path

import numpy as np
import pytest

from continual_envs import data
from continual_envs.streams.permuted_digits import PermutedDigits
from continual_envs.streams.permuted_mnist import PermutedMNIST
from continual_envs.streams.slowly_changing_regression import (
    SlowlyChangingRegression,
    target_network,
)

DIGITS = data.load("digits")


def columns(stream: PermutedMNIST, index: int) -> np.ndarray:
    return stream.task(index).transform.columns  # type: ignore[attr-defined]


# --------------------------------------------------------------------------- permuted images


@pytest.mark.parametrize("permute", ["pixels", "labels", "both"])
def test_every_image_is_shown_once_a_task_in_new_orders(permute: str) -> None:
    stream = PermutedDigits(0, permute=permute)  # type: ignore[arg-type]
    orders = [stream.task(index).rows for index in range(3)]
    for order in orders:
        assert np.sort(order).tolist() == list(range(1797))
    assert (orders[0] != orders[1]).mean() > 0.99 and (orders[1] != orders[2]).mean() > 0.99


def test_a_short_task_shows_different_images_and_a_long_one_whole_passes() -> None:
    short = PermutedDigits(0, examples_per_task=100).task(1).rows
    assert len(short) == len(set(short)) == 100
    rows = PermutedDigits(0, examples_per_task=4000).task(1).rows
    first, second, rest = rows[:1797], rows[1797:3594], rows[3594:]
    assert set(first) == set(second) == set(range(1797)) and len(set(rest)) == len(rest) == 406
    assert (first != second).mean() > 0.99
    later = PermutedDigits(0, examples_per_task=4000).task(2).rows
    assert (second != later[:1797]).mean() > 0.99, "no pass is shown again"


@pytest.mark.parametrize("permute", ["pixels", "labels", "both"])
def test_what_a_switch_permutes(permute: str) -> None:
    stream = PermutedDigits(4, permute=permute)  # type: ignore[arg-type]
    shown, renamed = [], []
    for index in range(4):
        chunk = stream.chunk(index * 1797, 1797)
        examples, labels = chunk.examples(), DIGITS.labels[chunk.rows]
        pixels = DIGITS.inputs[chunk.rows] / np.float32(16)
        assert examples.min() == 0 and examples.max() == 1
        assert np.array_equal(np.sort(examples, axis=1), np.sort(pixels, axis=1))
        assert np.array_equal(examples, pixels) == (permute == "labels")
        pairs = set(zip(labels.tolist(), chunk.targets.tolist(), strict=True))
        assert len(pairs) == 10 and {new for _, new in pairs} == set(range(10)), "a bijection"
        shown.append(examples[np.argsort(chunk.rows)].tobytes())
        renamed.append(tuple(new for _, new in sorted(pairs)))
    assert len(set(shown)) == (1 if permute == "labels" else 4)
    assert len(set(renamed)) == (1 if permute == "pixels" else 4)
    assert (renamed[0] == tuple(range(10))) == (permute == "pixels")


def test_pixel_permutations_are_permutations_and_anew_at_every_task() -> None:
    stream = PermutedMNIST(0, dataset="digits")
    drawn = [columns(stream, index) for index in range(50)]
    assert all(sorted(order) == list(range(64)) for order in drawn)
    fixed = [(one == other).sum() for one, other in zip(drawn, drawn[1:], strict=False)]
    assert np.mean(fixed) < 1.6  # 1 on average
    assert (drawn[0] == np.arange(64)).sum() < 8, "the first task is permuted too"


@pytest.mark.parametrize("fraction", [0.0, 0.03, 0.1, 0.25, 0.5, 0.99])
def test_a_fraction_of_the_pixels_moves_at_each_switch(fraction: float) -> None:
    stream = PermutedMNIST(1, dataset="digits", permuted_fraction=fraction)
    drawn = [np.arange(64), *(columns(stream, index) for index in range(100))]
    assert all(sorted(order) == list(range(64)) for order in drawn)
    moves = [one != other for one, other in zip(drawn, drawn[1:], strict=False)]
    moved = [move.sum() for move in moves]
    chosen = round(fraction * 64)
    assert max(moved) <= chosen
    assert np.mean(moved) == pytest.approx(max(chosen - 1, 0), abs=0.5)  # one stays by chance
    assert fraction < 0.1 or np.any(moves, axis=0).all(), "any pixel can be chosen"


def test_a_whole_fraction_is_the_published_problem() -> None:
    whole = PermutedMNIST(0, dataset="digits", permuted_fraction=1)
    assert whole.content_hash() == PermutedMNIST(0, dataset="digits").content_hash()
    assert whole.content_hash() == PermutedDigits(0).content_hash()


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_the_published_size(dataset: str, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(real_data))
    stream = PermutedMNIST(0, dataset=dataset)  # type: ignore[arg-type]
    task = stream.task(1)
    assert stream.examples_per_task == 60_000 and stream.inputs_shape == (784,)
    assert np.array_equal(np.sort(task.rows), np.arange(60_000))
    chunk = stream.chunk(60_000, 200)
    pixels = task.inputs[task.rows[:200]][:, columns(stream, 1)]
    assert np.array_equal(chunk.examples(), pixels / np.float32(255))
    assert np.array_equal(task.targets, data.load(dataset).labels[task.rows])


# ---------------------------------------------------------------- slowly-changing regression

PROFILES = ["paper", "code"]


def threshold(profile: str, weights: list[int], bias: int) -> float:
    """What a target unit's pre-activation must exceed, as the paper and its code have it."""
    if profile == "paper":  # S: how many of the 21 incoming weights, the bias one of them, are -1
        negatives = sum(weight == -1 for weight in [*weights, bias])
    else:
        negatives = (20 - sum(weights) + bias) / 2
    return 21 * 0.7 - negatives


def recomputed(profile: str, seed: int, inputs: np.ndarray) -> list[int]:
    """The target network by hand, one unit and one bit at a time."""
    weights, biases, _, outputs = (
        part.astype(int).tolist() for part in target_network(seed, profile)
    )
    values = []
    for bits in inputs[:, :20].astype(int).tolist():
        value = outputs[100]
        for unit in range(100):
            total = biases[unit] + sum(w * x for w, x in zip(weights[unit], bits, strict=True))
            value += outputs[unit] * (total > threshold(profile, weights[unit], biases[unit]))
        values.append(value)
    return values


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_targets_and_thresholds_by_hand(profile: str, seed: int) -> None:
    weights, biases, thresholds, outputs = target_network(seed, profile)
    assert weights.shape == (100, 20) and outputs.shape == (101,)
    for part in (weights, biases, outputs):
        assert set(np.unique(part)) == {-1, 1} and abs(part.mean()) < 5 / sqrt(part.size)
    by_hand = [
        threshold(profile, unit, int(bias))
        for unit, bias in zip(weights.astype(int).tolist(), biases, strict=True)
    ]
    assert thresholds == pytest.approx(by_hand, abs=1e-5)
    stream = SlowlyChangingRegression(seed, profile=profile, flip="all", examples_per_task=10)
    for index in range(5):
        task = stream.task(index)
        assert task.targets.dtype == np.float32
        assert task.targets.tolist() == recomputed(profile, seed, task.inputs)
        assert np.abs(task.targets).max() <= stream.limit


@pytest.mark.parametrize(
    ("profile", "bias", "least", "published"),
    # with b the bias and N weights of -1, w.x + N is Binomial(20, 1/2): the unit fires from `least`
    [
        ("paper", 1, 14, 0.058),
        ("paper", -1, 15, 0.020),
        ("code", 1, 14, 0.058),
        ("code", -1, 17, 0.0014),
    ],
)
def test_how_often_target_units_fire(profile: str, bias: int, least: int, published: float) -> None:
    exact = sum(comb(20, k) for k in range(least, 21)) / 2**20
    assert exact == pytest.approx(published, rel=0.1)
    every_input = (np.arange(2**14)[:, None] * 61 + 7 >> np.arange(20)) & 1  # 2**14 of the 2**20
    fired = []
    for seed in range(3):
        weights, biases, thresholds, _ = target_network(seed, profile)
        mine = biases == bias
        sums = every_input @ weights[mine].T.astype(int) + bias
        fired.append((sums > thresholds[mine]).mean(axis=0))
    assert np.concatenate(fired).mean() == pytest.approx(exact, rel=0.15)


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_shown(profile: str) -> None:
    stream = SlowlyChangingRegression(0, profile=profile, examples_per_task=2000)
    before = np.zeros((2000, 5))
    for index in range(3):
        inputs = stream.task(index).inputs
        assert inputs.shape == (2000, 21 if profile == "paper" else 20)
        assert inputs.dtype == np.float32 and set(np.unique(inputs)) == {0, 1}
        assert (inputs[:, :15] == inputs[0, :15]).all(), "slow bits stand still"
        assert (inputs[:, 20:] == 1).all()
        fast = inputs[:, 15:20]
        assert np.abs(fast.mean(axis=0) - 0.5).max() < 5 * 0.5 / sqrt(2000)
        assert len(np.unique(fast, axis=0)) == 32
        assert np.abs(np.corrcoef(fast.T) - np.eye(5)).max() < 5 / sqrt(2000)
        assert np.abs(np.corrcoef(fast[:-1, 0], fast[1:, 0])[0, 1]) < 5 / sqrt(2000)
        assert np.abs((fast == before).mean(axis=0) - 0.5).max() < 5 * 0.5 / sqrt(2000)
        before = fast


def slow_bits(flip: str, tasks: int, seed: int = 3) -> np.ndarray:
    stream = SlowlyChangingRegression(seed, flip=flip, examples_per_task=1)  # type: ignore[arg-type]
    return np.array([stream.task(index).inputs[0, :15] for index in range(tasks)])


def test_flip_one_changes_one_slow_bit_at_a_switch() -> None:
    flips = np.concatenate([np.diff(slow_bits("one", 76, seed), axis=0) != 0 for seed in range(6)])
    assert (flips.sum(axis=1) == 1).all()
    counts = flips.sum(axis=0)  # chi-square with 14 degrees of freedom, p = 1e-4 at 42.6
    assert ((counts - 30) ** 2 / 30).sum() < 42.6


def test_flip_all_draws_every_slow_bit_anew() -> None:
    bits = slow_bits("all", 400)
    changes = (np.diff(bits, axis=0) != 0).mean(axis=0)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / 20
    assert np.abs(changes - 0.5).max() < 5 * 0.5 / 20


def test_profiles_choose_the_flip_and_share_the_target_but_for_thresholds() -> None:
    for profile, flip in (("paper", "one"), ("code", "all")):
        default = SlowlyChangingRegression(5, profile=profile, examples_per_task=9)
        chosen = SlowlyChangingRegression(5, profile=profile, flip=flip, examples_per_task=9)
        assert default.content_hash() == chosen.content_hash()
    paper, code = (target_network(5, profile) for profile in PROFILES)
    assert all(np.array_equal(paper[i], code[i]) for i in (0, 1, 3))
    steps = np.where(paper[1] == 1, -0.5, 1.5)
    assert code[2] - paper[2] == pytest.approx(steps, abs=1e-5)

"""Every bad setting is one line that names the field, the value, what is allowed, the nearest."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

from continual_envs.checks import integer, number, one_of
from continual_envs.registration import NAMESPACE
from tests.problems import IDS, IMAGES, SMALL

MNIST, DIGITS, REGRESSION = "PermutedMNIST-v0", "PermutedDigits-v0", "SlowlyChangingRegression-v0"
IMAGENET, KUMAR = "ContinualImageNet-v0", "KumarContinualImageNet-v0"
PAIRS, CIFAR = "ProceduralPairs-v0", "IncrementalCIFAR100-v0"

EVERYWHERE: list[tuple[dict[str, Any], str]] = [
    ({"disclosure": "identifed"}, "one of hidden, identified, signalled; nearest: identified"),
    ({"disclosure": None}, "disclosure: None is not one of hidden, identified, signalled"),
    ({"disclosre": "hidden"}, "setting: 'disclosre' is not one of ... nearest: disclosure"),
    ({"batchsize": 4}, "setting: 'batchsize' is not one of ... nearest: batch_size"),
    ({"seed": 4}, "setting: 'seed' is not one of"),
    ({"batch_size": 0}, "batch_size: 0 is not allowed; give a whole number of at least 1"),
    ({"batch_size": 2.0}, "batch_size: 2.0 is not allowed; give a whole number of at least 1"),
    ({"batch_size": True}, "batch_size: True is not allowed; give a whole number of at least 1"),
    ({"batch_size": "16"}, "batch_size: '16' is not allowed; give a whole number of at least 1"),
    ({"num_tasks": 0}, "num_tasks: 0 is not allowed; give a whole number of at least 1"),
    ({"num_tasks": -3}, "num_tasks: -3 is not allowed; give a whole number of at least 1"),
    ({"batch_size": 7000}, "batch_size: 7000 is not allowed; a task has"),
]
LENGTH: list[tuple[dict[str, Any], str]] = [
    ({"examples_per_task": 0}, "examples_per_task: 0 is not allowed; give a whole number of"),
    ({"examples_per_task": 1.5}, "examples_per_task: 1.5 is not allowed; give a whole number of"),
    (
        {"examples_per_task": 100, "batch_size": 16},
        "examples_per_task: 100 is not allowed; give a multiple of batch_size=16",
    ),
    ({"examples_per_task": 8, "batch_size": 16}, "batch_size: 16 is not allowed; a task has 8"),
]
SPECIAL: list[tuple[str, dict[str, Any], str]] = [
    (MNIST, {"dataset": "minst"}, "dataset: 'minst' is not one of digits, ... nearest: mnist"),
    (MNIST, {"dataset": "cifar10"}, "dataset: 'cifar10' is not one of digits, fashion_mnist"),
    (MNIST, {"permuted_fraction": 1.1}, "permuted_fraction: 1.1 is not allowed; give a finite"),
    (MNIST, {"permuted_fraction": -0.1}, "permuted_fraction: -0.1 is not allowed; give a finite"),
    (MNIST, {"permuted_fraction": float("nan")}, "permuted_fraction: nan is not allowed; give"),
    (MNIST, {"permuted_fraction": "half"}, "permuted_fraction: 'half' is not allowed; give a"),
    (MNIST, {"permute": "both"}, "setting: 'permute' is not one of"),
    (DIGITS, {"permute": "pixel"}, "permute: 'pixel' is not one of both, ... nearest: pixels"),
    (DIGITS, {"dataset": "mnist"}, "setting: 'dataset' is not one of"),
    (DIGITS, {"batch_size": 1798}, "batch_size: 1798 is not allowed; a task has 1797 examples"),
    (REGRESSION, {"profile": "papr"}, "profile: 'papr' is not one of code, paper; nearest: paper"),
    (REGRESSION, {"flip": "al"}, "flip: 'al' is not one of all, one; nearest: all"),
    (REGRESSION, {"flip": 1}, "flip: 1 is not one of all, one"),
    (PAIRS, {"head": "zeros"}, "head: 'zeros' is not one of keep, zero; nearest: zero"),
    (PAIRS, {"test_images": 101}, "test_images: 101 is not allowed; every class has 100 of them"),
    (PAIRS, {"train_images": 601}, "train_images: 601 is not allowed; every class has 600 of them"),
    (PAIRS, {"dataset": "imagenet32"}, "setting: 'dataset' is not one of"),
    (IMAGENET, {"dataset": "imagenet64"}, "dataset: 'imagenet64' is not one of imagenet32, "),
    (IMAGENET, {"head": None}, "head: None is not one of keep, zero"),
    (KUMAR, {"head": "zero"}, "setting: 'head' is not one of"),
    (CIFAR, {"classes_per_task": 0}, "classes_per_task: 0 is not allowed; give a whole number"),
    (CIFAR, {"classes_per_task": 101}, "classes_per_task: 101 is not allowed; there are 100"),
    (CIFAR, {"train_images": 451}, "train_images: 451 is not allowed; at most 450 of a class"),
    (CIFAR, {"augment": "no"}, "augment: 'no' is not allowed; give true or false"),
    (CIFAR, {"early_stopping": None}, "early_stopping: None is not allowed; give true or false"),
]
PASSES: list[tuple[dict[str, Any], str]] = [
    ({"examples_per_task": 100}, "setting: 'examples_per_task' is not one of"),
    ({"epochs": 0}, "epochs: 0 is not allowed; give a whole number of at least 1"),
    ({"epochs": 2.5}, "epochs: 2.5 is not allowed; give a whole number of at least 1"),
    ({"train_images": 0}, "train_images: 0 is not allowed; give a whole number of at least 1"),
    ({"train_images": 601}, "train_images: 601 is not allowed; "),
    (
        {"batch_size": 3},
        "batch_size: 3 is not allowed; give a divisor of the 16 examples of a pass",
    ),
]
CASES = [
    *((problem, *case) for problem in IDS for case in EVERYWHERE),
    *((problem, *case) for problem in IDS for case in (PASSES if problem in IMAGES else LENGTH)),
    *SPECIAL,
]


@pytest.mark.parametrize(("problem", "settings", "expected"), CASES)
@pytest.mark.parametrize("make", [gym.make, gym.make_vec], ids=["single", "vector"])
def test_a_bad_setting(make: Any, problem: str, settings: dict[str, Any], expected: str) -> None:
    base = {MNIST: {"dataset": "digits"}, REGRESSION: {"examples_per_task": 48}}.get(problem, {})
    base = SMALL[problem] if problem in IMAGES else base
    with pytest.raises(ValueError) as caught:
        make(f"{NAMESPACE}/{problem}", **base | settings)
    message = str(caught.value)
    assert "\n" not in message
    start, *rest = expected.split(" ... ")
    assert start in message and all(message.endswith(part) for part in rest), message


@pytest.mark.parametrize("problem", IDS)
def test_bad_seeds_and_ids(problem: str) -> None:
    env = gym.make(f"{NAMESPACE}/{problem}", **SMALL[problem])
    for seed in (-1, 1.5, "0"):
        with pytest.raises(gym.error.Error, match="[Ss]eed"):
            env.reset(seed=seed)  # type: ignore[arg-type]
    with pytest.raises(gym.error.Error, match=f"Did you mean: `{problem.removesuffix('-v0')}`"):
        gym.make(f"{NAMESPACE}/{problem.replace('e', '', 1)}")


def test_a_task_length_left_to_the_stream_is_cut_to_whole_batches() -> None:
    env = gym.make(f"{NAMESPACE}/{DIGITS}", batch_size=16)
    assert env.unwrapped.stream.examples_per_task == 1792  # of 1,797


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), True, "1", None, 1j])
def test_a_number_is_finite_and_no_bool(value: Any) -> None:
    with pytest.raises(ValueError, match="^x: .+ is not allowed; give a finite number$"):
        number("x", value)


@pytest.mark.parametrize(
    ("value", "bounds", "allowed"),
    [
        (1, {"low": 2}, "a finite number at least 2"),
        (3.0, {"low": 0, "high": 2}, "a finite number at least 0 and at most 2"),
        (0, {"above": 0}, "a finite number above 0"),
        (1.0, {"low": 0, "below": 1}, "a finite number at least 0 and below 1"),
    ],
)
def test_bounds(value: float, bounds: dict[str, float], allowed: str) -> None:
    with pytest.raises(ValueError) as caught:
        number("x", value, **bounds)  # type: ignore[arg-type]
    assert str(caught.value) == f"x: {value!r} is not allowed; give {allowed}"


def test_what_is_allowed_is_returned() -> None:
    assert number("x", 0, 0, 1) == 0 and number("x", 1, above=0, high=1) == 1
    assert integer("n", 0) == 0 and integer("n", 5, 5) == 5
    assert one_of("kind", "b", ("a", "b")) == "b"

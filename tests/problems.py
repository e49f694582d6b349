"""The registered problems in small settings, and how tests roll them out and compare."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image

from continual_envs.registration import NAMESPACE, PROBLEMS
from continual_envs.streams import incremental_cifar100

_KEPT = tempfile.TemporaryDirectory(prefix="continual-envs-tests-")


def _class_folders() -> str:
    """Five classes of a dozen images, which stand in for ImageNet."""
    for label in range(5):
        folder = Path(_KEPT.name) / f"class{label}"
        folder.mkdir()
        for number in range(14):
            levels = np.random.default_rng([label, number]).integers(256, size=(32, 32, 3))
            Image.fromarray(levels.astype(np.uint8)).save(folder / f"{number:02}.png")
    return _KEPT.name


@functools.cache
def _cifar100() -> SimpleNamespace:
    """Grey levels in the shape of CIFAR-100: images are windows on a short random sequence."""
    images = []
    for key, n in enumerate((500, 100)):
        levels = np.random.default_rng(key).integers(256, size=100 * n * 7 + 3072, dtype=np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(levels, 3072)[: 100 * n * 7 : 7]
        images.append(windows.reshape(100, n, 32, 32, 3))
        assert np.shares_memory(images[-1][0, 0], levels), "or it takes 184 MB"
    return SimpleNamespace(train=images[0], test=images[1], sha256="invented")


# The fixture `published` puts the data back.
incremental_cifar100.data = SimpleNamespace(cifar100=_cifar100)  # type: ignore[assignment]

PLAIN: dict[str, Any] = {"batch_size": None, "disclosure": "hidden"}
PAIRS: dict[str, Any] = PLAIN | {"train_images": 8, "test_images": 2, "epochs": 3}
SMALL: dict[str, dict[str, Any]] = {
    "ContinualImageNet-v0": {"dataset": _class_folders(), **PAIRS},
    "KumarContinualImageNet-v0": {"dataset": _KEPT.name, **PAIRS},
    "ProceduralPairs-v0": PAIRS,
    "IncrementalCIFAR100-v0": {
        "classes_per_task": 2,
        "train_images": 8,
        "epochs": 3,
        **PLAIN,
    },
    "PermutedMNIST-v0": {"dataset": "digits", "examples_per_task": 48},
    "PermutedDigits-v0": {"permute": "both", "examples_per_task": 48},
    "SlowlyChangingRegression-v0": {"examples_per_task": 48},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "single": {},
    "batch": {"batch_size": 16},
    "finite": {"num_tasks": 2, "disclosure": "identified"},
}
STEPS_A_TASK = {"single": 48, "batch": 3, "finite": 48}
IDS = sorted(PROBLEMS)
FETCHED = {*IDS} - {"PermutedDigits-v0", "ProceduralPairs-v0", "SlowlyChangingRegression-v0"}
IMAGES = sorted(problem for problem, settings in SMALL.items() if "epochs" in settings)


def length_of(problem: str) -> int:
    """Examples of the first two tasks."""
    return int(make(problem).unwrapped.stream.start(2))


def make(problem: str, variant: str = "single", **settings: Any) -> gym.Env:
    """What a user gets: the problem through `gym.make`, wrappers included."""
    settings = SMALL[problem] | VARIANTS[variant] | settings
    return gym.make(f"{NAMESPACE}/{problem}", **settings)


def make_vec(problem: str, num_envs: int, variant: str = "single", **settings: Any) -> Any:
    settings = SMALL[problem] | VARIANTS[variant] | settings
    return gym.make_vec(f"{NAMESPACE}/{problem}", num_envs=num_envs, **settings)


def rollout(env: Any, steps: int) -> list[Any]:
    """Take `steps` actions sampled from the action space and return everything that came back."""
    seen = []
    for _ in range(steps):
        action = env.action_space.sample()
        seen.append((action, *env.step(action)))
    return seen


def start(env: Any, seed: int, steps: int) -> list[Any]:
    """Reset and roll out, with the action space seeded alike."""
    env.action_space.seed(seed)
    return [env.reset(seed=seed), *rollout(env, steps)]


def same(one: Any, other: Any) -> bool:
    """Whether two nested results are equal bit for bit, types included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and one.tobytes() == other.tobytes()
    return bool(one == other)

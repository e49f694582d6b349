"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

# Before numpy and torch are imported: small networks on as many threads as cores, in as many
# processes, take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from continual_envs import data
from continual_envs.streams import incremental_cifar100

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder with `mnist/` and `fashion_mnist/` in their published .gz files, or a skip."""
    variable = os.environ.get("CONTINUAL_ENVS_DATA")
    folders = ([Path(variable)] if variable else []) + [ROOT.parent / "shared" / "data"]
    for folder in folders:
        if all(
            (folder / name / "train-images-idx3-ubyte.gz").is_file()
            for name in ("mnist", "fashion_mnist")
        ):
            return folder
    pytest.skip("no real MNIST files: set CONTINUAL_ENVS_DATA to a folder with mnist/*-ubyte.gz")


@pytest.fixture(scope="session")
def real_images(real_data: Path) -> Path:
    """A folder with `cifar100/` and `imagenet32/` as well, or a skip."""
    if not all((real_data / name).is_dir() for name in ("cifar100", "imagenet32")):
        pytest.skip("no real images: set CONTINUAL_ENVS_DATA to a folder with them")
    return real_data


@pytest.fixture
def published(real_images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Problems find the real data, whatever `tests.problems` has put in its place; or a skip."""
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(real_images))
    monkeypatch.setattr(incremental_cifar100, "data", data)

"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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

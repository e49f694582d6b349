"""Transforms do the same to numpy arrays and torch tensors."""

from __future__ import annotations

import numpy as np
import pytest

from continual_envs.transforms import Identity, Pixels

torch = pytest.importorskip("torch")

IMAGES = np.arange(3 * 4 * 6, dtype=np.uint8).reshape(3, 4, 6) * 3
COLUMNS = np.array([5, 0, 3, 3, 1, 2])


@pytest.mark.parametrize("lead", [(), (0,), (0, 0)], ids=["batch of rows", "rows", "row"])
@pytest.mark.parametrize("divisor", [16, 255])
def test_pixels(lead: tuple[int, ...], divisor: int) -> None:
    images, transform = IMAGES[lead], Pixels(COLUMNS, divisor)
    expected = np.empty(images.shape, dtype=np.float32)
    for place, column in enumerate(COLUMNS):
        expected[..., place] = np.float32(images[..., column]) / np.float32(divisor)
    shown, tensor = transform(images), transform(torch.from_numpy(images))
    assert shown.dtype == np.float32 and tensor.dtype == torch.float32
    assert shown.tobytes() == expected.tobytes()
    assert tensor.numpy().tobytes() == expected.tobytes()
    assert shown.flags.c_contiguous, "or every reader of rows copies them first"


def test_all_grey_levels_fill_the_unit_interval_alike() -> None:
    levels = np.arange(256, dtype=np.uint8)
    transform = Pixels(np.arange(256), 255)
    shown = transform(levels)
    assert shown[0] == 0 and shown[-1] == 1 and (np.diff(shown) > 0).all()
    assert transform(torch.from_numpy(levels)).numpy().tobytes() == shown.tobytes()


def test_pixels_leave_the_stored_images_alone() -> None:
    images = IMAGES.copy()
    images.setflags(write=False)
    shown = Pixels(COLUMNS, 16)(images)
    shown[...] = 0
    assert np.array_equal(images, IMAGES)


@pytest.mark.parametrize("inputs", [IMAGES, torch.from_numpy(IMAGES)], ids=["numpy", "torch"])
def test_identity(inputs: object) -> None:
    assert Identity()(inputs) is inputs

"""Transforms against slow ones, and alike for numpy arrays and torch tensors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from continual_envs.seeding import Purpose, words
from continual_envs.transforms import Augment, Identity, Pixels, Scale, Standardise

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


def test_scale() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    shown, tensor = Scale()(levels), Scale()(torch.from_numpy(levels))
    assert shown.dtype == np.float32 and tensor.dtype == torch.float32
    assert shown.tobytes() == (levels.astype(np.float32) / np.float32(255)).tobytes()
    assert tensor.numpy().tobytes() == shown.tobytes()
    assert shown.min() == 0 and shown.max() == 1 and (np.diff(shown.ravel()) > 0).all()


# -------------------------------------------------------------------------------- augmentation

MEAN, STD = np.array([0.5, 0.4, 0.3], np.float32), np.array([0.2, 0.25, 0.3], np.float32)
WORDS = words(0, Purpose.AUGMENTATION, 0, 40_000)
NO_ANGLE, NO_FLIP = np.uint64(2**41 - 1), ~np.uint64(1)


def pictures(n: int, size: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(n).integers(256, size=(n, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(5, 32, 32, 3), (1, 4, 3), (7, 3)])
def test_standardise(shape: tuple[int, ...]) -> None:
    levels = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    shown = Standardise(MEAN, STD)(levels)
    expected = (levels / 255 - MEAN.astype(np.float64)) / STD.astype(np.float64)
    assert shown.dtype == np.float32 and shown.shape == shape
    assert np.abs(shown - expected).max() < 1e-6


def one_by_one(
    augment: Augment, image: NDArray[np.uint8], word: np.uint64
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """One image a pixel at a time, and where a neighbour is as near."""
    flip, down, right, angle = (part[0] for part in augment.drawn(np.array([word])))
    size, pad = len(image), augment.padding
    values = (image / 255 - MEAN) / STD
    if flip:
        values = values[:, ::-1]
    padded = np.pad(values, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    crop = padded[down : down + size, right : right + size]
    shown, tied = np.zeros_like(crop), np.zeros((size, size), dtype=bool)
    middle = (size - 1) / 2
    for row in range(size):
        for column in range(size):
            up, across = middle - row, column - middle
            # turned back by the angle, counter-clockwise being positive
            x = across * math.cos(angle) + up * math.sin(angle) + middle
            y = middle - (up * math.cos(angle) - across * math.sin(angle))
            i, j = round(y), round(x)
            tied[row, column] = min(abs(abs(y - i) - 0.5), abs(abs(x - j) - 0.5)) < 1e-5
            if 0 <= i < size and 0 <= j < size:
                shown[row, column] = crop[i, j]
    return shown, tied


@pytest.mark.parametrize(
    ("size", "padding", "degrees"), [(32, 4, 15.0), (9, 3, 15.0), (16, 5, 45.0), (7, 2, 90.0)]
)
def test_augment_pixel_by_pixel(size: int, padding: int, degrees: float) -> None:
    n = 67 if size == 32 else 150  # more than are done at once
    images, augment = pictures(n, size), Augment(MEAN, STD, padding, degrees)
    shown, outside, ties = augment(images, WORDS[:n]), 0, 0
    assert shown.dtype == np.float32 and shown.shape == images.shape
    for i in range(n):
        expected, tied = one_by_one(augment, images[i], WORDS[i])
        assert np.abs(shown[i] - expected)[~tied].max() < 1e-5
        outside += (expected == 0).all(axis=-1).sum()
        ties += tied.sum()
    assert outside > 0 and ties < n * size * size / 1000


def test_nothing_drawn_is_the_standardised_image() -> None:
    images = pictures(9)
    plain = Standardise(MEAN, STD)(images)
    still = Augment(MEAN, STD, padding=0, degrees=0.0)
    assert np.array_equal(still(images, WORDS[:9] & NO_FLIP), plain)
    assert np.array_equal(still(images, WORDS[:9] | ~NO_FLIP), plain[:, :, ::-1])
    centre = np.uint64(4 << 1 | 4 << 21)  # word of no flip, no angle and the middle offsets
    assert np.array_equal(Augment(MEAN, STD)(images, np.full(9, centre)), plain)


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    images, augment = pictures(130), Augment(MEAN, STD)
    shown = augment(images, WORDS[:130])
    for i in (0, 63, 64, 129):
        assert augment(images[i : i + 1], WORDS[i : i + 1]).tobytes() == shown[i].tobytes()
    assert augment(images[5:101], WORDS[5:101]).tobytes() == shown[5:101].tobytes()
    assert augment(images[:0], WORDS[:0]).shape == (0, 32, 32, 3)


def test_what_is_drawn_is_uniform_and_independent() -> None:
    n = len(WORDS)
    flip, down, right, angle = Augment(MEAN, STD).drawn(WORDS)
    assert abs(flip.mean() - 0.5) < 4 * 0.5 / math.sqrt(n)
    for offsets in (down, right):
        counts = np.bincount(offsets, minlength=9)  # chi-square of 8, p = 1e-4 at 31.8
        assert len(counts) == 9 and ((counts - n / 9) ** 2 / (n / 9)).sum() < 31.8
    degrees = np.rad2deg(angle)
    assert degrees.min() >= 0 and degrees.max() < 15 and degrees.max() > 14.99
    counts = np.histogram(degrees, 15, (0, 15))[0]  # chi-square of 14
    assert ((counts - n / 15) ** 2 / (n / 15)).sum() < 42.6
    drawn = np.corrcoef(np.stack([flip, down, right, angle]))
    assert np.abs(drawn - np.eye(4)).max() < 5 / math.sqrt(n)


def test_every_bit_of_a_word_is_for_one_thing() -> None:
    augment = Augment(MEAN, STD)
    before = augment.drawn(WORDS[:200])
    for bit in range(64):
        after = augment.drawn(WORDS[:200] ^ (np.uint64(1) << np.uint64(bit)))
        changed = [bool((one != other).any()) for one, other in zip(before, after, strict=True)]
        expected = 0 if bit == 0 else 1 if bit <= 20 else 2 if bit <= 40 else 3
        assert changed == [part == expected for part in range(4)], bit


def test_augmenting_leaves_the_stored_images_alone() -> None:
    images = pictures(3)
    images.setflags(write=False)
    copy = images.copy()
    shown = Augment(MEAN, STD)(images, WORDS[:3])
    shown[...] = 7
    assert np.array_equal(images, copy)

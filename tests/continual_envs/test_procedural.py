from __future__ import annotations

import hashlib

import numpy as np
import pytest

from continual_envs.data import procedural
from continual_envs.data.procedural import CLASSES, draw


def test_images_of_every_number_are_bytes_of_one_shape() -> None:
    for label, n in ((0, 3), (CLASSES - 1, 1), (5, 0)):
        images = draw(label, 0, n)
        assert images.shape == (n, 32, 32, 3)
        assert images.dtype == np.uint8


@pytest.mark.parametrize("label", [0, 123, CLASSES - 1])
def test_an_image_is_the_same_whatever_range_it_is_drawn_in(label: int) -> None:
    images = draw(label, 590, 2 * procedural.CHUNK + 5)
    np.testing.assert_array_equal(images[7:12], draw(label, 597, 5))
    np.testing.assert_array_equal(images[-1:], draw(label, 590 + len(images) - 1, 1))


def test_no_two_images_are_the_same() -> None:
    images = np.concatenate([draw(label, first, 20) for label in (3, 4) for first in (0, 10**12)])
    assert len({image.tobytes() for image in images}) == len(images)


def test_every_class_has_a_recipe_of_its_own() -> None:
    recipes = [procedural._recipe(label) for label in range(CLASSES)]
    assert len(set(recipes)) == CLASSES
    assert {recipe.texture for recipe in recipes} == set(procedural.TEXTURES)
    shapes = {part.shape for recipe in recipes for part in (recipe.body, *recipe.parts)}
    assert shapes == set(procedural.SHAPES)


def test_every_shape_and_texture_is_finite() -> None:
    axis = np.linspace(-3, 3, 61)
    x, y = (part.ravel() for part in np.meshgrid(axis, axis))  # the centre among them
    for field in (*procedural.SHAPES.values(), *procedural.TEXTURES.values()):
        assert np.isfinite(field(x, y)).all()
    for name, field in procedural.SHAPES.items():
        assert 0.1 < (field(x, y) <= 1).mean() * 36 < 4.5, name  # the area, a disc's being 3.14


def test_mean_images_of_two_classes_are_alike() -> None:
    """The linear part of what tells classes apart is small: colours and places vary too much."""
    first, second = (draw(label, 0, 200).astype(float) for label in (10, 20))
    apart = np.abs(first.mean(0) - second.mean(0)).mean()
    assert apart < 0.5 * first.std(0).mean()


@pytest.mark.parametrize(
    ("label", "first", "n", "complaint"),
    [
        (
            CLASSES,
            0,
            1,
            "label: 1000 is not allowed; give a finite number at least 0 and at most 999",
        ),
        (-1, 0, 1, "label: -1 is not allowed; give a whole number of at least 0"),
        (0.5, 0, 1, "label: 0.5 is not allowed; give a whole number of at least 0"),
        (0, -1, 1, "first: -1 is not allowed; give a whole number of at least 0"),
        (0, 0, -1, "n: -1 is not allowed; give a whole number of at least 0"),
    ],
)
def test_bad_arguments_are_named(label: int, first: int, n: int, complaint: str) -> None:
    with pytest.raises(ValueError) as error:
        draw(label, first, n)
    assert str(error.value) == complaint


@pytest.mark.parametrize(
    ("label", "first", "digest"),
    [
        (0, 0, "6054814a229e2263"),
        (7, 600, "0bf5f29d340ce33b"),
        (999, 1000, "cc3f69073126bda3"),
    ],
)
def test_pixels_are_pinned(label: int, first: int, digest: str) -> None:
    """Exactly, as no operation of the generator may round differently elsewhere.

    A change of any pixel needs a new `VERSION`.
    """
    assert procedural.VERSION == "1"
    assert hashlib.sha256(draw(label, first, 4).tobytes()).hexdigest()[:16] == digest

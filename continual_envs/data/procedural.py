"""A thousand classes of 32 x 32 colour images drawn by a seeded generator: nothing to download.

A class is a recipe: a textured body and one to three parts, their shapes, where the parts sit on
the body, and how their colours relate to the body's. An image shows the recipe somewhere, in some
size, turned a little, often mirrored, in colours of its own, with more or less of the texture, some
parts missing or hidden, on a blotchy background, under uneven light, with noise; one in five is
darker than its background, the others are lighter. So single pixels say little about the class,
and shapes and textures say much.

Only + - * / sqrt floor abs min max of float64 are used, which IEEE 754 rounds in one way only: the
images are the same to the last grey level on every machine and with every numpy. Hence turns and
hues are points of the circle computed by division, and lobes come from Chebyshev polynomials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from continual_envs import checks
from continual_envs.seeding import Purpose, words

VERSION = "1"  # in the content hash of every stream of these images, in place of the pixels
CLASSES = 1000

SEED, SIDE = 20_240_823, 32
CHUNK = 16  # images at a time: their pixels stay in the cache of a processor core
VARIED = 112  # words of an image for all that varies but noise; some are left over
NOISE = SIDE * SIDE * 3 // 8  # words of an image for noise, a byte a pixel and colour
GRID = 6  # background blotches interpolate 6 x 6 numbers

Array = NDArray[np.float64]
Point = tuple[Array, Array]
Field = Callable[[Array, Array], Array]


def draw(label: int, first: int, n: int) -> NDArray[np.uint8]:
    """Return images number `first` to `first + n - 1` of a class, shape (n, 32, 32, 3), 0..255.

    An image is a pure function of its class and its number.

    Raises:
        ValueError: if there is no such class, or `first` or `n` is no whole number of at least 0.
    """
    for field, value in (("label", label), ("first", first), ("n", n)):
        checks.integer(field, value)
    checks.number("label", label, 0, CLASSES - 1)
    recipe = _recipe(label)
    images = np.empty((n, SIDE, SIDE, 3), np.uint8)
    for start in range(0, n, CHUNK):
        numbers = range(first + start, first + min(start + CHUNK, n))
        drawn = [words(SEED, Purpose.IMAGES, i * CLASSES + label, VARIED + NOISE) for i in numbers]
        images[start : start + CHUNK] = _render(recipe, np.stack(drawn))
    return images


class _Uniforms:
    """Uniform numbers made of words (rows, k), one column after the other; arrays are (rows, 1)."""

    def __init__(self, drawn: NDArray[np.uint64]) -> None:
        self._left = iter(((drawn >> np.uint64(11)) * 2.0**-53).T[:, :, None])

    def between(self, low: float, high: float) -> Array:
        """Return numbers in [low, high)."""
        return low + (high - low) * next(self._left)

    def happens(self, probability: float) -> Array:
        """Return 1 with a probability, else 0."""
        return (next(self._left) < probability).astype(np.float64)

    def sign(self) -> Array:
        """Return -1 or 1, evenly."""
        return 2 * self.happens(0.5) - 1

    def direction(self) -> Point:
        """Return points of the unit circle, all around it."""
        (x, y), sign = _half_tangent(self.between(-1, 1)), self.sign()
        return sign * x, sign * y


def _half_tangent(t: Array) -> Point:
    """Return the cosine and the sine of the angle whose half has tangent t."""
    return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


# ------------------------------------------------------------------------- shapes and textures


def _radius(x: Array, y: Array) -> Array:
    return np.sqrt(x * x + y * y)


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y))


def _lobes(x: Array, y: Array, m: int) -> Array:
    """Return the cosine of m times the angle of (x, y), by the Chebyshev recurrence."""
    cosine = x / np.maximum(_radius(x, y), 1e-9)
    before, now = np.ones_like(cosine), cosine
    for _ in range(m - 1):
        before, now = now, 2 * cosine * now - before
    return now


# at most 1 inside the shape; outside it grows by about 1 a radius
SHAPES: dict[str, Field] = {
    "disc": _radius,
    "square": lambda x, y: _square(x, y) / 0.85,
    "diamond": lambda x, y: (np.abs(x) + np.abs(y)) / 1.15,
    "triangle": lambda x, y: np.maximum(-2 * y, 1.732 * np.abs(x) + y) / 1.2,
    "ring": lambda x, y: np.abs(_radius(x, y) - 0.75) + 0.75,
    "frame": lambda x, y: np.abs(_square(x, y) - 0.7) + 0.8,
    "cross": lambda x, y: np.minimum(_square(x, 3 * y), _square(3 * x, y)),
    "bar": lambda x, y: _square(x / 1.2, y / 0.4),
    "moon": lambda x, y: np.maximum(_radius(x, y), 1.9 - _radius(x - 0.55, y) / 0.8),
    "clover": lambda x, y: _radius(x, y) / (1 + 0.35 * _lobes(x, y, 3)),
    "flower": lambda x, y: _radius(x, y) / (1 + 0.35 * _lobes(x, y, 4)),
    "star": lambda x, y: _radius(x, y) / (1 + 0.4 * _lobes(x, y, 5)),
}


def _wave(x: Array) -> Array:
    """Return a triangle wave of period 1, in [-1, 1]."""
    return 4 * np.abs(x - np.floor(x) - 0.5) - 1


# at most -1 is the body's one lightness, at least 1 the other; x and y are in periods
TEXTURES: dict[str, Field] = {
    "plain": lambda x, y: np.full_like(x, -1),
    "stripes": lambda x, y: 2 * _wave(x),
    "checks": lambda x, y: 4 * _wave(x) * _wave(y),
    "dots": lambda x, y: 2 * (_wave(x) + _wave(y)) - 1,
    "rings": lambda x, y: 2 * _wave(_radius(x, y)),
    "zigzag": lambda x, y: 2 * _wave(x + 0.3 * _wave(0.7 * y)),
    "spokes": lambda x, y: 3 * _lobes(x, y, 5),
}


# ------------------------------------------------------------------------------------- classes


@dataclass(frozen=True)
class _Part:
    """A shape on the body.

    Attributes:
        shape: a name in `SHAPES`.
        x, y: the centre, in radii of the body.
        size: the radius, in radii of the body.
        stretch: the square root of width over height.
        turn: the tangent of half the angle.
        tone: lightness: 0 is the body's, 1 the background's, below 0 further away from it.
        hue: its turn from the body's, a point of the unit circle.
    """

    shape: str
    x: float
    y: float
    size: float
    stretch: float
    turn: float
    tone: float
    hue: tuple[float, float]


@dataclass(frozen=True)
class _Recipe:
    """A class.

    Attributes:
        body: what carries the parts and the texture.
        parts: in the order in which they are painted.
        texture: a name in `TEXTURES`.
        frequency: of the texture, in periods a radius of the body.
        grain: the direction of the texture, a point of the unit circle.
    """

    body: _Part
    parts: tuple[_Part, ...]
    texture: str
    frequency: float
    grain: tuple[float, float]


@cache
def _recipe(label: int) -> _Recipe:
    uniforms = _Uniforms(words(SEED, Purpose.CLASSES, label, 64)[None])

    def number(low: float, high: float) -> float:
        return uniforms.between(low, high).item()

    def point() -> tuple[float, float]:
        x, y = uniforms.direction()
        return x.item(), y.item()

    def name(table: dict[str, Field]) -> str:
        return list(table)[int(number(0, len(table)))]

    def part() -> _Part:
        (x, y), away, size = point(), number(0.2, 1.05), number(0.3, 0.55)
        stretch, turn = number(0.6, 1.6), number(-1, 1)
        tone = (-0.7, 0.5, 1.3)[int(number(0, 3))]
        hue = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(number(0, 4))]
        return _Part(name(SHAPES), away * x, away * y, size, stretch, turn, tone, hue)

    stretch, turn = number(0.75, 1.3), number(-0.4, 0.4)
    body = _Part(name(SHAPES), 0.0, 0.0, 1.0, stretch, turn, 0.0, (1.0, 0.0))
    parts = tuple(part() for _ in range(1 + int(number(0, 3))))
    return _Recipe(body, parts, name(TEXTURES), number(0.8, 2.2), point())


# -------------------------------------------------------------------------------------- images
ACROSS = np.tile((np.arange(SIDE) - 15.5) / 16, SIDE)[None]  # of all pixels, from -1 to 1
DOWN = np.repeat((np.arange(SIDE) - 15.5) / 16, SIDE)[None]
HUES = ((1.0, 0.0), (-0.5, 0.75), (-0.5, -0.75))  # red, green, blue on the two axes of colour


def _render(recipe: _Recipe, drawn: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return one image a row of words, shape (rows, 32, 32, 3)."""
    uniforms = _Uniforms(drawn[:, :VARIED])
    middle = uniforms.between(0.45, 0.55)
    contrast = uniforms.between(0.4, 0.6) * (1 - 2 * uniforms.happens(0.2))
    behind, front = middle - contrast / 2, middle + contrast / 2
    canvas = np.zeros((3, len(drawn), SIDE * SIDE))
    backdrop = behind + uniforms.between(0.03, 0.15) * _blotches(uniforms)
    _paint(canvas, np.ones_like(behind), backdrop, uniforms.direction(), uniforms.between(0, 0.1))

    hue, strength = uniforms.direction(), uniforms.between(0.1, 0.3)
    x, y, size = _place(uniforms)
    frequency, (c, s) = recipe.frequency * uniforms.between(0.9, 1.1), recipe.grain
    phase = uniforms.between(0, 1)
    u, v = frequency * (c * x + s * y) + phase, frequency * (c * y - s * x) + 2 * phase
    texture = np.clip(TEXTURES[recipe.texture](u, v), -1, 1)
    lightness = front - uniforms.between(0, 0.4) * contrast * (1 + texture)
    _paint(canvas, _cover(recipe.body, x, y, size, uniforms), lightness, hue, strength)
    for part in recipe.parts:
        shown = _cover(part, x, y, size, uniforms) * uniforms.happens(0.8)
        (c, s), (h, v) = part.hue, hue
        turned = c * h - s * v, s * h + c * v
        _paint(canvas, shown, front - part.tone * contrast, turned, strength)
    for _ in range(2):
        shown = _stick(uniforms) * uniforms.happens(0.35)
        hue, strength = uniforms.direction(), uniforms.between(0, 0.25)
        _paint(canvas, shown, uniforms.between(0.1, 0.9), hue, strength)

    (h, v), slope = uniforms.direction(), uniforms.between(0, 0.15)
    canvas += slope * (h * ACROSS + v * DOWN)
    noise = np.ascontiguousarray(drawn[:, VARIED:]).astype("<u8").view(np.uint8) / 127.5 - 1
    noise = (uniforms.between(0.02, 0.1) * noise).reshape(-1, SIDE * SIDE, 3)
    pixels = np.clip(canvas.transpose(1, 2, 0) + noise, 0, 1)
    return np.floor(pixels * 255 + 0.5).astype(np.uint8).reshape(-1, SIDE, SIDE, 3)


def _blotches(uniforms: _Uniforms) -> Array:
    """Return a smooth random surface in [-1, 1], shape (rows, pixels)."""
    grid = np.stack([uniforms.between(-1, 1) for _ in range(GRID**2)], 1).reshape(-1, GRID, GRID)
    low, part = np.divmod(np.arange(SIDE) * (GRID - 1), SIDE)
    part = part / SIDE
    grid = grid[:, low] + (grid[:, low + 1] - grid[:, low]) * part[:, None]
    grid = grid[:, :, low] + (grid[:, :, low + 1] - grid[:, :, low]) * part
    return grid.reshape(-1, SIDE * SIDE)


def _place(uniforms: _Uniforms) -> tuple[Array, Array, Array]:
    """Return the pixels' coordinates in radii of the body, and the radius in half images."""
    size, mirror = uniforms.between(0.42, 0.75), uniforms.sign()
    x = (ACROSS - uniforms.between(-0.22, 0.22)) / size * mirror
    y = (DOWN - uniforms.between(-0.22, 0.22)) / size
    c, s = _half_tangent(uniforms.between(-0.2, 0.2))
    return c * x + s * y, c * y - s * x, size


def _cover(part: _Part, x: Array, y: Array, size: Array, uniforms: _Uniforms) -> Array:
    """Return how much of each pixel a part covers, 0..1; no two images have quite the same part."""
    x, y = x - part.x - uniforms.between(-0.1, 0.1), y - part.y - uniforms.between(-0.1, 0.1)
    radius = part.size * uniforms.between(0.85, 1.15)
    stretch = part.stretch * uniforms.between(0.88, 1.13)
    c, s = _half_tangent(part.turn + uniforms.between(-0.1, 0.1))
    x, y = (c * x + s * y) / (radius * stretch), (c * y - s * x) * stretch / radius
    return np.clip((1 - SHAPES[part.shape](x, y)) * radius * size * 16 + 0.5, 0, 1)


def _stick(uniforms: _Uniforms) -> Array:
    """Return how much of each pixel a stick anywhere covers, 0..1."""
    c, s = uniforms.direction()
    x, y = ACROSS - uniforms.between(-1, 1), DOWN - uniforms.between(-1, 1)
    field = SHAPES["bar"]((c * x + s * y) / 0.5, (c * y - s * x) / uniforms.between(0.2, 0.4))
    return np.clip((1 - field) * 4 + 0.5, 0, 1)


def _paint(canvas: Array, shown: Array, lightness: Array, hue: Point, strength: Array) -> None:
    """Cover the share `shown` of each pixel of a canvas (3, rows, pixels) with a colour."""
    for layer, (a, b) in zip(canvas, HUES, strict=True):
        layer += shown * (lightness + strength * (a * hue[0] + b * hue[1]) - layer)

"""Pairs of classes: the protocol of Continual ImageNet, wherever the images come from.

Source: Dohare et al., Nature 632 (2024), arXiv 2306.13812.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from continual_envs import checks
from continual_envs.core import Held, Stream, Task
from continual_envs.seeding import Purpose, permutation
from continual_envs.transforms import Scale

Head = Literal["zero", "keep"]


class Pairs(Stream):
    """Two classes a task, told apart over several passes; the base of the problems.

    The sequence of classes is a permutation of all, then another one: no class comes back before
    all were used (of an odd number the last is left out), and every agent sees the same. Inputs are
    float32 in [0, 1], shape (32, 32, 3).

    Args:
        seed: stream seed.
        classes: how many classes there are.
        train_images: of each class.
        test_images: of each class, held out.
        epochs: passes over a task's training images, each in a new order.
        head: "zero" tells the agent to zero its output layer when a task begins, "keep" does not.
    """

    outcome: ClassVar[Literal["accuracy"]] = "accuracy"
    inputs_shape = (32, 32, 3)
    classes = 2

    def __init__(
        self,
        seed: int,
        *,
        classes: int,
        train_images: int,
        test_images: int,
        epochs: int,
        head: Head,
    ) -> None:
        super().__init__(seed)
        self._pool, self.train_images, self.test_images = classes, train_images, test_images
        self.epochs = checks.integer("epochs", epochs, 1)
        self._head = checks.one_of("head", head, ("zero", "keep"))
        self.examples_per_task = 2 * train_images * self.epochs
        self.disclosed = ("epoch", "head") if head == "zero" else ("epoch",)

    @abstractmethod
    def images(self, label: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
        """Return training and test images of a class, (n, 32, 32, 3), and what identifies them."""

    def pair(self, index: int) -> tuple[int, int]:
        """Return the two classes of task `index`; the first has target 0."""
        turn, place = divmod(index, self._pool // 2)
        order = permutation(self.seed, Purpose.CLASSES, turn, self._pool)
        return int(order[2 * place]), int(order[2 * place + 1])

    def task(self, index: int) -> Task:
        """Return task `index`: every training image once a pass, in a fresh order."""
        train, test, source = self._pair_images(self.pair(index))
        n, first = 2 * self.train_images, index * self.epochs
        orders = [permutation(self.seed, Purpose.ORDER, first + i, n) for i in range(self.epochs)]
        rows = np.concatenate(orders)
        held = np.arange(2 * self.test_images)
        return Task(
            index,
            train,
            rows,
            Scale(),
            rows // self.train_images,
            source=source,
            test=Held(test, held, Scale(), held // self.test_images),
        )

    def privileges(self, index: int, example: int) -> dict[str, Any]:
        """Return the pass and, where the protocol says so, that the head is to be zeroed."""
        told: dict[str, Any] = {"epoch": example // (2 * self.train_images)}
        return told | ({"zero_head": example == 0} if self._head == "zero" else {})

    def _pair_images(
        self, pair: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
        trains, tests, sources = zip(*map(self.images, pair), strict=True)
        train = np.concatenate([images[: self.train_images] for images in trains])
        test = np.concatenate([images[: self.test_images] for images in tests])
        return train, test, " ".join(sources)


def images_per_class(
    field: str, given: int | None, usual: int, available: int, whole: int = 1
) -> int:
    """Return how many images of a class are used: `given`, else `usual` or all that there are.

    Of all that there are, as many `whole` ones as go into them, if one does.

    Raises:
        ValueError: fewer than 1, or more than there are.
    """
    if given is None:
        most = min(usual, available)
        return most - most % whole if most >= whole else most
    if checks.integer(field, given, 1) > available:
        raise ValueError(f"{field}: {given} is not allowed; every class has {available} of them")
    return given

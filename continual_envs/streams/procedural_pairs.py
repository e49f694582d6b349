"""Procedural pairs: the protocol of Continual ImageNet on images that a generator draws."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from continual_envs.data import procedural
from continual_envs.streams.pairs import Head, Pairs, images_per_class

TRAIN, TEST = 600, 100  # images a class, as published for Continual ImageNet
_drawn = functools.lru_cache(8)(procedural.draw)  # two tasks, as a chunk may span


class ProceduralPairs(Pairs):
    """Pairs of 1,000 classes of drawn images, by the protocol of Continual ImageNet; no download.

    Observation (B, 32, 32, 3) float32 in [0, 1], B = 100 unless said; action one of 2 classes for
    each image; outcome accuracy on the test images after the last pass, chance 0.5. Told beyond the
    signal at a switch: the pass, and that the head is to be zeroed. Protocol: Dohare et al. (2024).

    Differs from the paper in: the images, which are those of `continual_envs.data.procedural`, and
    40 passes a pair in place of 250, since they are learned in that many.

    Args:
        seed: stream seed; the images of a class are the same for every seed.
        epochs: passes over a task's training images.
        train_images: of each class.
        test_images: of each class.
        head: "zero": the output layer is zeroed at every task, for every agent.
    """

    scored = "last test"

    def __init__(
        self,
        seed: int,
        *,
        epochs: int = 40,
        train_images: int = TRAIN,
        test_images: int = TEST,
        head: Head = "zero",
    ) -> None:
        super().__init__(
            seed,
            classes=procedural.CLASSES,
            train_images=images_per_class("train_images", train_images, TRAIN, TRAIN),
            test_images=images_per_class("test_images", test_images, TEST, TEST),
            epochs=epochs,
            head=head,
        )

    def images(self, label: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
        """Return the images of a class, and the version of the generator that draws them."""
        train = _drawn(label, 0, self.train_images)
        test = _drawn(label, TRAIN, self.test_images)
        return train, test, f"procedural {procedural.VERSION} class {label}"

"""Continual ImageNet: one pair of ImageNet classes after another, at 32x32 pixels.

Source: Dohare et al., Nature 632 (2024), arXiv 2306.13812, and its published code; the shorter
variant is that of Kumar et al. (2023), arXiv 2308.11958.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from continual_envs import data
from continual_envs.core import Scored
from continual_envs.streams.pairs import Head, Pairs, images_per_class

TRAIN, TEST = 600, 100  # images a class, as published
WHOLE = 50  # training images of each of two classes, so that a pass is whole batches of 100


class ContinualImageNet(Pairs):
    """Continual ImageNet as published: 250 passes a pair, scored on held-out images at the end.

    Observation (B, 32, 32, 3) float32 in [0, 1], B = 100 unless said; action one of 2 classes for
    each image; outcome accuracy on the test images after the last pass, chance 0.5. Told beyond the
    signal at a switch: the pass, and that the head is to be zeroed.

    Differs from the paper in: the data, unless dataset is "imagenet"; grey levels are scaled to
    [0, 1], while the published code takes the numbers in its files as they are; a permutation of
    the classes is drawn anew when all were used, where the published code repeats one of each run,
    so that the same pairs come back every 500 tasks.

    Args:
        seed: stream seed.
        dataset: "imagenet32" (200 classes, 500 and 50 images), "imagenet" (the published per-class
            files, 1,000 classes, 600 and 100), or a folder of class folders of images.
        epochs: passes over a task's training images.
        train_images: of each class; default 600, or as many fifties as every class has (fewer than
            fifty: all, and batch_size needs a divisor of a pass).
        test_images: of each class; default 100, or as many as every class has.
        head: "zero": the output layer is zeroed at every task, for every agent, as published.

    Raises:
        DataNotFound, DataCorrupt: the images are not there or not what they should be.
    """

    scored: Scored = "last test"

    def __init__(
        self,
        seed: int,
        *,
        dataset: str = "imagenet32",
        epochs: int = 250,
        train_images: int | None = None,
        test_images: int | None = None,
        head: Head = "zero",
    ) -> None:
        self._source = data.image_classes(dataset)
        super().__init__(
            seed,
            classes=self._source.count,
            train_images=images_per_class(
                "train_images", train_images, TRAIN, self._source.train_images, WHOLE
            ),
            test_images=images_per_class(
                "test_images", test_images, TEST, self._source.test_images
            ),
            epochs=epochs,
            head=head,
        )

    def images(self, label: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
        """Return the images of a class and the SHA-256 of its file."""
        found = self._source.load(label)
        return found.train, found.test, found.sha256


class KumarContinualImageNet(ContinualImageNet):
    """Continual ImageNet of Kumar et al. (2023): 10 passes a pair, scored as they come.

    Observation (B, 32, 32, 3) float32 in [0, 1], B = 100 unless said; action one of 2 classes for
    each image; outcome accuracy on the training images before learning from them, mean over the
    passes, chance 0.5. Told beyond the signal at a switch: the pass. Nothing is zeroed.

    Differs from the paper in: the data, unless dataset is "imagenet", so that a class comes back
    after all were used; the pass is told to every agent, and disclosure is "signalled" unless said,
    where the paper's agents get no signal. Backprop and the remedies published for it take no note.

    Args:
        seed: stream seed.
        dataset: see `ContinualImageNet`.
        epochs: passes over a task's training images.
        train_images: of each class; default 600, or as many fifties as every class has (fewer than
            fifty: all, and batch_size needs a divisor of a pass).
        test_images: of each class; default 100, or as many as every class has.

    Raises:
        DataNotFound, DataCorrupt: the images are not there or not what they should be.
    """

    scored: Scored = "online"

    def __init__(
        self,
        seed: int,
        *,
        dataset: str = "imagenet32",
        epochs: int = 10,
        train_images: int | None = None,
        test_images: int | None = None,
    ) -> None:
        super().__init__(
            seed,
            dataset=dataset,
            epochs=epochs,
            train_images=train_images,
            test_images=test_images,
            head="keep",
        )

"""Class-incremental CIFAR-100: five classes more at every task, all seen ones trained together.

Source: Dohare et al., Nature 632 (2024), arXiv 2306.13812, and its published code.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from continual_envs import checks, data
from continual_envs.core import Held, Stream, Task
from continual_envs.seeding import Purpose, permutation, words
from continual_envs.transforms import Augment, Standardise

CLASSES = 100
IMAGES, VALIDATION, TEST = 500, 50, 100  # of each class; the validation images are of the 500
MEAN, STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)


class IncrementalCIFAR100(Stream):
    """CIFAR-100 in increments of five classes, 200 passes each, over all classes seen so far.

    Observation (B, 32, 32, 3) float32, standardised by channel and augmented (`Augment`), B = 90
    unless said; action one of 100 classes for each image; outcome the best accuracy of an increment
    on the test images of the classes seen, looked at after every pass; chance 1 / classes seen.

    Told beyond the signal at a switch: the pass, which published learners set their step size by,
    and the classes seen. When an increment ends the evaluation puts back the parameters that did
    best on the validation images, for every learner that can. After the twentieth task, with which
    the published study ends, all classes stay.

    Differs from the paper in: the 50 validation images of a class are drawn, not the first of the
    file, since neighbours can be near-duplicates.

    Args:
        seed: stream seed; decides the order of classes.
        classes_per_task: new ones a task.
        epochs: passes over a task's training images, each in a new order and newly augmented.
        train_images: of each class, at most 450.
        augment: flip, crop and rotate training images.
        early_stopping: put the best parameters back when an increment ends.

    Raises:
        DataNotFound, DataCorrupt: the images are not there or not what they should be.
    """

    outcome: ClassVar[Literal["accuracy"]] = "accuracy"
    scored = "best test"
    classes = CLASSES
    input_range = (-3.0, 3.0)
    inputs_shape = (32, 32, 3)

    def __init__(
        self,
        seed: int,
        *,
        classes_per_task: int = 5,
        epochs: int = 200,
        train_images: int = IMAGES - VALIDATION,
        augment: bool = True,
        early_stopping: bool = True,
    ) -> None:
        super().__init__(seed)
        self._step = checks.integer("classes_per_task", classes_per_task, 1)
        if self._step > CLASSES:
            raise ValueError(f"classes_per_task: {self._step} is not allowed; there are {CLASSES}")
        self.epochs = checks.integer("epochs", epochs, 1)
        self._images = checks.integer("train_images", train_images, 1)
        if self._images > IMAGES - VALIDATION:
            raise ValueError(
                f"train_images: {train_images} is not allowed; at most {IMAGES - VALIDATION} "
                "of a class are for training"
            )
        checks.flag("augment", augment)
        checks.flag("early_stopping", early_stopping)
        self._load()
        self._plain = Standardise(np.array(MEAN, np.float32), np.array(STD, np.float32))
        self._shown = Augment(self._plain.mean, self._plain.std) if augment else self._plain
        self.reloads = early_stopping
        self.disclosed = ("epoch", "seen", *(("validation",) if early_stopping else ()))
        self.examples_per_task = self.length(0)
        self._order = permutation(seed, Purpose.CLASSES, 0, CLASSES)

    def seen(self, index: int) -> NDArray[np.int64]:
        """Return the classes of task `index`, in the order in which they came."""
        return self._order[: self._count(index)]

    def length(self, index: int) -> int:
        """Return how many examples task `index` has: all passes over the classes seen."""
        return self._count(index) * self._images * self.epochs

    def start(self, index: int) -> int:
        """Return the position of the first example of task `index`."""
        growing = min(index, CLASSES // self._step)
        counts = self._step * growing * (growing + 1) // 2 + (index - growing) * CLASSES
        return counts * self._images * self.epochs

    def task(self, index: int) -> Task:
        """Return task `index`: every training image of the classes seen once a pass."""
        seen = self.seen(index)
        rows = _split()[seen, VALIDATION : VALIDATION + self._images].reshape(-1)
        passes = range(index * self.epochs, (index + 1) * self.epochs)
        orders = [permutation(self.seed, Purpose.ORDER, one, len(rows)) for one in passes]
        shown = rows[np.concatenate(orders)]
        draws = None
        if isinstance(self._shown, Augment):
            drawn = [words(self.seed, Purpose.AUGMENTATION, one, len(rows)) for one in passes]
            draws = np.concatenate(drawn)
        validation = _split()[seen, :VALIDATION].reshape(-1)
        test = (TEST * seen[:, None] + np.arange(TEST)).reshape(-1)
        return Task(
            index,
            self._train,
            shown,
            self._shown,
            shown // IMAGES,
            draws=draws,
            source=self._sha256,
            test=Held(self._test, test, self._plain, test // TEST),
            validation=Held(self._train, validation, self._plain, validation // IMAGES),
        )

    def privileges(self, index: int, example: int) -> dict[str, Any]:
        """Return the pass, and which classes there are."""
        seen = np.zeros(CLASSES, dtype=bool)
        seen[self.seen(index)] = True
        return {"epoch": example // (self._count(index) * self._images), "seen": seen}

    def anchor(self, index: int) -> float:
        """Return chance accuracy among the classes seen."""
        return 1 / self._count(index)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the images, which every process reads once."""
        return {
            name: value
            for name, value in vars(self).items()
            if name not in ("_train", "_test", "_latest")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the images from this process."""
        vars(self).update(state, _latest=None)
        self._load()

    def _load(self) -> None:
        cifar = data.cifar100()
        self._train = cifar.train.reshape(-1, *self.inputs_shape)
        self._test = cifar.test.reshape(-1, *self.inputs_shape)
        self._sha256 = cifar.sha256

    def _count(self, index: int) -> int:
        return min(self._step * (index + 1), CLASSES)


@functools.cache
def _split() -> NDArray[np.int64]:
    """Return the training file's rows of every class, those for validation first, (100, 500)."""
    orders = [permutation(0, Purpose.SPLIT, label, IMAGES) for label in range(CLASSES)]
    rows: NDArray[np.int64] = np.stack(orders) + IMAGES * np.arange(CLASSES)[:, None]
    rows.setflags(write=False)
    return rows

"""Online Permuted MNIST: the same images for ever, their pixels permuted anew at every task.

Source: Dohare et al., Nature 632 (2024), arXiv 2306.13812; one example at a time, each image once a
task, no signal at the switch.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from continual_envs import checks, data
from continual_envs.core import Stream, Task
from continual_envs.seeding import Purpose, permutation
from continual_envs.transforms import Pixels


class PermutedImages(Stream):
    """Images whose pixels, labels or both are permuted at every task; the base of the problems.

    Inputs are float32 in [0, 1], shape (d,); targets are labels, int64.
    """

    outcome: ClassVar[Literal["accuracy"]] = "accuracy"

    def __init__(
        self,
        seed: int,
        *,
        dataset: str,
        permute: Literal["pixels", "labels", "both"],
        examples_per_task: int | None,
        permuted_fraction: float,
    ) -> None:
        super().__init__(seed)
        self._images = data.load(checks.one_of("dataset", dataset, data.names()))
        self._permute = checks.one_of("permute", permute, ("pixels", "labels", "both"))
        self._fraction = checks.number("permuted_fraction", permuted_fraction, 0, 1)
        pixels = self._images.inputs.shape[1]
        if 0 < self._fraction and round(self._fraction * pixels) < 2:
            raise ValueError(
                f"permuted_fraction: {permuted_fraction} of {pixels} pixels permutes nothing; "
                f"give 0 or at least {2 / pixels:.3g}"
            )
        if examples_per_task is None:
            examples_per_task = len(self._images.labels)
        self.examples_per_task = checks.integer("examples_per_task", examples_per_task, 1)
        self.inputs_shape = self._images.inputs.shape[1:]
        self.classes = self._images.classes
        self._composed: tuple[int, NDArray[np.int64]] | None = None

    def task(self, index: int) -> Task:
        """Return task `index`: a fresh order of the images under its own permutations."""
        images = self._images
        rows = self._rows(index)
        columns, labels = np.arange(images.inputs.shape[1]), images.labels
        if self._permute != "labels":
            columns = self._columns(index)
        if self._permute != "pixels":
            labels = permutation(self.seed, Purpose.LABELS, index, images.classes)[labels]
        return Task(index, images.inputs, rows, Pixels(columns, images.max_value), labels[rows])

    def _rows(self, index: int) -> NDArray[np.int64]:
        """Return whole shuffled passes over the images, the last one cut to the task's length."""
        n = len(self._images.labels)
        passes = -(-self.examples_per_task // n)
        first = index * passes
        orders = [permutation(self.seed, Purpose.ORDER, first + i, n) for i in range(passes)]
        return np.concatenate(orders)[: self.examples_per_task]

    def _columns(self, index: int) -> NDArray[np.int64]:
        """Return the pixel permutation; a partial one is applied on top of the previous task's."""
        d = self._images.inputs.shape[1]
        if self._fraction == 1:  # on top of the previous one is as good as anew
            return permutation(self.seed, Purpose.PIXELS, index, d)
        start, columns = self._composed or (-1, np.arange(d))
        if start > index:
            start, columns = -1, np.arange(d)
        for step in range(start + 1, index + 1):
            columns = columns[self._partial(step, d)]
        self._composed = (index, columns)
        return columns

    def _partial(self, index: int, d: int) -> NDArray[np.int64]:
        """Return the permutation that moves `permuted_fraction` of the pixels among themselves."""
        chosen = permutation(self.seed, Purpose.PIXELS, index, d)[: round(self._fraction * d)]
        columns = np.arange(d)
        columns[np.sort(chosen)] = chosen
        return columns


class PermutedMNIST(PermutedImages):
    """Online Permuted MNIST: a new permutation of the pixels at every task.

    Observation (784,) float32 in [0, 1], not normalised further; action a class of 10; outcome
    accuracy, chance 0.1. Source: Dohare et al. 2024. Differs from the paper in: a task longer than
    the data set is made of whole reshuffled passes, not of draws with replacement.

    Args:
        seed: stream seed.
        dataset: "mnist" or "fashion_mnist" (60,000 training images of 28x28), or "digits" (1,797 of
            8x8, embedded).
        examples_per_task: default the whole data set once, as published.
        permuted_fraction: share of the pixels permuted at each switch, in [0, 1]; below 1 the
            permutations pile up task by task.

    Raises:
        DataNotFound, DataCorrupt: the data set is not there or not what it should be.
    """

    def __init__(
        self,
        seed: int,
        *,
        dataset: Literal["mnist", "fashion_mnist", "digits"] = "mnist",
        examples_per_task: int | None = None,
        permuted_fraction: float = 1.0,
    ) -> None:
        settings: dict[str, Any] = {"dataset": dataset, "permute": "pixels"}
        settings |= {"examples_per_task": examples_per_task, "permuted_fraction": permuted_fraction}
        super().__init__(seed, **settings)

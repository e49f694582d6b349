"""Permuted digits: loss of plasticity in seconds, on data that comes with the package."""

from __future__ import annotations

from typing import Literal

from continual_envs.streams.permuted_mnist import PermutedImages


class PermutedDigits(PermutedImages):
    """1,797 handwritten digits of 8x8 whose pixels, labels or both are permuted at every task.

    Observation (64,) float32 in [0, 1]; action a class of 10; outcome accuracy, chance 0.1.
    The protocol is that of Online Permuted MNIST (Dohare et al. 2024); label permutation follows
    Elsayed and Mahmood (2024). Data: UCI optical recognition of handwritten digits.

    Args:
        seed: stream seed.
        permute: what a switch permutes.
        examples_per_task: default the whole data set once.
    """

    def __init__(
        self,
        seed: int,
        *,
        permute: Literal["pixels", "labels", "both"] = "pixels",
        examples_per_task: int | None = None,
    ) -> None:
        super().__init__(
            seed,
            dataset="digits",
            permute=permute,
            examples_per_task=examples_per_task,
            permuted_fraction=1.0,
        )

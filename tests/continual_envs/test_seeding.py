"""Random words are a pure function of (seed, purpose, index), the same in every numpy."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest

from continual_envs.seeding import Purpose, bits, permutation, uniforms, words
from tests.problems import IDS, make, start


def test_the_words_themselves() -> None:
    assert words(0, Purpose.ORDER, 0, 3).tolist() == [
        10424841047235941500,
        17255695675875941810,
        8852122957518882975,
    ]
    assert words(7, Purpose.PIXELS, 12, 3).tolist() == [
        1202491371521906586,
        10270408784167472973,
        13181470263714592138,
    ]


def test_purposes_never_change_their_number() -> None:
    assert {purpose.name: int(purpose) for purpose in Purpose} == {
        "ORDER": 0,
        "PIXELS": 1,
        "LABELS": 2,
        "TARGET": 3,
        "DRIFT": 4,
        "NOISE": 5,
        "CLASSES": 6,
        "AUGMENTATION": 7,
        "IMAGES": 8,
        "SPLIT": 9,
        "SCHEDULE": 10,
        "EPISODES": 11,
        "ACTIONS": 12,
        "COPIES": 13,
    }


def test_every_key_has_words_of_its_own() -> None:
    keys = list(product((0, 1, 2**31, 2**64 + 1), Purpose, (0, 1, 2, 1000)))
    assert len({words(*key, 2).tobytes() for key in keys}) == len(keys)


def test_more_words_begin_with_the_same_ones() -> None:
    assert words(3, Purpose.NOISE, 1, 100)[:10].tolist() == words(3, Purpose.NOISE, 1, 10).tolist()


def test_uniform_numbers_are_the_high_bits_of_the_words() -> None:
    drawn = uniforms(2, Purpose.DRIFT, 5, 1000)
    assert drawn.dtype == np.float64
    exact = [int(word >> 11) / 2**53 for word in words(2, Purpose.DRIFT, 5, 1000).tolist()]
    assert drawn.tolist() == exact
    assert 0 <= drawn.min() < 0.01 and 0.99 < drawn.max() < 1 and abs(drawn.mean() - 0.5) < 0.03


@pytest.mark.parametrize("n", [1, 2, 64, 1797])
def test_permutations_are_permutations(n: int) -> None:
    drawn = permutation(5, Purpose.ORDER, 3, n)
    assert drawn.dtype == np.int64
    assert np.sort(drawn).tolist() == list(range(n))


def test_permutations_are_uniform() -> None:
    """All 24 orders of 4 things, chi-square with 23 degrees of freedom, p = 1e-4 at 58."""
    drawn = [tuple(permutation(0, Purpose.PIXELS, index, 4)) for index in range(4800)]
    counts = np.array([drawn.count(order) for order in set(drawn)])
    assert len(counts) == 24
    assert ((counts - 200) ** 2 / 200).sum() < 58


def test_bits_are_fair_and_independent() -> None:
    drawn = bits(1, Purpose.DRIFT, 0, (4096, 64))
    assert drawn.dtype == np.uint8 and set(np.unique(drawn)) == {0, 1}
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 5 * 0.5 / 64
    correlations = np.corrcoef(drawn.T) - np.eye(64)
    assert np.abs(correlations).max() < 5.5 / 64


def test_fewer_columns_are_the_low_bits() -> None:
    wide, narrow = (bits(1, Purpose.NOISE, 4, (50, columns)) for columns in (64, 5))
    assert np.array_equal(wide[:, :5], narrow)
    assert np.array_equal(
        wide.astype(np.uint64) @ (np.uint64(1) << np.arange(64, dtype=np.uint64)),
        words(1, Purpose.NOISE, 4, 50),
    )


@pytest.mark.parametrize("problem", IDS)
def test_the_global_generators_are_left_alone(problem: str) -> None:
    before = random.getstate(), np.random.get_state()[1].tobytes(), np.random.get_state()[2:]
    env = make(problem)
    start(env, 0, 60)
    env.reset()
    after = random.getstate(), np.random.get_state()[1].tobytes(), np.random.get_state()[2:]
    assert before == after

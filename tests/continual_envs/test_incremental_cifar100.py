"""Class-incremental CIFAR-100: what is shown, held out and told, on images that say which they are.

Image i of class c is c in its red channel and i in green (i % 256) and blue (i // 256); test images
are numbered from 1000.
"""

from __future__ import annotations

import pickle
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from continual_envs.streams import incremental_cifar100
from continual_envs.streams.incremental_cifar100 import MEAN, STD, IncrementalCIFAR100
from continual_envs.transforms import Augment, Standardise
from tests.problems import make

STEPS = [1, 5, 7, 30, 50, 100]


@cache
def numbered() -> SimpleNamespace:
    parts = []
    for first, n in ((0, 500), (1000, 100)):
        numbers = np.arange(first, first + n)
        pixels = np.empty((100, n, 3), dtype=np.uint8)
        pixels[..., 0] = np.arange(100)[:, None]
        pixels[..., 1], pixels[..., 2] = numbers % 256, numbers // 256
        same = np.broadcast_to(pixels[:, :, None, None], (100, n, 32, 32, 3))
        parts.append(same)
    return SimpleNamespace(train=parts[0], test=parts[1], sha256="numbered")


@pytest.fixture(autouse=True)
def _numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental_cifar100, "data", SimpleNamespace(cifar100=numbered))


def build(seed: int = 0, **settings: Any) -> IncrementalCIFAR100:
    return IncrementalCIFAR100(seed, **({"train_images": 12, "epochs": 3} | settings))


def identities(inputs: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(class, number) of images, shape (n, 2)."""
    pixels = inputs[rows][:, 3, 4].astype(np.int64)
    return np.stack([pixels[:, 0], pixels[:, 1] + 256 * pixels[:, 2]], axis=1)


def members(found: NDArray[np.int64]) -> dict[int, set[int]]:
    """The numbers of each class."""
    return {c: {*found[found[:, 0] == c, 1].tolist()} for c in {*found[:, 0].tolist()}}


# ------------------------------------------------------------------------------------- lengths


@pytest.mark.parametrize("step", STEPS)
def test_lengths_and_starts_against_a_sum(step: int) -> None:
    stream = build(classes_per_task=step)
    position = 0
    for index in range(2 * 100 // step + 5):
        assert stream.start(index) == position
        assert stream.length(index) == min((index + 1) * step, 100) * 12 * 3
        position += stream.length(index)
    assert stream.examples_per_task == stream.length(0)
    for index in (0, 1, 2, 100 // step, 100 // step + 1):
        assert len(stream.task(index).rows) == stream.length(index)


@pytest.mark.parametrize("step", STEPS)
def test_every_position_is_located(step: int) -> None:
    stream = build(classes_per_task=step, train_images=1, epochs=2)
    places = [(i, e) for i in range(100 // step + 4) for e in range(stream.length(i))]
    assert [stream.locate(position) for position in range(len(places))] == places


def test_a_chunk_spans_tasks_of_different_lengths() -> None:
    stream = build(classes_per_task=2, augment=False)
    tasks = [stream.task(index) for index in range(4)]
    start, n = stream.start(1) - 5, stream.length(1) + 20
    chunk = stream.chunk(start, n)
    rows = np.concatenate([task.rows for task in tasks])[start : start + n]
    assert np.array_equal(chunk.rows, rows)
    assert chunk.targets.tolist() == (rows // 500).tolist()
    assert np.bincount(chunk.which).tolist() == [5, stream.length(1), 15]
    assert chunk.inputs is tasks[0].inputs, "the images are not copied"


# ----------------------------------------------------------------------------- what is shown


@pytest.mark.parametrize("step", [5, 30])
def test_classes_come_in_an_order_of_the_seed_and_stay(step: int) -> None:
    orders = []
    for seed in range(3):
        stream = build(seed, classes_per_task=step)
        order = stream.seen(1000).tolist()
        assert sorted(order) == list(range(100))
        for index in (0, 1, 2, 5, 19, 20, 40):
            seen = order[: step * (index + 1)]
            task = stream.task(index)
            assert stream.seen(index).tolist() == seen
            assert {*task.targets.tolist()} == {*seen}
            assert np.array_equal(identities(task.inputs, task.rows)[:, 0], task.targets)
        orders.append(order)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert build(0, classes_per_task=1).seen(1000).tolist() == orders[0], "whatever the settings"


def test_every_training_image_of_the_classes_seen_once_a_pass() -> None:
    stream = build(train_images=450, epochs=2)
    orders = []
    for index in (0, 1, 25):
        task = stream.task(index)
        passes = task.rows.reshape(2, -1)
        assert len(np.unique(passes[0])) == passes.shape[1] == 450 * min(5 * (index + 1), 100)
        assert np.array_equal(np.sort(passes[0]), np.sort(passes[1]))
        assert (passes[0] != passes[1]).mean() > 0.99
        orders.append(passes[0][:2250])
    assert all((orders[0] != other).mean() > 0.99 for other in orders[1:])
    few = build(train_images=12)
    first = members(identities(few.task(0).inputs, few.task(0).rows))
    whole = members(identities(stream.task(0).inputs, stream.task(0).rows))
    assert all(first[c] < whole[c] and len(first[c]) == 12 for c in first)
    later = members(identities(few.task(3).inputs, few.task(3).rows))
    assert all(first[c] == later[c] for c in first), "the same images at every task"


def test_450_images_train_50_validate_and_100_test_whatever_the_seed() -> None:
    splits = []
    for seed in (0, 1):
        stream = build(seed, classes_per_task=50, train_images=450, epochs=1)
        task = stream.task(1)
        assert task.test is not None and task.validation is not None
        parts = [identities(task.inputs, task.rows)]
        for held in (task.validation, task.test):
            parts.append(identities(held.inputs, held.rows))
            assert np.array_equal(parts[-1][:, 0], held.targets)
        train, validation, test = (members(part) for part in parts)
        assert len(train) == len(validation) == len(test) == 100
        for label in range(100):
            assert len(train[label]) == 450 and len(validation[label]) == 50
            assert train[label] | validation[label] == set(range(500))
            assert test[label] == set(range(1000, 1100))
        splits.append(validation)
    assert splits[0] == splits[1], "the same for every seed"
    assert len({frozenset(numbers) for numbers in splits[0].values()}) == 100, (
        "drawn class by class"
    )
    counts = np.bincount([n for numbers in splits[0].values() for n in numbers], minlength=500)
    assert counts.max() < 30 and counts[:50].sum() < 700, "neither the first nor the last ones"


def test_held_out_examples_are_of_the_classes_seen_and_not_augmented() -> None:
    stream = build(classes_per_task=7)
    for index in (0, 3, 14, 15):
        task = stream.task(index)
        for held, n in ((task.test, 100), (task.validation, 50)):
            assert held is not None and np.unique(held.targets).tolist() == sorted(
                stream.seen(index).tolist()
            )
            assert (np.bincount(held.targets)[stream.seen(index)] == n).all()
            assert type(held.transform) is Standardise
    task = stream.task(0)
    assert task.validation is not None
    levels = task.validation.inputs[task.validation.rows[:9]] / 255
    expected = (levels - np.array(MEAN)) / np.array(STD)
    assert np.allclose(task.validation.examples()[:9], expected, atol=1e-5)


def test_augmentation_draws_are_new_at_every_pass_and_can_be_left_out() -> None:
    stream, plain = build(), build(augment=False)
    draws = [stream.task(index).draws for index in (0, 1, 30)]
    flat = np.concatenate([d for d in draws if d is not None])
    assert flat.dtype == np.uint64 and len(np.unique(flat)) == len(flat)
    assert isinstance(stream.task(0).transform, Augment)
    task = plain.task(1)
    assert task.draws is None and type(task.transform) is Standardise
    assert np.array_equal(task.rows, stream.task(1).rows), "which images does not depend on it"
    low, high = stream.input_range
    shown = stream.chunk(stream.start(1), 200).examples()
    assert shown.dtype == np.float32 and low <= shown.min() and shown.max() <= high
    darkest, lightest = ((level - np.array(MEAN)) / np.array(STD) for level in (0, 1))
    assert low < darkest.min() and lightest.max() < high


# ---------------------------------------------------------------------- told, scored, hashed


@pytest.mark.parametrize("step", [5, 30])
def test_what_is_told_and_the_anchor(step: int) -> None:
    stream = build(classes_per_task=step)
    for index in (0, 1, 3, 4, 30):
        seen = np.zeros(100, dtype=bool)
        seen[stream.task(index).targets] = True
        a_pass = stream.length(index) // 3
        for example, epoch in ((0, 0), (a_pass - 1, 0), (a_pass, 1), (3 * a_pass - 1, 2)):
            told = stream.privileges(index, example)
            assert told.keys() == {"epoch", "seen"} and told["epoch"] == epoch
            assert told["seen"].dtype == bool and np.array_equal(told["seen"], seen)
        assert stream.anchor(index) == 1 / seen.sum()
    told["seen"][:] = False
    assert stream.privileges(30, 0)["seen"].all(), "a mask of its own"


def test_what_the_protocol_grants() -> None:
    assert build().disclosed == ("epoch", "seen", "validation") and build().reloads
    without = build(early_stopping=False)
    assert without.disclosed == ("epoch", "seen") and not without.reloads
    assert build().scored == "best test"
    published = IncrementalCIFAR100(0)
    assert published.epochs == 200 and published.examples_per_task == 5 * 450 * 200


def test_a_hash_covers_every_setting_that_changes_what_is_shown() -> None:
    def digest(seed: int = 0, **settings: Any) -> str:
        return build(seed, **settings).content_hash((0, 2))

    changes: list[dict[str, Any]] = [{}, {"train_images": 13}, {"epochs": 4}]
    changes += [{"classes_per_task": 4}, {"augment": False}, {"seed": 1}]
    assert len({digest(**change) for change in changes}) == len(changes)
    assert digest() == digest(early_stopping=False), "a service, not content"


def test_images_are_shared_and_not_pickled() -> None:
    streams = [build(seed) for seed in range(3)]
    assert len({stream.task(0).inputs.ctypes.data for stream in streams}) == 1
    assert streams[0].task(0).inputs.dtype == np.uint8
    streams[0].task_at(1)
    stored = pickle.dumps(streams[0])
    assert len(stored) < 10_000
    again = pickle.loads(stored)
    assert again.content_hash() == streams[0].content_hash()
    assert again.privileges(3, 50).keys() == {"epoch", "seen"}


def test_the_published_images(published: None) -> None:
    from continual_envs import data

    stream = IncrementalCIFAR100(0, epochs=1)
    task = stream.task(19)
    assert len(task.rows) == 45_000
    cifar = data.cifar100()
    for i in range(0, 45_000, 5003):
        label, number = divmod(int(task.rows[i]), 500)
        assert task.targets[i] == label
        assert np.array_equal(task.inputs[task.rows[i]], cifar.train[label, number])
    assert task.test is not None
    label, number = divmod(int(task.test.rows[777]), 100)
    assert task.test.targets[777] == label
    assert np.array_equal(task.test.inputs[task.test.rows[777]], cifar.test[label, number])
    shown = stream._plain(task.inputs[task.rows[:4000]]).astype(np.float64)
    assert np.abs(shown.mean(axis=(0, 1, 2))).max() < 0.02, "mean 0"
    assert np.abs(shown.std(axis=(0, 1, 2)) - 1).max() < 0.02, "and standard deviation 1"


def test_a_later_pass_that_is_not_whole_batches_is_refused_at_once() -> None:
    settings = {"classes_per_task": 30, "train_images": 3, "epochs": 1}  # 90, 180, 270, then 300
    with pytest.raises(ValueError, match="^batch_size: 90 .*divisor of the 300 examples of a pass"):
        make("IncrementalCIFAR100-v0", **settings, batch_size=90)
    make("IncrementalCIFAR100-v0", **settings, batch_size=30)

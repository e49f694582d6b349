"""Pairs of classes: what a stream of them draws, whatever the images are of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from continual_envs import data
from continual_envs.streams.continual_imagenet import ContinualImageNet, KumarContinualImageNet
from continual_envs.streams.pairs import Pairs, images_per_class
from continual_envs.streams.procedural_pairs import ProceduralPairs
from continual_envs.transforms import Scale

EACH: dict[str, int] = {"train_images": 8, "test_images": 2, "epochs": 3}


class Numbered(Pairs):
    """Image i of class c is c everywhere but for one channel, which is i; test images from 100."""

    scored = "last test"

    def __init__(self, seed: int, *, pool: int = 7, **settings: Any) -> None:
        super().__init__(seed, classes=pool, **({"head": "zero"} | EACH | settings))

    def images(self, label: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], str]:
        images = np.full((200, 32, 32, 3), label, dtype=np.uint8)
        images[..., 2] = np.arange(200)[:, None, None]
        return images[:100], images[100:], f"class {label}"


def shown(stream: Pairs, index: int) -> NDArray[np.uint8]:
    """(class, number) of every example of a task, shape (n, 2)."""
    task = stream.task(index)
    return task.inputs[task.rows][:, 5, 9, 1:]


@pytest.mark.parametrize("pool", [2, 6, 7, 101])
@pytest.mark.parametrize("seed", [0, 3])
def test_no_class_comes_back_before_all_were_used(pool: int, seed: int) -> None:
    stream, tasks = Numbered(seed, pool=pool), pool // 2
    left_out = []
    for turn in range(8):
        used = [c for i in range(tasks) for c in stream.pair(turn * tasks + i)]
        assert len(set(used)) == len(used) == 2 * tasks and set(used) <= set(range(pool))
        left_out += sorted({*range(pool)} - {*used})
    assert len(left_out) == 8 * (pool % 2), "of an odd number, one"
    assert pool != 7 or len(set(left_out)) > 1, "not always the same"
    turns = [[stream.pair(turn * tasks + i) for i in range(tasks)] for turn in range(8)]
    assert pool == 2 or all(one != other for one, other in zip(turns, turns[1:], strict=False))


def test_classes_are_drawn_uniformly_and_either_comes_first() -> None:
    pairs = np.array([Numbered(seed, pool=6).pair(0) for seed in range(600)])
    counts = np.bincount(pairs.ravel(), minlength=6)  # 200 of each; p = 1e-4 at 25.7
    assert ((counts - 200) ** 2 / 200).sum() < 25.7
    assert abs((pairs[:, 0] < pairs[:, 1]).mean() - 0.5) < 4 * 0.5 / 600**0.5


@pytest.mark.parametrize(
    "settings",
    [{"epochs": 9}, {"train_images": 5}, {"test_images": 7}, {"head": "keep"}],
)
def test_the_sequence_depends_on_seed_and_index_alone(settings: dict[str, Any]) -> None:
    stream, other = Numbered(4, pool=101), Numbered(4, pool=101, **settings)
    sequence = [stream.pair(index) for index in range(200)]
    assert [other.pair(index) for index in reversed(range(200))] == sequence[::-1]
    other.task(60)
    for index in (0, 49, 50, 123):
        assert {*shown(other, index)[:, 0].tolist()} == {*sequence[index]}
    assert [Numbered(5, pool=101).pair(index) for index in range(200)] != sequence


def test_both_problems_of_a_data_set_show_the_same_pairs(tmp_path: Path) -> None:
    dataset = folders(tmp_path, classes=5, images=70)
    published = ContinualImageNet(2, dataset=dataset)
    shorter = KumarContinualImageNet(2, dataset=dataset)
    assert [published.pair(i) for i in range(20)] == [shorter.pair(i) for i in range(20)]


def test_every_training_image_is_shown_once_a_pass_in_new_orders() -> None:
    stream = Numbered(0, train_images=50)
    passes = [order for i in range(3) for order in shown(stream, i).reshape(3, 100, 2)]
    for number, one in enumerate(passes):
        pair = stream.pair(number // 3)
        everything = sorted((c, i) for c in pair for i in range(50))
        assert sorted(map(tuple, one.tolist())) == everything
    rows = np.concatenate([stream.task(i).rows.reshape(3, 100) for i in range(3)])
    for i, one in enumerate(rows):
        assert all((one == other).mean() < 0.1 for other in rows[:i]), "no order twice"
    assert not np.array_equal(Numbered(1, train_images=50).task(0).rows, stream.task(0).rows)


def test_labels_are_places_in_the_pair_and_test_images_never_shown() -> None:
    stream = Numbered(3)
    for index in range(7):
        task, pair = stream.task(index), stream.pair(index)
        classes, numbers = shown(stream, index).T
        assert np.array_equal(np.take(pair, task.targets), classes)
        assert task.targets.dtype == np.int64 and np.bincount(task.targets).tolist() == [24, 24]
        assert {*numbers.tolist()} == {*range(8)}, "the first of each class"
        held = task.test
        assert held is not None and task.validation is None
        classes, numbers = held.inputs[held.rows][:, 5, 9, 1:].T
        assert np.array_equal(np.take(pair, held.targets), classes)
        assert numbers.tolist() == [100, 101, 100, 101] and held.targets.tolist() == [0, 0, 1, 1]
        assert np.array_equal(held.examples(), held.inputs / np.float32(255))


def test_drawn_test_images_are_none_of_those_trained_on() -> None:
    train, test, _ = ProceduralPairs(0, train_images=30, test_images=30).images(3)
    assert not {one.tobytes() for one in train} & {one.tobytes() for one in test}


def test_what_is_shown_is_scaled_to_the_unit_interval() -> None:
    stream = ProceduralPairs(0, **EACH)
    task, chunk = stream.task(1), stream.chunk(48, 48)
    assert type(task.transform) is Scale
    assert np.array_equal(chunk.examples(), task.inputs[task.rows] / np.float32(255))
    assert chunk.examples().dtype == np.float32 and chunk.examples().max() <= 1


def test_images_are_kept_as_bytes_and_those_of_one_pair() -> None:
    task = Numbered(0).task(0)
    assert task.test is not None
    for inputs, n in ((task.inputs, 16), (task.test.inputs, 4)):
        assert inputs.dtype == np.uint8 and inputs.nbytes == n * 32 * 32 * 3
        assert inputs.base is None, "no view keeps the whole class"


def test_what_is_told() -> None:
    zero, keep = Numbered(0), Numbered(0, head="keep")
    assert zero.disclosed == ("epoch", "head") and keep.disclosed == ("epoch",)
    for index in (0, 1, 5):
        for example in range(48):
            told = {"epoch": [0, 1, 2][example // 16]}
            assert keep.privileges(index, example) == told
            assert zero.privileges(index, example) == told | {"zero_head": example == 0}


def test_a_hash_covers_every_setting_and_the_source() -> None:
    def digest(**settings: Any) -> str:
        return Numbered(0, **settings).content_hash((0, 5))

    changes: list[dict[str, Any]] = [{}, {"train_images": 9}, {"test_images": 3}, {"epochs": 4}]
    assert len({digest(**change) for change in changes}) == 4
    assert digest(head="keep") == digest(), "told, not shown"
    other = Numbered(0)
    images = other.images
    other.images = lambda label: (*images(label)[:2], f"file {label}")  # type: ignore[method-assign]
    assert other.content_hash((0, 5)) != digest()
    decoded = Numbered(0)
    decoded.images = (
        lambda label: (  # type: ignore[method-assign]
            images(label)[0] + np.uint8(1),
            *images(label)[1:],
        )
    )
    assert decoded.content_hash((0, 5)) == digest(), "decoders differ by a grey level"


def folders(path: Path, classes: int, images: int) -> str:
    for label in range(classes):
        (path / f"{label}").mkdir()
        for number in range(images):
            picture = Image.new("RGB", (32, 32), (label, number, 0))
            picture.save(path / f"{label}" / f"{number:03}.png")
    return str(path)


@pytest.mark.parametrize("kind", [ContinualImageNet, KumarContinualImageNet])
def test_a_folder_of_class_folders(kind: Callable[..., Pairs], tmp_path: Path) -> None:
    stream = kind(0, dataset=folders(tmp_path, classes=3, images=14), epochs=2)
    task, pair = stream.task(0), stream.pair(0)
    assert stream.train_images == 12 and stream.test_images == 2, "all that there are"
    assert len(task.rows) == 48 and task.test is not None
    assert np.array_equal(np.take(pair, task.targets), task.inputs[task.rows][:, 0, 0, 0])
    numbers = task.test.inputs[:, 0, 0, 1].tolist()
    assert numbers == [12, 13, 12, 13] and task.inputs[:, 0, 0, 1].tolist() == [*range(12)] * 2
    with pytest.raises(ValueError, match="^train_images: 13 is not allowed; every class has 12"):
        kind(0, dataset=str(tmp_path), train_images=13)
    (tmp_path / str(pair[0]) / "003.png").write_bytes(
        (tmp_path / str(pair[0]) / "004.png").read_bytes()
    )
    data.classes._opened.cache_clear()  # type: ignore[attr-defined]
    changed = kind(0, dataset=str(tmp_path), epochs=2)
    assert changed.content_hash((0,)) != stream.content_hash((0,)), "the files are hashed"


@pytest.mark.parametrize("id", ["ContinualImageNet-v0", "KumarContinualImageNet-v0"])
def test_any_number_of_pictures_makes_whole_batches(id: str, tmp_path: Path) -> None:
    env: Any = gym.make(f"continual_envs/{id}", dataset=folders(tmp_path, classes=2, images=65))
    assert env.observation_space.shape == (100, 32, 32, 3)
    assert env.unwrapped.stream.train_images == 50
    with pytest.raises(
        ValueError, match="divisor of the 112 examples of a pass, or other train_im"
    ):
        gym.make(f"continual_envs/{id}", dataset=str(tmp_path), train_images=56)


def test_images_per_class() -> None:
    assert images_per_class("x", None, 600, 500) == 500
    assert images_per_class("x", None, 600, 700) == 600
    assert images_per_class("x", 700, 600, 700) == 700
    whole = [images_per_class("x", None, 600, n, 50) for n in (700, 500, 472, 112, 50, 49, 6)]
    assert (
        whole == [600, 500, 450, 100, 50, 49, 6] and images_per_class("x", 112, 600, 112, 50) == 112
    )
    for given in (701, 0, 1.0, True):
        with pytest.raises(ValueError, match="^x: .* is not allowed; "):
            images_per_class("x", given, 600, 700)  # type: ignore[arg-type]


def test_the_published_sizes(published: None) -> None:
    full, shorter = ContinualImageNet(0), KumarContinualImageNet(0)
    assert (full.epochs, shorter.epochs) == (250, 10)
    assert full.examples_per_task == 250 * 1000 and shorter.examples_per_task == 10 * 1000
    assert (full.scored, shorter.scored) == ("last test", "online")
    assert (full.disclosed, shorter.disclosed) == (("epoch", "head"), ("epoch",))
    task = shorter.task(100)  # of the second time round: 200 classes
    loaded = [data.image_classes("imagenet32").load(label) for label in shorter.pair(100)]
    assert np.array_equal(task.inputs, np.concatenate([images.train for images in loaded]))
    assert task.test is not None
    assert np.array_equal(task.test.inputs, np.concatenate([images.test for images in loaded]))
    drawn = ProceduralPairs(0)
    assert drawn.examples_per_task == 40 * 1200 and len(drawn.task(0).test.rows) == 200  # type: ignore[union-attr]

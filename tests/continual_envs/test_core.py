"""Tasks are pure functions, chunks declare them, hashes cover them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from continual_envs.core import Chunk, Clock, Held, Stream, Task
from continual_envs.reel import Reel
from continual_envs.streams.permuted_digits import PermutedDigits
from continual_envs.streams.permuted_mnist import PermutedMNIST
from continual_envs.streams.slowly_changing_regression import SlowlyChangingRegression
from continual_envs.transforms import Identity, Pixels
from tests.problems import same

STREAMS: dict[str, tuple[type[Stream], dict[str, Any]]] = {
    "pixels": (PermutedDigits, {}),
    "labels": (PermutedDigits, {"permute": "labels"}),
    "both": (PermutedDigits, {"permute": "both"}),
    "tenth": (PermutedMNIST, {"dataset": "digits", "permuted_fraction": 0.1}),
    "half": (PermutedMNIST, {"dataset": "digits", "permuted_fraction": 0.5}),
    "none": (PermutedMNIST, {"dataset": "digits", "permuted_fraction": 0}),
    "short": (PermutedDigits, {"examples_per_task": 50}),
    "long": (PermutedDigits, {"examples_per_task": 4000}),
    "flip one": (SlowlyChangingRegression, {"examples_per_task": 40}),
    "flip all": (SlowlyChangingRegression, {"flip": "all", "examples_per_task": 40}),
    "code": (SlowlyChangingRegression, {"profile": "code", "examples_per_task": 40}),
    "code one": (
        SlowlyChangingRegression,
        {"profile": "code", "flip": "one", "examples_per_task": 40},
    ),
}
each_stream = pytest.mark.parametrize("name", STREAMS)


def build(name: str, seed: int = 0) -> Stream:
    kind, settings = STREAMS[name]
    return kind(seed, **settings)


def content(task: Task) -> list[Any]:
    arrays = [task.inputs, task.rows, task.targets, *vars(task.transform).values()]
    return [task.index, type(task.transform), *arrays]


def example(task: Task, i: int) -> NDArray[Any]:
    return np.asarray(task.transform(task.inputs[task.rows[i]]), dtype=np.float32)


@each_stream
def test_a_task_is_the_same_whatever_was_visited_before(name: str) -> None:
    expected = [content(build(name).task(index)) for index in range(9)]
    stream = build(name)
    for index in (5, 2, 8, 8, 0, 3, 7, 1, 6, 4, 0, 8):
        assert same(content(stream.task(index)), expected[index]), index
        stream.anchor(index)
        stream.chunk(index * 13, 100)


@each_stream
def test_tasks_and_seeds_differ(name: str) -> None:
    contents = [content(build(name, seed).task(index)) for seed in (0, 1) for index in range(4)]
    for i, one in enumerate(contents):
        assert not any(same(one[1:], other[1:]) for other in contents[:i])


@each_stream
@pytest.mark.parametrize("start", [0, 1, 37, 39, 40, 1790, 1797, 4001])
@pytest.mark.parametrize("n", [1, 40, 130, 1800])
def test_a_chunk_is_the_tasks_end_to_end(name: str, start: int, n: int) -> None:
    stream, fresh = build(name), build(name)
    size = stream.examples_per_task
    chunk = stream.chunk(start, n)
    shown = chunk.examples()
    tasks = {index: fresh.task(index) for index in {start // size, (start + n - 1) // size}}
    assert (
        len(chunk) == n and shown.dtype == np.float32 and shown.shape == (n, *stream.inputs_shape)
    )
    assert len(chunk.transforms) == (start + n - 1) // size - start // size + 1
    assert chunk.which.dtype == chunk.rows.dtype == np.int64
    for i in range(n):
        index, at = divmod(start + i, size)
        if index in tasks:
            assert chunk.targets[i] == tasks[index].targets[at]
            assert chunk.which[i] == index - start // size
    for i in {0, n // 2, n - 1}:
        task = fresh.task((start + i) // size)
        assert same(shown[i], example(task, (start + i) % size))


@each_stream
def test_examples_are_copies(name: str) -> None:
    stream = build(name)
    chunk = stream.chunk(0, 30)
    before = chunk.examples()
    chunk.examples()[...] = -1
    assert same(stream.chunk(0, 30).examples(), before)


def test_tasks_may_interleave_in_a_chunk() -> None:
    """A gradual hand-over: `which` says for each step what is done to the row shown."""
    inputs = np.arange(12, dtype=np.uint8).reshape(3, 4)
    forward, backward = Pixels(np.arange(4), 16), Pixels(np.arange(4)[::-1], 16)
    rows, which = np.array([2, 0, 0, 1, 2]), np.array([1, 0, 1, 1, 0])
    chunk = Chunk(inputs, rows, (forward, backward), which, np.arange(5))
    expected = [inputs[2][::-1], inputs[0], inputs[0][::-1], inputs[1][::-1], inputs[2]]
    assert same(chunk.examples(), np.float32(expected) / np.float32(16))
    batches = list(replace(chunk, rows=rows[:4], which=which[:4]).batches(2))
    assert same([inputs for inputs, _ in batches], list(chunk.examples()[:4].reshape(2, 2, 4)))
    assert [targets.tolist() for _, targets in batches] == [[0, 1], [2, 3]]


def test_words_are_given_to_transforms_that_draw() -> None:
    inputs, words = np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(5, dtype=np.uint64)

    def add(shown: NDArray[Any], drawn: NDArray[np.uint64]) -> NDArray[Any]:
        return shown + drawn[:, None].astype(np.float32)

    def subtract(shown: NDArray[Any], drawn: NDArray[np.uint64]) -> NDArray[Any]:
        return shown - drawn[:, None].astype(np.float32)

    rows, which = np.array([2, 0, 0, 1, 2]), np.array([1, 0, 1, 1, 0])
    chunk = Chunk(inputs, rows, (add, subtract), which, np.arange(5), words)
    signs = np.where(which == 0, 1, -1)
    expected = inputs[rows] + np.float32(signs * np.arange(5))[:, None]
    assert same(chunk.examples(), expected.astype(np.float32))
    alone = replace(chunk, transforms=(add,), which=np.zeros(5, np.int64))
    assert same(alone.examples(), (inputs[rows] + np.arange(5)[:, None]).astype(np.float32))


def test_held_out_examples_are_shown_as_copies() -> None:
    inputs = np.arange(12, dtype=np.uint8).reshape(3, 4)
    held = Held(inputs, np.array([2, 0]), Pixels(np.arange(4)[::-1], 16), np.array([1, 0]))
    expected = np.float32(inputs[[2, 0], ::-1]) / np.float32(16)
    assert same(held.examples(), np.ascontiguousarray(expected))
    assert same(
        Held(np.float32(inputs), np.array([1]), Identity(), held.targets).examples().base, None
    )


@each_stream
def test_anchors(name: str) -> None:
    stream = build(name)
    for index in (0, 3):
        targets = stream.task(index).targets.astype(np.float64)
        if stream.classes:
            assert stream.anchor(index) == 0.1
        else:
            errors = [np.mean((targets - targets.mean() - off) ** 2) for off in (-0.1, 0, 0.1)]
            assert stream.anchor(index) == pytest.approx(errors[1])
            assert errors[1] < min(errors[0], errors[2])


def test_hashes_tell_every_setting_apart() -> None:
    hashes = {
        (name, seed, tasks): build(name, seed).content_hash(tasks)
        for name in STREAMS
        for seed in (0, 1)
        for tasks in ((0, 1), (1, 0), (0, 1, 2))
    }
    groups: dict[str, list[Any]] = {}
    for key, value in hashes.items():
        groups.setdefault(value, []).append(key)
    assert [keys for keys in groups.values() if len(keys) > 1] == []


@each_stream
def test_a_hash_is_the_same_whatever_was_visited_before(name: str) -> None:
    stream = build(name)
    stream.task(5)
    stream.chunk(0, 100)
    assert stream.content_hash() == build(name).content_hash(iter((0, 1)))


@dataclass(frozen=True)
class Shift:
    """A transform with one number and one array."""

    by: float
    columns: NDArray[np.int64]

    def __call__(self, inputs: Any) -> Any:
        return inputs[..., self.columns] + np.float32(self.by)


class Given(Stream):
    """A stream whose every task is given."""

    outcome: ClassVar[Any] = "accuracy"
    examples_per_task = 3

    def __init__(self, **changes: Any) -> None:
        super().__init__(0)
        inputs = np.arange(8, dtype=np.uint8).reshape(4, 2)
        transform = Shift(0.5, np.array([1, 0]))
        self.given = Task(0, inputs, np.array([3, 0, 1]), transform, np.array([1, 0, 1]))
        self.given = replace(self.given, **changes)

    def task(self, index: int) -> Task:
        return self.given


HELD = Held(np.arange(4).reshape(2, 2), np.array([1, 0]), Identity(), np.array([0, 1]))


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": np.array([[0, 1], [2, 3], [4, 5], [6, 8]], dtype=np.uint8)},
        {"rows": np.array([3, 1, 0])},
        {"targets": np.array([1, 0, 0])},
        {"transform": Shift(0.25, np.array([1, 0]))},
        {"transform": Shift(0.5, np.array([0, 1]))},
        {"transform": Identity()},
        {"draws": np.arange(3, dtype=np.uint64)},
        {"source": "files"},
        {"test": HELD},
        {"validation": replace(HELD, rows=HELD.rows[:1], targets=HELD.targets[:1])},
    ],
)
def test_a_hash_covers(change: dict[str, Any]) -> None:
    assert Given(**change).content_hash() != Given().content_hash()


def test_a_hash_covers_the_inputs_of_every_task() -> None:
    stream, other = Given(), Given()
    changed = replace(other.given, index=1, inputs=other.given.inputs + np.uint8(1))
    other.task = lambda index: (other.given, changed)[index]  # type: ignore[method-assign]
    assert stream.content_hash((0,)) == other.content_hash((0,))
    assert stream.content_hash((0, 1)) != other.content_hash((0, 1))


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_hash_covers_what_is_held_out(part: str) -> None:
    others = [replace(HELD, rows=np.array([0, 1])), replace(HELD, targets=np.array([0, 0]))]
    hashes = {Given(**{part: held}).content_hash() for held in (HELD, *others)}
    assert len(hashes) == 3


def test_decoded_inputs_are_hashed_as_their_files() -> None:
    inputs = Given().given.inputs
    hashes = [Given(source="a", inputs=shown).content_hash() for shown in (inputs, inputs + 1)]
    assert hashes[0] == hashes[1] != Given(source="b").content_hash()


class Growing(Given):
    """Task i has i + 3 examples."""

    def length(self, index: int) -> int:
        return index + 3

    def start(self, index: int) -> int:
        return index * (index + 5) // 2

    def task(self, index: int) -> Task:
        n = np.arange(index + 3)
        return replace(self.given, index=index, rows=n % 4, targets=n)


class Shrinking(Growing):
    """Task 0 has 10 examples, every other one 2: fewer than the first."""

    def length(self, index: int) -> int:
        return 2 if index else 10

    def start(self, index: int) -> int:
        return 8 + 2 * index if index else 0


@pytest.mark.parametrize("stream", [Given(), Growing(), Shrinking()])
def test_positions_are_located(stream: Stream) -> None:
    places = [(i, e) for i in range(30) for e in range(stream.length(i))]
    assert [stream.locate(position) for position in range(len(places))] == places
    assert [stream.start(index) for index in range(30)] == [
        position for position, (_, example) in enumerate(places) if example == 0
    ]


def test_a_clock_is_of_the_present_seed() -> None:
    def make(seed: int) -> Stream:
        stream: Stream = Growing() if seed else Given()
        stream.seed, stream.inputs_shape = seed, (1,)
        return stream

    reel = Reel(make, {}, None, None, None, "hidden")
    for seed in (0, 1):
        reel.start(seed, 6)
        assert reel.clock == reel.clock == Clock(*make(seed).locate(6), 6)
    assert make(0).locate(6) != make(1).locate(6)


def test_a_finite_stream_ends_where_the_present_seed_does() -> None:
    def make(seed: int) -> Stream:
        stream: Stream = Growing() if seed else Given()
        stream.seed, stream.inputs_shape = seed, (1,)
        return stream

    reel = Reel(make, {}, None, None, 2, "hidden")
    for seed in (0, 1):
        reel.start(seed, 0)
        assert reel._end == make(seed).start(2)
    assert make(0).start(2) != make(1).start(2)


@pytest.mark.parametrize("start", [0, 2, 3, 9])
@pytest.mark.parametrize("n", [1, 3, 20])
def test_a_chunk_of_tasks_that_differ_in_length(start: int, n: int) -> None:
    stream = Growing()
    places = [stream.locate(position) for position in range(start, start + n)]
    chunk = stream.chunk(start, n)
    assert chunk.targets.tolist() == [example for _, example in places]
    assert chunk.rows.tolist() == [example % 4 for _, example in places]
    assert (chunk.which + places[0][0]).tolist() == [task for task, _ in places]
    assert chunk.inputs is stream.given.inputs


def test_a_hash_reads_views_as_their_values() -> None:
    inputs = np.asfortranarray(Given().given.inputs)
    assert Given(inputs=inputs).content_hash() == Given().content_hash()
    assert Given(rows=np.array([3, 9, 0, 9, 1])[::2]).content_hash() == Given().content_hash()

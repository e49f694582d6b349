"""Bins and their means: each line of records.jsonl is what its examples say."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from evaluation.folder import write_json
from evaluation.records import Recorder, bin_edges, losses


@pytest.mark.parametrize(
    "examples, batch, edges",
    [
        (1797, 1, [180, 359, 539, 719, 898, 1078, 1258, 1438, 1617, 1797]),
        (60, 1, [6, 12, 18, 24, 30, 36, 42, 48, 54, 60]),
        (64, 16, [16, 32, 48, 64]),
        (7, 1, [1, 2, 3, 4, 5, 6, 7]),
        (1, 1, [1]),
        (16, 16, [16]),
    ],
)
def test_bin_edges(examples: int, batch: int, edges: list[int]) -> None:
    assert bin_edges(examples, batch) == edges


@pytest.mark.parametrize("batch", [1, 3, 16, 50])
@pytest.mark.parametrize("batches", [1, 2, 9, 10, 11, 13, 25, 112, 1000])
def test_bins_are_whole_batches_nearly_equal_and_ten_if_there_can_be(
    batch: int, batches: int
) -> None:
    edges = bin_edges(batches * batch, batch)
    sizes = np.diff([0, *edges])
    assert edges[-1] == batches * batch
    assert all(size > 0 and size % batch == 0 for size in sizes)
    assert max(sizes) - min(sizes) <= batch
    assert len(edges) == min(10, batches)


def test_losses_are_those_of_torch() -> None:
    generator = np.random.default_rng(0)
    outputs = generator.normal(scale=30, size=(50, 10)).astype(np.float32)
    targets = generator.integers(10, size=50)
    exact = torch.from_numpy(outputs.astype(np.float64))
    want = F.cross_entropy(exact, torch.from_numpy(targets), reduction="none").numpy()
    np.testing.assert_allclose(losses(outputs, targets, 10), want, rtol=1e-12, atol=1e-14)
    values = generator.normal(size=50).astype(np.float32)
    squared = F.mse_loss(exact[:, 0], torch.from_numpy(values).double(), reduction="none")
    np.testing.assert_allclose(losses(outputs, values, None), squared.numpy(), rtol=1e-12)


@pytest.mark.filterwarnings("error")
def test_losses_of_a_diverged_learner_are_not_finite_and_silent() -> None:
    outputs = np.array([[np.inf, 0], [np.nan, 0], [0, -np.inf]], dtype=np.float32)
    got = losses(outputs, np.array([0, 0, 1]), 2)
    assert not np.isfinite(got).any()
    assert not np.isfinite(losses(outputs[:2], np.array([0.0, 0.0]), None)).any()


def _recorder(folder: Path, edges: list[int], batch: int = 1, **more: Any) -> Recorder:
    arguments: dict[str, Any] = {"outcome": "accuracy", "classes": 10, "anchor": lambda task: 0.1}
    arguments |= more
    return Recorder(folder, bins=lambda task: edges, batch=batch, **arguments)


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def test_means_are_exact_whatever_the_pieces(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    rewards = (generator.random(90) < 0.3).astype(np.float64)
    outputs = generator.normal(size=(90, 10)).astype(np.float32)
    targets = generator.integers(10, size=90)
    edges = [7, 20, 30]
    recorder = _recorder(tmp_path, edges, anchor=lambda task: task + 0.5)
    start = 0
    for piece in (3, 4, 13, 1, 9, 5, 17, 8, 30):
        span = slice(start, start + piece)
        recorder.add(rewards[span], outputs[span], targets[span])
        start += piece
    recorder.close()
    lines = _lines(tmp_path)
    ends = [7, 20, 30, 37, 50, 60, 67, 80, 90]
    assert [line["examples"] for line in lines] == [line["updates"] for line in lines] == ends
    assert [(line["task"], line["bin"]) for line in lines] == [
        (task, bin) for task in (0, 1, 2) for bin in (0, 1, 2)
    ]
    assert [line["anchor"] for line in lines] == [0.5] * 3 + [1.5] * 3 + [2.5] * 3
    exact = losses(outputs, targets, 10)
    for first, last, line in zip([0, *ends], ends, lines, strict=False):
        assert line["accuracy"] == rewards[first:last].sum() / (last - first)
        assert line["loss"] == pytest.approx(exact[first:last].mean(), rel=1e-12)
        assert 0 <= line["seconds"] < 10
    assert recorder.task == 3


def test_a_batch_is_one_update_of_many_examples(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path, [16, 32], batch=16)
    for reward in (0.25, 0.5):
        recorder.add(np.array([reward]), None, np.zeros(16, dtype=np.int64))
    recorder.close()
    first, second = _lines(tmp_path)
    assert (first["updates"], first["examples"], first["accuracy"]) == (1, 16, 0.25)
    assert (second["updates"], second["examples"], second["accuracy"]) == (2, 32, 0.5)
    assert first["loss"] is None  # the agent showed no outputs


def test_the_error_of_a_regression_is_positive(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path, [2], outcome="error", classes=None)
    outputs = np.array([[3.0], [1.0]])
    recorder.add(np.array([-4.0, 0.0]), outputs, np.array([1.0, 1.0]))
    recorder.close()
    (line,) = _lines(tmp_path)
    assert line["error"] == line["loss"] == 2.0
    assert "accuracy" not in line


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path, [1], outcome="error", classes=None, anchor=lambda task: None)
    recorder.measure(
        {"dead_units": float("nan"), "gradient_norm": np.float64("inf"), "rank": 2.0}, 0.0
    )
    recorder.add(np.array([-np.inf]), np.array([[np.inf]]), np.array([0.0]))
    recorder.close()
    text = (tmp_path / "records.jsonl").read_text()
    assert "NaN" not in text and "Infinity" not in text
    measure, line = _lines(tmp_path)
    assert (measure["dead_units"], measure["gradient_norm"], measure["rank"]) == (None, None, 2.0)
    assert (line["error"], line["loss"], line["anchor"]) == (None, None, None)


@pytest.mark.parametrize(("classes", "wild"), [(10, np.nan), (10, np.inf), (None, np.inf)])
def test_a_bin_says_that_outputs_were_not_finite(
    tmp_path: Path, classes: int | None, wild: float
) -> None:
    recorder = _recorder(tmp_path, [2], classes=classes)
    outputs, targets = np.ones((2, 10)), np.zeros(2, dtype=np.int64)
    errors = classes is None
    recorder.add(np.zeros(2), outputs, targets)
    outputs[1, 3] = wild
    recorder.add(np.array([0, -wild if errors else 0]), outputs, targets)
    recorder.add(np.zeros(2), None, targets)  # of an agent that shows none
    recorder.close()
    assert [line.get("diverged") for line in _lines(tmp_path)] == [None, True, None]


def test_time_spent_on_measuring_is_not_the_bins(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path, [1])
    time.sleep(0.3)
    recorder.measure({"dead_units": 0.0}, 0.3)
    recorder.add(np.ones(1), None, np.zeros(1))
    recorder.close()
    assert _lines(tmp_path)[1]["seconds"] < 0.2


def test_a_state_in_the_middle_of_a_bin_continues_exactly(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    pieces = [
        (generator.random(n), generator.normal(size=(n, 10)), generator.integers(10, size=n))
        for n in (3, 2, 4, 1, 5, 5)
    ]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    one = _recorder(whole, [5, 10])
    for piece in pieces:
        one.add(*piece)
    one.close()
    other = _recorder(broken, [5, 10])
    for piece in pieces[:3]:
        other.add(*piece)
    state = other.sync()
    for piece in pieces[3:5]:  # lost: after the state
        other.add(*piece)
    other.close()
    with open(broken / "records.jsonl", "ab") as file:
        file.write(b'{"kind": "onl')
    again = _recorder(broken, [5, 10])
    again.load_state_dict(state)
    for piece in pieces[3:]:
        again.add(*piece)
    again.close()
    want, got = _lines(whole), _lines(broken)
    for line in (*want, *got):
        del line["seconds"]
    assert got == want and len(want) == 4


def test_lines_can_be_read_a_second_later_while_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, now = _recorder(tmp_path, [1]), time.perf_counter()
    recorder.add(np.ones(1), None, np.zeros(1))
    monkeypatch.setattr(time, "perf_counter", lambda: now + 1.1)
    recorder.add(np.ones(1), None, np.zeros(1))
    assert len(_lines(tmp_path)) == 2
    recorder.close()


@pytest.mark.parametrize("classes", [None, 10])
def test_lines_are_as_json_writes_them(tmp_path: Path, classes: int | None) -> None:
    outcome, anchor = "error" if classes is None else "accuracy", np.float64(1 / 3)
    recorder = _recorder(
        tmp_path, [3], outcome=outcome, classes=classes, anchor=lambda task: anchor
    )
    recorder.add(-np.array([1e-9, 0.1, 1e22]), np.eye(3, 10), np.arange(3))
    recorder.add(np.zeros(3), None, np.arange(3))
    recorder.close()
    for text in (tmp_path / "records.jsonl").read_text().splitlines():
        line = json.loads(text)
        assert text == json.dumps(line)
        assert list(line)[:5] == ["kind", "task", "bin", "updates", "examples"]
        assert list(line)[5:] == [outcome, "loss", "anchor", "seconds"]


def test_json_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


def test_the_seconds_of_a_bin_are_those_of_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def step(recorder: Any, seconds: float, n: int) -> None:
        now[0] += seconds
        recorder.add(np.ones(n), None, np.zeros(2 * n))

    recorder = _recorder(tmp_path, [8, 16, 24], batch=2)
    step(recorder, 3.0, 3)
    now[0] += 50
    recorder.measure({"dead_units": 0.0}, 50.0)
    step(recorder, 14.0, 7)  # 1 in the first bin, 4 in the second, 2 in the third
    now[0] += 0.5
    state = recorder.sync()
    recorder.close()
    now[0] += 1000
    again = _recorder(tmp_path, [8, 16, 24], batch=2)
    now[0] += 1000
    again.load_state_dict(state)
    step(again, 1.0, 1), step(again, 5.0, 1), step(again, 8.0, 4)
    again.close()
    seconds = [line["seconds"] for line in _lines(tmp_path) if line["kind"] == "online"]
    assert seconds == [3 + 2, 8, 4 + 0.5 + 1 + 5, 8]


def test_a_state_taken_at_once_is_the_state_that_was_loaded(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path, [1])
    recorder.add(np.ones(1), None, np.zeros(1))
    state = recorder.sync()
    recorder.add(np.ones(3), None, np.zeros(3))  # lost
    recorder.close()
    again = _recorder(tmp_path, [1])
    again.load_state_dict(state)
    assert again.sync()["bytes"] == state["bytes"]
    again.close()


@pytest.mark.parametrize(
    "calls",
    [[(5, False), (5, True), (10, True)], [(5, False), (15, True)], [(9, True), (11, False)]],
)
def test_a_bin_has_a_loss_if_all_its_outputs_were_shown(calls: Any, tmp_path: Path) -> None:
    recorder = _recorder(tmp_path, [10, 20], classes=4)
    for n, shown in (*calls, (20, True)):
        recorder.add(np.ones(n), np.zeros((n, 4)) if shown else None, np.zeros(n, dtype=int))
    recorder.close()
    lines = _lines(tmp_path)
    assert not any("diverged" in line for line in lines)
    told = [line["loss"] for line in lines]
    assert told[0] is None and told[-1] == pytest.approx(np.log(4))
    assert set(told) <= {None, told[-1]}


def test_of_values_no_losses_are_kept(tmp_path: Path) -> None:
    recorder = _recorder(tmp_path, [2], outcome="error", classes=None)
    recorder.add(np.array([-4.0]), np.array([[3.0]]), np.array([1.0]))
    assert recorder.sync()["losses"] == [] and len(recorder.sync()["rewards"]) == 1
    recorder.close()

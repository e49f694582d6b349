"""The checkpoint: everything comes back, nothing is executed, nothing is half-written."""

import enum
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from evaluation import checkpoint
from tests.problems import same

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array(3.5),
    np.array([True, False]),
    np.array([0, 2**64 - 1], dtype=np.uint64),
    np.array(-7, dtype=np.int8),
    np.empty((0, 4)),
    np.arange(10)[::-2],
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array([np.nan, np.inf, -0.0]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_come_back_bit_for_bit(array: np.ndarray, tmp_path: Path) -> None:
    checkpoint.save({"a": [array, {"b": (array,)}]}, tmp_path / "c")
    state = checkpoint.load(tmp_path / "c")
    assert same(state["a"][0], np.ascontiguousarray(array).reshape(array.shape))
    assert same(state["a"][1]["b"][0], state["a"][0])
    state["a"][0][...] = 0  # writable: a generator or a method goes on with it


def test_plain_values_come_back(tmp_path: Path) -> None:
    state: dict[str, Any] = {
        "none": None,
        "words": ["a", "", "ä"],
        "numbers": (1, -2.5, True, 10**30, float("inf")),
        "nested": {"empty": [], "table": {}, 3: "a number may be a key"},
        "bytes": b"\x00\xff",
        "numpy scalars": [np.float64(0.1).item(), np.int64(5).item(), np.bool_(True).item()],
    }
    checkpoint.save(state, tmp_path / "c")
    assert same(checkpoint.load(tmp_path / "c"), state)
    checkpoint.save({"s": [np.float64(0.1), np.bool_(True), np.uint64(2**63)]}, tmp_path / "c")
    assert same(checkpoint.load(tmp_path / "c")["s"], [0.1, True, 2**63])
    checkpoint.save({"counts": {np.int64(3): 1, (np.str_("a"), 2): 5}}, tmp_path / "c")
    assert checkpoint.load(tmp_path / "c") == {"counts": {3: 1, ("a", 2): 5}}
    checkpoint.save({"shape": torch.Size([2, 3])}, tmp_path / "c")
    assert checkpoint.load(tmp_path / "c") == {"shape": (2, 3)}


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_generators_continue(kind: type, tmp_path: Path) -> None:
    generator = np.random.Generator(kind(3))
    generator.integers(10, size=7, dtype=np.uint8)
    checkpoint.save({"state": generator.bit_generator.state}, tmp_path / "c")
    again = np.random.Generator(kind(0))
    again.bit_generator.state = checkpoint.load(tmp_path / "c")["state"]
    assert same(generator.random(5), again.random(5))


def test_optimizers_and_tensors_come_back(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {"layer": layer.state_dict(), "optimizer": optimizer.state_dict()}
    assert isinstance(state["layer"], OrderedDict)
    checkpoint.save(state, tmp_path / "c")
    loaded = checkpoint.load(tmp_path / "c")
    assert torch.equal(loaded["layer"]["weight"], layer.weight)
    other = torch.optim.Adam(torch.nn.Linear(3, 2).parameters())
    other.load_state_dict(loaded["optimizer"])
    for index, entry in optimizer.state_dict()["state"].items():
        for name, value in entry.items():
            assert torch.equal(other.state_dict()["state"][index][name], value)


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "c"
    checkpoint.save({"a": 1}, path)
    bads = [object(), np.random.default_rng(0), {1, 2}, lambda: 0, torch.nn.ReLU(), Named(1, 2)]
    bads += [Level.LOW, {Level.LOW: 1}, {object(): 1}, np.datetime64("2020-01-01")]
    bads += [np.array([None]), np.array(["word"]), np.array([1], ">i4"), np.longdouble(1)]
    bads += [np.ma.array([1], mask=[1])]
    for bad in bads:
        with pytest.raises(TypeError, match=r"^state: \S+( of \S+)? cannot be saved; use [^\n]+$"):
            checkpoint.save({"deep": [{"inside": bad}]}, path)
    assert checkpoint.load(path) == {"a": 1}


class Level(enum.IntEnum):
    LOW = 0


class Named(NamedTuple):
    one: int
    two: int


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_loading_executes_nothing(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open("c", "wb") as file:
        (torch.save if writer == "torch" else pickle.dump)({"a": Bomb()}, file)
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.load(Path("c"))
    assert not Path("exploded").exists()


def test_any_damage_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save({"a": np.arange(1000), "b": {"c": [1, 2]}}, path)
    whole = path.read_bytes()
    damaged = [b"", b"x", b"not a checkpoint\n" * 50, whole[: len(whole) // 2], whole[:-1]]
    damaged += [whole[:100] + bytes(200) + whole[300:]]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError) as caught:
            checkpoint.load(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        assert "remove the run folder" in str(caught.value)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.load(path)
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "none")


def test_a_flipped_byte_is_noticed_unless_it_means_nothing(tmp_path: Path) -> None:
    state = {"a": np.arange(1000), "b": {"c": [1, 2]}}
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(state, path)
    whole, noticed = path.read_bytes(), 0
    for place in range(3, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            assert same(checkpoint.load(path), state)
        except ValueError:
            noticed += 1
    assert noticed > 80  # of 100, most of which hold the array


@pytest.mark.parametrize("moment", ["write", "sync", "rename"])
def test_a_crash_while_saving_leaves_the_old_one(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save({"a": 1}, path)

    def crash(*arguments: object) -> None:
        raise KeyboardInterrupt

    where = {"write": (torch, "save"), "sync": (os, "fsync"), "rename": (os, "replace")}[moment]
    with monkeypatch.context() as patch:
        patch.setattr(*where, crash)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save({"a": 2}, path)
    assert checkpoint.load(path) == {"a": 1}
    checkpoint.save({"a": 3}, path)
    assert checkpoint.load(path) == {"a": 3}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_it_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("sync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), replace(a, b)))
    checkpoint.save({"a": 1}, tmp_path / "c")
    assert done == ["sync", "rename"]

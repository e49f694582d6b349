"""CIFAR-100: its pickles and the strips give equal arrays; no pickle gets anything executed."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from continual_envs.data import DataCorrupt, DataNotFound, cifar, cifar100, fetch, locate, verify
from continual_envs.data.cifar_pickle import Split, parse

pytestmark = pytest.mark.usefixtures("cache")


class Python2Pickler(pickle._Pickler):
    """Writes strings as Python 2 did, whose `str` Python 3 reads as bytes."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value: bytes) -> None:
        short = len(value) < 256
        self.write(b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value)))
        self.write(value)
        self.memoize(value)

    def save_str(self, value: str) -> None:
        self.save_bytes(value.encode("ascii"))

    dispatch[bytes] = save_bytes
    dispatch[str] = save_str


def python2(value: object) -> bytes:
    buffer = io.BytesIO()
    Python2Pickler(buffer, 2).dump(value)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def published(data: np.ndarray, labels: list[int], names: list[bytes]) -> bytes:
    """Return a pickle with all entries of the published ones."""
    entries = {
        b"filenames": names,
        b"batch_label": b"training batch 1 of 1",
        b"fine_labels": labels,
        b"coarse_labels": [0] * len(labels),
        b"data": data,
    }
    return python2(entries)


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), np.uint8)


def rows(images: np.ndarray) -> np.ndarray:
    """Return images as the pickles keep them: red, green, blue, each row by row."""
    return np.ascontiguousarray(images.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)).reshape(
        -1, 3072
    )


# --- pickles ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
def test_round_trip(order):
    data = np.array(rows(images(6)), order=order)
    names = [b"b.png", b"a.png", b"c.png", b"f.png", b"e.png", b"d.png"]
    split = parse(published(data, [1, 0, 1, 0, 1, 0], names))
    np.testing.assert_array_equal(split.data, data)
    assert split.labels == [1, 0, 1, 0, 1, 0] and split.names == names
    got = cifar.arranged(split, 3)
    np.testing.assert_array_equal(got, images(6)[[1, 5, 3, 0, 2, 4]].reshape(2, 3, 32, 32, 3))
    assert got.flags.c_contiguous and got.dtype == np.uint8


@pytest.mark.parametrize("labels", [[0, 0, 0, 1], [0, 0, 2, 2], [0, 0, 1], [0, -1, 0, 1]])
def test_classes_of_other_sizes_are_refused(labels):
    n = len(labels)
    with pytest.raises(ValueError, match="not 2 images of every class"):
        cifar.arranged(Split(rows(images(n)), labels, [b""] * n), 2)


class Bomb:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_malicious_pickle_does_nothing(protocol, tmp_path):
    touched = tmp_path / "touched"
    command = f"touch {touched}"
    functions = [(os.system, command), (eval, f"open({str(touched)!r}, 'w')"), (getattr, 1, "real")]
    functions += [(np.load, str(touched)), (Path, "/"), (exec, "1"), (np.fromfile, str(touched))]
    for function, *arguments in functions:
        bomb = Bomb(function, *arguments)
        for value in (bomb, [bomb], {b"data": bomb}):
            content = pickle.dumps(value, protocol)
            with pytest.raises(ValueError, match="is not allowed in a data file"):
                parse(content)
    assert not touched.exists()
    # the same bytes do their work where they are allowed to
    pickle.loads(pickle.dumps(Bomb(os.system, command), protocol))
    assert touched.exists()


def test_what_stands_in_for_numpy_cannot_be_changed_by_a_pickle():
    change = b"cnumpy.core.multiarray\n_reconstruct\n}X\x04\x00\x00\x00nameK\x01sb."
    with pytest.raises(ValueError, match="a broken pickle"):
        parse(b"\x80\x02" + change)
    test_round_trip("C")


GOOD = dict(data=rows(images(2)), labels=[0, 1], names=[b"a", b"b"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "a broken pickle: EOFError"),
        (b"<html>not here</html>", "a broken pickle"),
        (published(**GOOD)[:-100], "a broken pickle"),
        (python2([1, 2]), "a broken pickle: TypeError"),
        (python2({b"data": 1}), "a broken pickle: KeyError"),
        (published(**{**GOOD, "data": b"x"}), "a broken pickle: AttributeError"),
        (published(**{**GOOD, "data": GOOD["data"].astype(np.int16)}), "an array of b'i2'"),
        (published(**{**GOOD, "data": np.array([{}], object)}), "an array of b'O8'"),
        (published(**{**GOOD, "labels": [0]}), "with 1 labels and 2 names"),
        (published(**{**GOOD, "names": [b"a"]}), "with 2 labels and 1 names"),
        (published(**{**GOOD, "data": rows(images(3))}), r"data of shape \(3, 3072\)"),
        (published(**{**GOOD, "labels": [b"0", b"1"]}), "labels that are not numbers"),
        (published(**{**GOOD, "names": [1, 2]}), "names that are not strings"),
    ],
)
def test_damaged_pickle_is_one_line(content, complaint):
    with pytest.raises(ValueError, match=complaint) as error:
        parse(content)
    assert "\n" not in str(error.value)


# --- small sets of both layouts -----------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Arrays of a CIFAR-100 with 3 + 2 images of 4 classes, whose checksum is the expected one."""
    arrays = {
        "train": images(20)[:12].reshape(4, 3, 32, 32, 3),
        "test": images(20)[12:].reshape(4, 2, 32, 32, 3),
    }
    digest = hashlib.sha256(arrays["train"].tobytes() + arrays["test"].tobytes())
    monkeypatch.setattr(cifar, "SHA256", digest.hexdigest())
    monkeypatch.setattr(cifar, "CLASSES", 4)
    monkeypatch.setattr(cifar, "IMAGES", {"train": 3, "test": 2})
    return arrays


def put_pickles(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the published layout, its images in another order than the canonical one."""
    folder.mkdir(parents=True)
    for split, array in arrays.items():
        classes, n = array.shape[:2]
        order = np.random.default_rng(1).permutation(classes * n)
        names = [f"{i % n:04}.png".encode() for i in order]
        labels = [int(i) // n for i in order]
        (folder / split).write_bytes(published(rows(array)[order], labels, names))


def put_strips(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    for split, array in arrays.items():
        (folder / split).mkdir(parents=True)
        for label, strip in enumerate(array):
            image = Image.fromarray(strip.reshape(-1, 32, 3))
            image.save(folder / split / f"{label:02}_name.webp", lossless=True)


LAYOUTS = [
    ("data/cifar-100-python", put_pickles),
    ("data/cifar100/cifar-100-python", put_pickles),
    ("cache/cifar100/cifar-100-python", put_pickles),
    ("data/cifar100", put_strips),
    ("cache/cifar100", put_strips),
]


@pytest.mark.parametrize(("folder", "put"), LAYOUTS)
def test_layouts_are_equal(folder, put, few, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path / "data"))
    assert locate("cifar100") is None
    put(tmp_path / folder, few)
    got = cifar100()
    np.testing.assert_array_equal(got.train, few["train"])
    np.testing.assert_array_equal(got.test, few["test"])
    assert got.sha256 == cifar.SHA256
    assert not got.train.flags.writeable and not got.test.flags.writeable
    assert cifar100() is got and copy.deepcopy(got) is got
    assert len(pickle.dumps(got)) < 1000
    location = verify("cifar100")
    assert location == fetch("cifar100")
    assert location.origin == ("cache" if "cache" in folder else "CONTINUAL_ENVS_DATA")


@pytest.mark.parametrize(("folder", "put"), LAYOUTS[::3])
def test_other_images_are_corrupt(folder, put, few, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path / "data"))
    few["test"] = few["test"] ^ np.eye(32, dtype=np.uint8)[:, :, None]
    put(tmp_path / folder, few)
    for function in (cifar100, lambda: fetch("cifar100"), lambda: verify("cifar100")):
        with pytest.raises(DataCorrupt, match="sha256 of the pixels expected") as error:
            function()
        assert str(tmp_path / folder) in str(error.value) and cifar.SHA256 in str(error.value)


@pytest.mark.parametrize(
    ("folder", "put", "name"),
    [(*LAYOUTS[0], "test"), (*LAYOUTS[3], "test/02_name.webp")],
)
def test_damaged_file_is_named_and_kept(folder, put, name, few, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path / "data"))
    put(tmp_path / folder, few)
    path = tmp_path / folder / name
    path.write_bytes(b"damaged")
    with pytest.raises(DataCorrupt) as error:
        cifar100()
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    assert path.read_bytes() == b"damaged"


@pytest.mark.parametrize(
    ("folder", "put", "name"),
    [(*LAYOUTS[0], "test"), (*LAYOUTS[3], "test/02_name.webp")],
)
def test_half_a_data_set_is_missing(folder, put, name, few, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path / "data"))
    put(tmp_path / folder, few)
    (tmp_path / folder / name).unlink()
    assert locate("cifar100") is None


# --- downloads ----------------------------------------------------------------------------------


def test_missing_names_files_folders_and_command(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path))
    monkeypatch.setenv("CONTINUAL_ENVS_OFFLINE", "1")
    for function in (cifar100, lambda: fetch("cifar100")):
        with pytest.raises(DataNotFound) as error:
            function()
        message = str(error.value)
        assert "\n" not in message and "CONTINUAL_ENVS_OFFLINE" in message
        assert str(tmp_path / "cifar-100-python") in message and str(cache) in message
        assert "`continual-envs data fetch cifar100`" in message
    with pytest.raises(DataNotFound, match="nothing to verify"):
        verify("cifar100")
    assert not cache.exists()


def test_no_network_is_one_line(cache):
    with pytest.raises(DataNotFound, match="download of .* failed .ConnectionError") as error:
        cifar100()
    assert "\n" not in str(error.value)


@pytest.fixture
def mirror(few, tmp_path, serve, monkeypatch) -> Path:
    """The archive of a small set, served where the published one is looked for."""
    put_pickles(tmp_path / "made", few)
    archive = tmp_path / "mirror" / "cifar.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made", "cifar-100-python")
    monkeypatch.setattr(cifar, "URL", serve(archive.parent) + archive.name)
    monkeypatch.setattr(cifar, "MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    return archive


def test_download_fills_the_cache_once(mirror, few, cache, monkeypatch, capfd):
    assert fetch("cifar100").origin == "cache"
    kept = sorted(str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file())
    assert kept == [f"cifar100/cifar-100-python/{split}" for split in ("test", "train")]
    monkeypatch.setenv("CONTINUAL_ENVS_OFFLINE", "1")
    np.testing.assert_array_equal(cifar100().train, few["train"])
    assert capfd.readouterr() == ("", "")


def test_mirror_with_another_file_is_corrupt(mirror, cache, monkeypatch):
    monkeypatch.setattr(cifar, "MD5", "0" * 32)
    with pytest.raises(DataCorrupt, match="nothing was kept") as error:
        cifar100()
    assert "\n" not in str(error.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]


# --- the real images ----------------------------------------------------------------------------


def test_real_images_as_strips_and_as_pickles(real_images, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(real_images))
    strips = cifar100()
    assert strips.train.shape == (100, 500, 32, 32, 3)
    assert strips.test.shape == (100, 100, 32, 32, 3)
    assert strips.sha256 == cifar.SHA256

    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for split, array in (("train", strips.train), ("test", strips.test)):
        listed = real_images / "cifar100" / f"{split}_filenames.txt.gz"
        names = gzip.decompress(listed.read_bytes()).split()
        order = np.random.default_rng(2).permutation(len(names))
        labels = [int(i) // array.shape[1] for i in order]
        content = published(rows(array)[order], labels, [names[i] for i in order])
        (folder / split).write_bytes(content)
    cifar100.cache_clear()
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path))
    pickles = cifar100()
    assert pickles is not strips and pickles.sha256 == strips.sha256
    assert locate("cifar100").files == (folder / "train", folder / "test")

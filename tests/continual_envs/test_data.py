"""Data files: every layout gives the same arrays, every failure is one clear line."""

from __future__ import annotations

import gzip
import hashlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from continual_envs.data import (
    DataCorrupt,
    DataNotFound,
    all_names,
    fetch,
    idx,
    load,
    locate,
    names,
    store,
    verify,
)

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
MNIST_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="session")
def raw_mnist(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the uncompressed MNIST training files."""
    folder = tmp_path_factory.mktemp("raw")
    for name in (IMAGES, LABELS):
        content = gzip.decompress((real_data / "mnist" / f"{name}.gz").read_bytes())
        (folder / name).write_bytes(content)
    return folder


def _put(source: Path, folder: Path, suffix: str = ".gz") -> None:
    """Link the two training files of `source` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (IMAGES, LABELS):
        (folder / f"{name}{suffix}").symlink_to(source / f"{name}{suffix}")


def _one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def _idx(*shape: int, values: int) -> bytes:
    header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
    return header + bytes(values)


# --- digits -------------------------------------------------------------------------------------


def test_digits_need_no_files_of_the_user(monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", "/nowhere")
    digits = load("digits")
    assert digits.inputs.shape == (1797, 64) and digits.inputs.dtype == np.uint8
    assert digits.labels.shape == (1797,) and digits.labels.dtype == np.int64
    counts = np.bincount(digits.labels)
    assert len(counts) == digits.classes == 10
    assert counts.min() == 174 and counts.max() == 183
    assert digits.inputs.max() == digits.max_value == 16
    assert digits.shape == (8, 8)
    assert digits.inputs[0, :8].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert verify("digits") == fetch("digits") == locate("digits")
    assert locate("digits").origin == "package"


def test_arrays_are_shared_and_read_only():
    digits = load("digits")
    assert load("digits") is digits
    for array in (digits.inputs, digits.labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_importing_needs_neither_pooch_nor_torch():
    code = (
        "import sys, continual_envs.data as d; d.load('digits');"
        "print({'pooch', 'requests', 'PIL', 'torch', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("function", [load, locate, fetch, verify])
def test_unknown_name_is_refused_with_the_nearest(function):
    assert names() == ("mnist", "fashion_mnist", "digits")
    assert all_names() == (*names(), "cifar100", "imagenet32", "imagenet")
    with pytest.raises(ValueError, match="'mnst' is not one of .*; nearest: mnist"):
        function("mnst")


@pytest.mark.parametrize("name", ["cifar100", "imagenet32", "imagenet"])
def test_sets_of_classes_are_not_labelled_images(name):
    with pytest.raises(ValueError, match=f"'{name}' is not one of digits, fashion_mnist, mnist"):
        load(name)


# --- idx ----------------------------------------------------------------------------------------


def test_idx_reads_the_last_dimension_fastest():
    content = _idx(2, 3, values=0) + bytes(range(6))
    assert idx.parse(content).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert idx.unzip(gzip.compress(content, mtime=0)) == idx.unzip(content) == content


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no idx file"),
        (b"<html>", "no idx file"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 0]), "no idx file of unsigned bytes"),
        (bytes([0, 0, 8, 0]), "no idx file"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 1]), "header of 8 bytes instead of 16"),
        (_idx(2, 3, values=5), "5 values where the idx header announces 2 x 3 = 6"),
        (_idx(2, 3, values=7), "7 values"),
    ],
)
def test_idx_refuses(content, complaint):
    with pytest.raises(ValueError, match=complaint):
        idx.parse(content)


# --- missing and damaged ------------------------------------------------------------------------


def test_missing_names_files_folders_and_command(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path))
    monkeypatch.setenv("CONTINUAL_ENVS_OFFLINE", "1")
    assert locate("mnist") is None
    for function in (load, fetch):
        with pytest.raises(DataNotFound) as error:
            function("mnist")
        message = _one_line(error)
        for part in (IMAGES, LABELS, str(tmp_path / "mnist"), str(cache), "CONTINUAL_ENVS_OFFLINE"):
            assert part in message
        assert "`continual-envs data fetch mnist`" in message
    with pytest.raises(DataNotFound, match="nothing to verify"):
        verify("mnist")
    assert not cache.exists()


def test_variable_naming_no_folder_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path / "typo"))
    with pytest.raises(DataNotFound, match="CONTINUAL_ENVS_DATA: .*typo.* is not a folder"):
        load("mnist")


def test_half_a_data_set_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / f"{IMAGES}.gz").write_bytes(b"")
    assert locate("mnist") is None


TRUNCATED = gzip.compress(_idx(9, 28, 28, values=9 * 784), mtime=0)[:-20]


@pytest.mark.parametrize("folder", ["data/mnist", "data/MNIST/raw", "data", "cache/mnist"])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (TRUNCATED, "found a broken gzip stream"),
        (_idx(9, 28, 28, values=100), "found 100 values where the idx header announces"),
        (b"<html>not here</html>", "found no idx file"),
    ],
)
def test_damaged_file_is_named_and_kept(folder, content, found, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path / "data"))
    path = tmp_path / folder / f"{IMAGES}.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (path.parent / f"{LABELS}.gz").write_bytes(_idx(9, values=9))
    for function in (load, fetch, verify):
        with pytest.raises(DataCorrupt) as error:
            function("mnist")
        message = _one_line(error)
        assert message.startswith(str(path)) and found in message
        assert store.CATALOG["mnist"].files[0].sha256 in message
    assert path.read_bytes() == content


def test_sound_file_with_other_content_is_corrupt_in_a_named_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    images = _idx(9, 28, 28, values=9 * 784)
    (tmp_path / "mnist" / IMAGES).write_bytes(images)
    (tmp_path / "mnist" / LABELS).write_bytes(_idx(9, values=9))
    with pytest.raises(DataCorrupt, match=f"found sha256 {hashlib.sha256(images).hexdigest()}"):
        load("mnist")


def test_damaged_file_in_a_half_filled_cache_is_kept(cache):
    (cache / "mnist").mkdir(parents=True)
    path = cache / "mnist" / f"{LABELS}.gz"
    path.write_bytes(b"damaged")
    with pytest.raises(DataNotFound):
        load("mnist")
    assert path.read_bytes() == b"damaged"


# --- the real files -----------------------------------------------------------------------------


def test_real_mnist(real_data, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(real_data))
    mnist = load("mnist")
    assert mnist.inputs.shape == (60000, 784) and mnist.inputs.dtype == np.uint8
    assert np.bincount(mnist.labels).tolist() == MNIST_COUNTS
    assert mnist.labels.dtype == np.int64
    assert (mnist.max_value, mnist.classes, mnist.shape) == (255, 10, (28, 28))
    assert mnist.inputs.max() == 255 and not mnist.inputs.flags.writeable


@pytest.mark.parametrize("folder", ["fashion_mnist", "fashion-mnist", "FashionMNIST/raw", ""])
def test_fashion_layouts(folder, real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path))
    _put(real_data / "fashion_mnist", tmp_path / folder)
    assert locate("fashion_mnist").files[0].parent == tmp_path / folder
    assert locate("mnist") is None
    if folder != "":
        return
    fashion = load("fashion_mnist")
    assert np.bincount(fashion.labels).tolist() == [6000] * 10


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "", "../cache/mnist"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_layouts_give_the_same_identity(
    folder, suffix, real_data, raw_mnist, tmp_path, monkeypatch
):
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(data))
    _put(raw_mnist if suffix == "" else real_data / "mnist", data / folder, suffix)
    content = (raw_mnist / IMAGES).read_bytes() + (raw_mnist / LABELS).read_bytes()
    assert load("mnist").sha256 == hashlib.sha256(content).hexdigest()
    origin = "cache" if "cache" in folder else "CONTINUAL_ENVS_DATA"
    assert verify("mnist").origin == origin
    assert locate("fashion_mnist") is None


# --- downloads ----------------------------------------------------------------------------------


def test_download_fills_the_cache_once(real_data, cache, serve, monkeypatch, capfd):
    monkeypatch.setitem(store.MIRRORS, "mnist", serve(real_data / "mnist"))
    location = fetch("mnist")
    assert location.origin == "cache"
    assert sorted(p.name for p in (cache / "mnist").iterdir()) == [f"{IMAGES}.gz", f"{LABELS}.gz"]
    monkeypatch.setenv("CONTINUAL_ENVS_OFFLINE", "1")
    assert np.bincount(load("mnist").labels).tolist() == MNIST_COUNTS
    assert capfd.readouterr() == ("", "")


def test_load_downloads_what_is_nowhere(real_data, tmp_path, serve, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path))
    monkeypatch.setenv("CONTINUAL_ENVS_OFFLINE", "0")
    monkeypatch.setitem(store.MIRRORS, "mnist", serve(real_data / "mnist"))
    assert len(load("mnist").labels) == 60000


def test_mirror_with_another_file_is_corrupt(tmp_path, cache, serve, monkeypatch):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    content = gzip.compress(_idx(9, 28, 28, values=9 * 784), mtime=0)
    (mirror / f"{IMAGES}.gz").write_bytes(content)
    url = serve(mirror)
    monkeypatch.setitem(store.MIRRORS, "mnist", url)
    with pytest.raises(DataCorrupt) as error:
        load("mnist")
    message = _one_line(error)
    assert message.startswith(f"{url}{IMAGES}.gz")
    assert store.CATALOG["mnist"].files[0].md5 in message
    assert hashlib.md5(content).hexdigest() in message
    assert not list((cache / "mnist").iterdir())


def test_no_network_is_one_line_and_fast(tmp_path, cache, serve, monkeypatch):
    began = time.monotonic()
    with pytest.raises(DataNotFound) as error:
        load("mnist")
    assert "ConnectionError" in _one_line(error)
    assert time.monotonic() - began < 5
    (tmp_path / "empty").mkdir()
    monkeypatch.setitem(store.MIRRORS, "mnist", serve(tmp_path / "empty"))
    with pytest.raises(DataNotFound, match="HTTPError"):
        fetch("mnist")


def test_silent_mirror_times_out(monkeypatch):
    monkeypatch.setattr(store, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        monkeypatch.setitem(store.MIRRORS, "mnist", f"http://127.0.0.1:{port}/")
        with pytest.raises(DataNotFound, match="Timeout"):
            load("mnist")


def test_cache_that_cannot_be_written_is_one_line(cache):
    cache.write_text("a file where a folder should be")
    with pytest.raises(DataNotFound) as error:
        load("mnist")
    assert str(cache) in _one_line(error)

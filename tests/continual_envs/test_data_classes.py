"""Image classes: every way to keep them gives the same arrays, every failure is one clear line."""

from __future__ import annotations

import copy
import hashlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from continual_envs.data import (
    DataCorrupt,
    DataNotFound,
    classes,
    fetch,
    image_classes,
    imagenet_arrays,
    locate,
    pictures,
    verify,
)
from continual_envs.data.class_folders import split

pytestmark = pytest.mark.usefixtures("cache")


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# --- which set ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["imagnet", "mnist", "", 3, None])
def test_unknown_set_is_refused(name):
    with pytest.raises(ValueError, match="dataset: .* is not one of imagenet32, imagenet or the"):
        image_classes(name)


def test_unknown_set_is_told_the_nearest():
    with pytest.raises(ValueError, match="; nearest: imagenet$"):
        image_classes("imagnet")


@pytest.mark.parametrize("name", ["imagenet32", "imagenet"])
@pytest.mark.parametrize("function", [image_classes, fetch, verify])
def test_missing_set_names_files_and_folders(name, function, tmp_path, cache, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path))
    with pytest.raises(DataNotFound) as error:
        function(name)
    message = one_line(error)
    assert message.startswith(f"{name}: ")
    assert str(tmp_path / name / "classes") in message and str(cache / name) in message
    assert locate(name) is None


def test_missing_arrays_point_at_the_published_code():
    with pytest.raises(DataNotFound, match=r"0.npy to 999.npy.*loss-of-plasticity.*README"):
        image_classes("imagenet")


# --- published arrays ---------------------------------------------------------------------------


def put_arrays(folder: Path, *arrays: np.ndarray) -> None:
    """Write `arrays` as the first classes; every other class is a link to the last."""
    folder.mkdir(parents=True)
    for label, array in enumerate(arrays):
        np.save(folder / f"{label}.npy", array)
    for label in range(len(arrays), 1000):
        os.symlink(folder / f"{len(arrays) - 1}.npy", folder / f"{label}.npy")


@pytest.mark.parametrize("folder", ["data/imagenet/classes", "data/imagenet", "cache/imagenet"])
def test_arrays_of_either_layout_are_equal(folder, tmp_path, monkeypatch):
    last = pixels(700, 32, 32, 3)
    first = last.transpose(0, 3, 1, 2)
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path / "data"))
    floats = first.astype(np.float32)
    put_arrays(tmp_path / folder, first, last, floats, np.asfortranarray(first, ">f8"))
    found = image_classes("imagenet")
    assert (found.name, found.count) == ("imagenet", 1000)
    assert (found.train_images, found.test_images) == (600, 100)
    for label in range(4):
        images = found.load(label)
        np.testing.assert_array_equal(images.train, last[:600])
        np.testing.assert_array_equal(images.test, last[600:])
        assert images.train.dtype == images.test.dtype == np.uint8
        content = (tmp_path / folder / f"{label}.npy").read_bytes()
        assert images.sha256 == hashlib.sha256(content).hexdigest()
    assert verify("imagenet").files[7] == tmp_path / folder / "7.npy"
    assert verify("imagenet").origin == ("cache" if "cache" in folder else "CONTINUAL_ENVS_DATA")


def test_some_of_the_arrays_are_not_the_set(tmp_path, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path))
    put_arrays(tmp_path / "imagenet", np.zeros((700, 3, 32, 32), np.uint8))
    (tmp_path / "imagenet" / "17.npy").unlink()
    with pytest.raises(DataNotFound):
        image_classes("imagenet")


def _npz() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", b"")
    return buffer.getvalue()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not an .npy file"),
        (b"<html>not here</html>", "not an .npy file"),
        (_npy(np.zeros((700, 3, 32, 32), np.uint8))[:-1], "not an .npy file"),
        (_npy(np.array([{}], object)), "not an .npy file"),
        (_npz(), "an archive where"),
        (_npy(np.zeros((600, 3, 32, 32), np.uint8)), r"uint8 \(600, 3, 32, 32\) where \(700, 3"),
        (_npy(np.zeros((700, 3072), np.uint8)), r"uint8 \(700, 3072\) where"),
        (_npy(np.zeros((700, 3, 32, 32), bool)), "bool .* of numbers is wanted"),
    ],
)
def test_other_files_are_no_arrays(content, complaint, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path))
    put_arrays(tmp_path / "imagenet", np.zeros(1, np.uint8))
    path = tmp_path / "imagenet" / "0.npy"
    path.write_bytes(content)
    for read in (lambda: image_classes("imagenet").load(0), lambda: verify("imagenet")):
        with pytest.raises(DataCorrupt, match=complaint) as error:
            read()
        assert one_line(error).startswith(str(path))


@pytest.mark.parametrize("value", [0.5, -1.0, 256.0, np.nan, np.inf])
def test_values_that_are_no_grey_levels_are_refused(value):
    stored = np.full((700, 3, 32, 32), 7, np.float32)
    stored[699, 2, 31, 31] = value
    with pytest.raises(DataCorrupt, match=r"^x.npy: values of .* are not all whole numbers"):
        imagenet_arrays.grey_levels(stored, Path("x.npy"))


# --- folders ------------------------------------------------------------------------------------


def put_folder(folder: Path, **counts: int) -> None:
    """Write `counts` PNG pictures for each class, picture i of class c all of colour (c, i, 7)."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (32, 32), (number, i, 7)).save(folder / name / f"{i:03}.png")


def test_folder_is_sorted_and_split(tmp_path):
    put_folder(tmp_path, b=7, a=23)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "README.txt").write_text("not a class")
    (tmp_path / "a" / "notes.txt").write_text("not a picture")
    (tmp_path / "a" / "._000.png").write_bytes(b"not a picture either")
    found = image_classes(f"{tmp_path}/")
    assert (found.count, found.train_images, found.test_images) == (2, 6, 1)
    a, b = found.load(0), found.load(1)
    assert a.train.shape == (20, 32, 32, 3) and a.test.shape == (3, 32, 32, 3)
    assert a.train[:, 5, 5].tolist() == [[1, i, 7] for i in range(20)]
    assert a.test[:, 5, 5].tolist() == [[1, i, 7] for i in range(20, 23)]
    assert b.train[:, 0, 0].tolist() == [[0, i, 7] for i in range(6)]
    assert a.sha256 != b.sha256


def test_split_of_a_class():
    assert [split(n) for n in (7, 13, 14, 550, 699, 700, 1300)] == [
        (6, 1), (12, 1), (12, 2), (472, 78), (600, 99), (600, 100), (600, 100)
    ]  # fmt: skip


def test_sha256_of_a_class_follows_its_bytes(tmp_path):
    put_folder(tmp_path, a=7, b=7)
    before = image_classes(str(tmp_path)).load(0).sha256
    classes._opened.cache_clear()
    assert image_classes(str(tmp_path)).load(0).sha256 == before
    classes._opened.cache_clear()
    Image.new("RGB", (32, 32)).save(tmp_path / "a" / "006.png")
    assert image_classes(str(tmp_path)).load(0).sha256 != before


@pytest.mark.parametrize("path", ["./mine", "mine/", "../here/mine", "~/mine"])
def test_paths_are_recognised(path, tmp_path, monkeypatch):
    here = tmp_path / "here"
    put_folder(here / "mine", a=7, b=7)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    assert image_classes(path) is image_classes(str(here / "mine"))


@pytest.mark.parametrize("path", ["./none", "~nobody-at-all/none"])
def test_missing_folder(path):
    with pytest.raises(DataNotFound, match="dataset: .*none' is not a folder"):
        image_classes(path)


@pytest.mark.parametrize("counts", [{}, {"a": 7}])
def test_folder_of_less_than_two_classes(counts, tmp_path):
    put_folder(tmp_path, **counts)
    with pytest.raises(ValueError, match=f"has {len(counts)} class folders; give") as error:
        image_classes(str(tmp_path))
    assert str(tmp_path) in one_line(error)


@pytest.mark.parametrize("few", [0, 6])
def test_class_of_less_than_seven_pictures(few, tmp_path):
    put_folder(tmp_path, a=7, b=few)
    with pytest.raises(ValueError, match=f"has {few} pictures; give at least 7") as error:
        image_classes(str(tmp_path))
    assert str(tmp_path / "b") in one_line(error)


@pytest.mark.parametrize("damage", ["truncated", "text", "folder", "empty"])
def test_unreadable_picture_is_named(damage, tmp_path):
    put_folder(tmp_path, a=7, b=7)
    path = tmp_path / "b" / "003.png"
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes({"truncated": content[:60], "text": b"hello", "empty": b""}[damage])
    found = image_classes(str(tmp_path))
    found.load(0)
    with pytest.raises(DataCorrupt) as error:
        found.load(1)
    assert one_line(error).startswith(f"{path}: ")


# --- pictures -----------------------------------------------------------------------------------


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("format", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})]
)
def test_picture_of_the_right_size_is_unchanged(format, options):
    want = pixels(32, 32, 3)
    content = encoded(Image.fromarray(want), format, **options)
    np.testing.assert_array_equal(pictures.picture(content, Path("x")), want)


def test_larger_picture_is_averaged_over_boxes_and_smaller_ones_repeat_pixels():
    blocks = pixels(32, 32, 3) // 2 + np.uint8(64)
    large = blocks.repeat(2, 0).repeat(2, 1)
    large[::2, ::2] -= np.uint8(60)
    large[1::2, ::2] += np.uint8(60)
    got = pictures.picture(encoded(Image.fromarray(large)), Path("x"))
    np.testing.assert_array_equal(got, blocks)
    small = pixels(16, 8, 3)
    got = pictures.picture(encoded(Image.fromarray(small)), Path("x"))
    np.testing.assert_array_equal(got, small.repeat(2, 0).repeat(4, 1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_every_mode_becomes_rgb(mode):
    image = Image.new("RGB", (32, 32), (255, 255, 255)).convert(mode)
    got = pictures.picture(encoded(image), Path("x"))
    assert got.shape == (32, 32, 3) and got.dtype == np.uint8 and (got == 255).all()


def test_strip_of_another_size_is_refused():
    content = encoded(Image.new("RGB", (32, 64)))
    assert pictures.strip(content, Path("x"), 2).shape == (2, 32, 32, 3)
    with pytest.raises(DataCorrupt, match="^x: a picture of 32 x 64 pixels where 3 images"):
        pictures.strip(content, Path("x"), 3)


# --- the object ---------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path) -> classes.ImageClasses:
    put_folder(tmp_path / "small", **{f"class{i:02}": 7 for i in range(classes.RECENT + 1)})
    return image_classes(str(tmp_path / "small"))


def test_arrays_are_read_only(small):
    images = small.load(0)
    for array in (images.train, images.test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_only_the_latest_classes_are_kept(small):
    first = small.load(0)
    assert small.load(np.int64(0)) is first
    for label in range(1, small.count):
        small.load(label)
    again = small.load(0)
    assert again is not first and again.sha256 == first.sha256


def test_there_is_one_a_process_and_it_pickles_as_its_name(small):
    small.load(0)
    assert image_classes(small.name) is small
    assert copy.deepcopy(small) is small
    content = pickle.dumps(small)
    assert len(content) < 1000 and pickle.loads(content) is small


@pytest.mark.parametrize("label", [-1, classes.RECENT + 1])
def test_label_outside_is_refused(small, label):
    with pytest.raises(IndexError, match=f"label: {label} is not one of the"):
        small.load(label)


# --- the real strips ----------------------------------------------------------------------------


def test_real_strips(real_images, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(real_images))
    found = image_classes("imagenet32")
    assert (found.count, found.train_images, found.test_images) == (200, 500, 50)
    (path,) = (real_images / "imagenet32" / "classes").glob("123_*.jpg")
    images = found.load(123)
    assert images.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert images.train.shape == (500, 32, 32, 3) and images.test.shape == (50, 32, 32, 3)
    whole = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 32, 32, 3)
    np.testing.assert_array_equal(np.concatenate([images.train, images.test]), whole)
    location = verify("imagenet32")
    assert location == fetch("imagenet32") == locate("imagenet32")
    assert len(location.files) == 200 and location.files[123] == path


def test_strip_that_is_not_the_published_one(real_images, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTINUAL_ENVS_DATA", str(tmp_path))
    folder = tmp_path / "imagenet32" / "classes"
    folder.mkdir(parents=True)
    for path in (real_images / "imagenet32" / "classes").glob("*.jpg"):
        (folder / path.name).symlink_to(path)
    paths = sorted(folder.iterdir())
    paths[3].unlink()
    assert locate("imagenet32") is None
    paths[3].symlink_to(paths[4].resolve())
    found = image_classes("imagenet32")
    found.load(4)
    for read in (lambda: found.load(3), lambda: verify("imagenet32")):
        with pytest.raises(DataCorrupt, match="not the published file; sha256 expected") as error:
            read()
        assert one_line(error).startswith(str(paths[3]))

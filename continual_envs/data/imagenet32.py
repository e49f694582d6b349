"""Photographs of 200 ImageNet classes at 32 x 32 pixels: one JPEG strip a class.

`LLL_wnid.jpg` (LLL = 000..199) is 32 pixels wide, 550 images stacked downwards: the 500 training
and 50 validation images of a class of Tiny ImageNet (Stanford CS231n), 64 x 64, averaged over
boxes of 2 x 2. `imagenet32.sha256` beside this file has the published checksums.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from continual_envs.data import pictures, store
from continual_envs.data.catalog import File
from continual_envs.data.classes import ClassImages, ImageClasses
from continual_envs.data.errors import DataCorrupt, DataNotFound

NAME = "imagenet32"
FOLDERS = ("imagenet32/classes", "imagenet32")
TRAIN_IMAGES, TEST_IMAGES = 500, 50


def classes() -> ImageClasses:
    """Return the 200 classes; reading one compares its file with the published checksum.

    Raises:
        DataNotFound: if no folder has all 200 files.
    """
    paths = _found().files

    def read(label: int) -> ClassImages:
        path, file = paths[label], _published()[label]
        content = _verified(path, file)
        images = pictures.strip(content, path, TRAIN_IMAGES + TEST_IMAGES)
        return ClassImages(images[:TRAIN_IMAGES], images[TRAIN_IMAGES:], file.sha256)

    return ImageClasses(NAME, len(paths), TRAIN_IMAGES, TEST_IMAGES, read)


def locate() -> store.Location | None:
    """Return the folder that has all files, or None; opens no file of it."""
    return store.whole_folder(NAME, FOLDERS, [file.name for file in _published()])


def verify() -> store.Location:
    """Compare all files with the published checksums and return where they are.

    Raises:
        DataNotFound: if no folder has all files.
        DataCorrupt: if a file is not the published one.
    """
    location = _found()
    for path, file in zip(location.files, _published(), strict=True):
        _verified(path, file)
    return location


fetch = verify  # there is no mirror: what is nowhere cannot be fetched


@cache
def _published() -> tuple[File, ...]:
    lines = Path(__file__).with_suffix(".sha256").read_text(encoding="ascii").splitlines()
    return tuple(File(name, sha256) for sha256, name in map(str.split, lines))


def _found() -> store.Location:
    location = locate()
    if location is None:
        folders = ", ".join(str(folder) for _, folder in store.places(FOLDERS))
        names = [file.name for file in _published()]
        raise DataNotFound(
            f"{NAME}: the {len(names)} files {names[0]} to {names[-1]} not found in {folders}; "
            f"they have no public mirror: put them into one of these folders, or give a folder of "
            f"class folders of your own as the dataset"
        )
    return location


def _verified(path: Path, file: File) -> bytes:
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DataCorrupt(
            f"{path}: not the published file; sha256 expected {file.sha256}, found {found}; "
            f"put the published one there"
        )
    return content

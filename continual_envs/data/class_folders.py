"""Image classes of the user's own: a folder with one folder of pictures for every class."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from continual_envs.data import pictures
from continual_envs.data.classes import ClassImages, ImageClasses
from continual_envs.data.errors import DataCorrupt, DataNotFound

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
TRAIN_IMAGES, TEST_IMAGES = 600, 100
FEWEST = 7
"""Images a class needs to have one to test on."""


def classes(folder: Path) -> ImageClasses:
    """Return the classes of `<folder>/<class>/<picture>`, classes and pictures sorted by name.

    The last n // 7 of a class's n pictures, at most 100, are for testing, and the first of the
    rest, at most 600, for training. Pictures become RGB of 32 x 32 pixels (`pictures.picture`).
    What begins with a dot, and files of other types, do not count.

    Raises:
        DataNotFound: if there is no such folder.
        ValueError: if it has fewer than two classes, or a class fewer than 7 pictures.
    """
    files = [_pictures(path) for path in _class_folders(folder)]
    splits = [split(len(paths)) for paths in files]

    def read(label: int) -> ClassImages:
        train, test = splits[label]
        chosen = files[label][:train] + files[label][-test:]
        digest, images = hashlib.sha256(), []
        for path in chosen:
            content = _content(path)
            # of the files' digests, so that bytes cannot move from one file to the next unseen
            digest.update(hashlib.sha256(content).digest())
            images.append(pictures.picture(content, path))
        return ClassImages(np.stack(images[:train]), np.stack(images[train:]), digest.hexdigest())

    fewest = [min(column) for column in zip(*splits, strict=True)]
    return ImageClasses(str(folder), len(files), fewest[0], fewest[1], read)


def split(images: int) -> tuple[int, int]:
    """Return (training, test) images of a class that has `images`."""
    test = min(TEST_IMAGES, images // FEWEST)
    return min(TRAIN_IMAGES, images - test), test


def _class_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataNotFound(f"dataset: {str(folder)!r} is not a folder; give one of class folders")
    found = [path for path in _sorted(folder) if path.is_dir()]
    if len(found) < 2:
        raise ValueError(
            f"dataset: {str(folder)!r} has {len(found)} class folders; give a folder with at least "
            f"2, one of pictures for every class"
        )
    return found


def _pictures(folder: Path) -> list[Path]:
    found = [path for path in _sorted(folder) if path.suffix.lower() in SUFFIXES]
    if len(found) < FEWEST:
        raise ValueError(
            f"dataset: class folder {str(folder)!r} has {len(found)} pictures; give at least "
            f"{FEWEST} ({', '.join(SUFFIXES)})"
        )
    return found


def _sorted(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataCorrupt(f"{path}: cannot be read ({error.strerror})") from error

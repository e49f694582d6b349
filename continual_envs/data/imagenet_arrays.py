"""ImageNet at 32 x 32 pixels as the published Continual ImageNet has it: one array file a class.

`<label>.npy` (label = 0..999) holds 700 images, channels first: 600 to learn from and 100 to test
on. The code of Dohare et al., Nature 632 (2024), links them; they have no published checksums, so a
file counts if it has the right shape and holds grey levels.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from continual_envs.data import store
from continual_envs.data.classes import ClassImages, ImageClasses
from continual_envs.data.errors import DataCorrupt, DataNotFound

NAME = "imagenet"
FOLDERS = ("imagenet/classes", "imagenet", "continual_imagenet/classes")
CLASSES, TRAIN_IMAGES, TEST_IMAGES = 1000, 600, 100
SHAPES = ((700, 3, 32, 32), (700, 32, 32, 3))
README = "https://github.com/shibhansh/loss-of-plasticity (lop/imagenet/README.md)"


def classes() -> ImageClasses:
    """Return the 1000 classes.

    Raises:
        DataNotFound: if no folder has all 1000 files.
    """
    paths = _found().files

    def read(label: int) -> ClassImages:
        images = grey_levels(_opened(paths[label]), paths[label])
        with open(paths[label], "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return ClassImages(images[:TRAIN_IMAGES], images[TRAIN_IMAGES:], sha256)

    return ImageClasses(NAME, CLASSES, TRAIN_IMAGES, TEST_IMAGES, read)


def grey_levels(stored: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    """Return stored images as uint8, channels last.

    Args:
        stored: of one of `SHAPES`; uint8, or other numbers that are whole and in 0..255.
        path: where they were read, for the complaint.

    Raises:
        DataCorrupt: if a value is no grey level.
    """
    if stored.shape == SHAPES[0]:
        stored = stored.transpose(0, 2, 3, 1)
    if stored.dtype != np.uint8:
        low, high = stored.min(), stored.max()
        # "not in" rather than "below or above": NaN is refused too
        if not (0 <= low and high <= 255 and np.array_equal(stored, np.rint(stored))):
            raise DataCorrupt(
                f"{path}: values of {low:g} to {high:g}, type {stored.dtype}, are not all whole "
                f"numbers in 0..255; give grey levels, not scaled or normalised images"
            )
    return np.array(stored, np.uint8, order="C")  # a copy: the file can be closed


def locate() -> store.Location | None:
    """Return the folder that has all files, or None; opens no file of it."""
    return store.whole_folder(NAME, FOLDERS, [f"{label}.npy" for label in range(CLASSES)])


def verify() -> store.Location:
    """Compare type and shape of all files with what they should be and return where they are.

    Raises:
        DataNotFound: if no folder has all files.
        DataCorrupt: if a file is no array, or one of another shape.
    """
    location = _found()
    for path in location.files:
        _opened(path)
    return location


fetch = verify  # nothing that can be downloaded without a browser


def _found() -> store.Location:
    location = locate()
    if location is None:
        folders = ", ".join(str(folder) for _, folder in store.places(FOLDERS))
        raise DataNotFound(
            f"{NAME}: the files 0.npy to {CLASSES - 1}.npy not found in {folders}; they are not "
            f"downloaded for you: {README} links them; unpack them into one of these folders"
        )
    return location


def _opened(path: Path) -> NDArray[np.generic]:
    """Map a file of the right type and shape; its values are not read."""
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        line = str(error).partition("\n")[0]
        raise DataCorrupt(f"{path}: not an .npy file of numbers ({line})") from error
    numbers = isinstance(stored, np.ndarray) and stored.dtype.kind in "uif"
    if not numbers or stored.shape not in SHAPES:
        found = f"{stored.dtype} {stored.shape}" if isinstance(stored, np.ndarray) else "an archive"
        raise DataCorrupt(
            f"{path}: {found} where {' or '.join(map(str, SHAPES))} of numbers is wanted"
        )
    return stored

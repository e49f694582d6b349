"""Pictures of 32 x 32 pixels decoded from files: uint8, height x width x RGB."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from continual_envs.data.errors import DataCorrupt

SIZE = 32


def strip(content: bytes, path: Path, images: int) -> NDArray[np.uint8]:
    """Return the images of a strip, a picture 32 pixels wide with the images stacked downwards.

    Returns:
        Shape (images, 32, 32, 3).

    Raises:
        DataCorrupt: naming `path`, if `content` is no picture or one of another size.
    """
    pixels = _rgb(content, path)
    if pixels.shape != (images * SIZE, SIZE, 3):
        height, width, _ = pixels.shape
        raise DataCorrupt(
            f"{path}: a picture of {width} x {height} pixels where {images} images stacked "
            f"downwards make {SIZE} x {images * SIZE}"
        )
    return pixels.reshape(images, SIZE, SIZE, 3)


def picture(content: bytes, path: Path) -> NDArray[np.uint8]:
    """Return one picture of any size and colour mode as RGB, brought to 32 x 32 pixels.

    A larger one is averaged over boxes (Pillow's BOX), in a smaller one pixels are repeated; the
    whole picture is kept and its sides are scaled apart.

    Raises:
        DataCorrupt: naming `path`, if `content` is no picture.
    """
    return _rgb(content, path, (SIZE, SIZE))


def _rgb(content: bytes, path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as opened:
            image = opened.convert("RGB")
            if size is not None and image.size != size:
                image = image.resize(size, Image.Resampling.BOX)
            return np.asarray(image)
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        why = str(error).partition("<")[0].strip() or type(error).__name__
        raise DataCorrupt(f"{path}: not a picture that Pillow can read ({why})") from error

"""The idx format of the MNIST family: a big-endian header, then unsigned bytes."""

from __future__ import annotations

import gzip
import math
import zlib

import numpy as np
from numpy.typing import NDArray

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 8


def unzip(content: bytes) -> bytes:
    """Return the plain bytes of a file that may be gzipped, whatever its name says.

    Raises:
        ValueError: if the gzip stream is truncated or damaged.
    """
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"a broken gzip stream ({error})") from error


def parse(content: bytes) -> NDArray[np.uint8]:
    """Return the array of an uncompressed idx file, a read-only view of its bytes.

    Args:
        content: the file: bytes 0, 0, type (8, unsigned byte) and number of dimensions, then each
            dimension as a big-endian 32-bit integer, then the values, last dimension fastest.

    Raises:
        ValueError: if the magic number, the dimensions or the length is not as it should be.
    """
    if len(content) < 4 or content[:3] != bytes([0, 0, _UNSIGNED_BYTE]) or not content[3]:
        raise ValueError(f"no idx file of unsigned bytes (it begins with {content[:4].hex(' ')!r})")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise ValueError(f"an idx header of {len(content)} bytes instead of {start}")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", dimensions, offset=4))
    if len(content) - start != math.prod(shape):
        announced = " x ".join(map(str, shape))
        raise ValueError(
            f"{len(content) - start} values where the idx header announces "
            f"{announced} = {math.prod(shape)}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)

"""One checkpoint file that loads without executing anything and is never half-written."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from agents.plain import decode, encode


def save(state: dict[str, Any], path: Path) -> None:
    """Write `state` beside `path`, sync it and rename it into place.

    Args:
        state: nested dicts, lists and tuples of tensors, arrays, numbers, strings, None.
        path: the checkpoint.

    Raises:
        TypeError: something else is in it, which could not be read again; nothing is written.
    """
    encoded = encode(state)
    beside = path.with_name(path.name + ".new")
    with open(beside, "wb") as file:
        torch.save(encoded, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint; its tensors are on the CPU, from where agents move them.

    An optimizer of torch's would leave its count of steps on a GPU, and wait for it at every step.

    Raises:
        ValueError: it is damaged; one line names the file.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        with zipfile.ZipFile(content) as archive:
            flipped = archive.testzip()  # torch does not compare the checksums
        content.seek(0)
        decoded = decode(torch.load(content, map_location="cpu", weights_only=True))
        if isinstance(decoded, dict) and flipped is None:
            return decoded
        cause = "not a dict" if flipped is None else flipped
    except Exception as error:  # torch raises many kinds for a damaged file
        cause = type(error).__name__
    raise ValueError(f"{path}: damaged checkpoint ({cause}); remove the run folder to start over")

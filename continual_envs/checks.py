"""One-line complaints about bad values: the field, what was given, what is allowed, the nearest."""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Iterable
from typing import Any

# What others call a setting of ours, where the letters would lead elsewhere.
SYNONYMS = {"lr": "step_size", "learning_rate": "step_size"}


def one_of(field: str, value: Any, allowed: Iterable[str]) -> Any:
    """Return `value` if it is among `allowed`, else raise a ValueError that names the nearest."""
    names = sorted(allowed)
    if value in names:
        return value
    raise ValueError(f"{field}: {value!r} is not one of {', '.join(names)}{nearest(value, names)}")


def nearest(value: Any, names: Iterable[str]) -> str:
    """Return `"; nearest: NAME"`, or nothing when no name is close to `value`."""
    names = list(names)
    if SYNONYMS.get(str(value)) in names:
        return f"; nearest: {SYNONYMS[str(value)]}"
    close = difflib.get_close_matches(str(value), names, n=1, cutoff=0.5)
    return f"; nearest: {close[0]}" if close else ""


def number(
    field: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return `value` if it is a finite number in [low, high] and (above, below), else raise.

    Raises:
        ValueError: it is not; NaN and infinities never are.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and low <= value <= high and above < value < below:
        return value
    bounds = [
        text
        for text, bound in (
            (f"at least {low:g}", low),
            (f"at most {high:g}", high),
            (f"above {above:g}", above),
            (f"below {below:g}", below),
        )
        if math.isfinite(bound)
    ]
    allowed = " ".join(["a finite number", " and ".join(bounds)]).strip()
    raise ValueError(f"{field}: {value!r} is not allowed; give {allowed}")


def one_line(error: BaseException) -> str:
    """Return type and message of an exception."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def loaded(field: str, value: Any) -> Any:
    """Return the object of "module:name", or `value` itself if it is no string.

    Raises:
        ValueError: there is no such module or name.
    """
    if not isinstance(value, str):
        return value
    module, _, name = value.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (AttributeError, ImportError, ValueError) as error:
        raise ValueError(f"{field}: {value!r} cannot be loaded: {error}") from error


def flag(field: str, value: Any) -> bool:
    """Return `value` if it is a bool, else raise a ValueError."""
    if isinstance(value, bool):
        return value
    raise ValueError(f"{field}: {value!r} is not allowed; give true or false")


def integer(field: str, value: Any, low: int = 0) -> int:
    """Return `value` if it is an int of at least `low`, else raise a ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= low:
        return value
    raise ValueError(f"{field}: {value!r} is not allowed; give a whole number of at least {low}")

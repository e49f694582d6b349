"""Settings of problems and agents: as text, as parameters declare them, and all of them."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from continual_envs import checks

Settings = Mapping[str, Any]
DECIMAL = re.compile(r"[+-]?(\d+\.\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)  # also .5 and 5.
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Return the settings of several "key=value", each key once; see `parse_assignment`."""
    result: dict[str, Any] = {}
    for key, value in map(parse_assignment, texts):
        if key in result:
            raise ValueError(f"setting: {key} is given twice; give it once")
        result[key] = value
    return result


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split "key=value"; the value is a JSON scalar or list, or .5, a bare word is a string.

    Raises:
        ValueError: there is no key, or the value is a JSON object or not finite.
    """
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ValueError(f"setting: {text!r} is not allowed; give key=value")
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        if not DECIMAL.fullmatch(value):
            return key, value
        parsed = float(value)
    if isinstance(parsed, dict) or not is_plain(parsed):
        raise ValueError(f"{key}: {value} is not allowed; give a finite number, a word or a list")
    return key, parsed


def expand(
    known: Mapping[str, inspect.Parameter], usual: Settings, given: Settings, field: str
) -> dict[str, Any]:
    """Return every setting: given, else usual, else the default; all of the declared type.

    Args:
        known: parameters of a problem or of an agent's factory, by name.
        usual: those that a preset gives.
        given: those that the user gives.
        field: what complaints call them, such as "setting of l2".

    Raises:
        ValueError: an unknown setting, one without a value, or a value of another type.
    """
    for name in given:
        checks.one_of(field, name, known)
    result = {}
    for name, parameter in known.items():
        value = given.get(name, usual.get(name, parameter.default))
        if value is inspect.Parameter.empty:
            raise ValueError(f"{name}: not given, and {field.removeprefix('setting of ')} needs it")
        if value is not None or parameter.default is not None:  # `x: float = None` is common
            value = coerce(name, value, parameter.annotation)
        bare = parameter.annotation is inspect.Parameter.empty
        if bare and type(parameter.default) in (int, float) and isinstance(value, str | bool):
            raise ValueError(f"{name}: {value!r} is not allowed; give a number")
        if not is_plain(value):
            raise ValueError(f"{name}: {value!r} is not allowed; give what JSON can hold, finite")
        result[name] = value
    return result


def coerce(field: str, value: Any, annotation: Any) -> Any:
    """Return `value` as what a parameter's annotation declares; tuples become lists (JSON's).

    Raises:
        ValueError: it is not of that type.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if annotation is inspect.Parameter.empty or annotation is Any:
        return list(value) if isinstance(value, tuple) else value
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        if value in arguments:
            return value
        names = [str(argument) for argument in arguments]
        hint = f"{', '.join(names)}{checks.nearest(value, names)}"
        raise ValueError(f"{field}: {value!r} is not one of {hint}")
    if origin in (Union, types.UnionType):
        return _coerce_to_one(field, value, arguments)
    if origin in (tuple, list) or annotation in (tuple, list):
        if not isinstance(value, tuple | list):
            raise ValueError(f"{field}: {value!r} is not allowed; give a list like [1, 2]")
        if not arguments:
            return list(value)
        kinds = [arguments[0]] * len(value) if arguments[-1] is ... else list(arguments)
        if origin is list:
            kinds = [arguments[0]] * len(value)
        if len(kinds) != len(value):
            raise ValueError(f"{field}: {value!r} is not allowed; give {len(kinds)} values")
        return [coerce(field, item, kind) for item, kind in zip(value, kinds, strict=True)]
    if annotation is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)  # 1e6 is how many write a million
    if annotation in WORDS and type(value) is not annotation:
        raise ValueError(f"{field}: {value!r} is not allowed; give {WORDS[annotation]}")
    return value


def _coerce_to_one(field: str, value: Any, alternatives: tuple[Any, ...]) -> Any:
    """Return `value` as the first alternative that it fits; the first complains if none does."""
    if value is None and type(None) in alternatives:
        return None
    kinds = [kind for kind in alternatives if kind is not type(None)]
    for kind in kinds:
        with contextlib.suppress(ValueError):
            return coerce(field, value, kind)
    return coerce(field, value, kinds[0])


def is_plain(value: Any) -> bool:
    """Return whether JSON, which has no NaN and no infinity, can hold the value."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True

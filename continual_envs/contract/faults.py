"""What the checkers of problems and agents share: guarded checks, equality, global generators."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from continual_envs.checks import one_line

Subject = TypeVar("Subject")
Check = Callable[[Subject], Iterable[str]]


def first_faults(
    stages: Iterable[Sequence[Check[Subject]]], subjects: Sequence[Subject]
) -> list[str]:
    """Return the faults of the first stage that has any.

    Later stages take for granted what earlier ones check, so that one mistake is not reported under
    many names. A check is made of every subject in turn until one has a fault.
    """
    for stage in stages:
        found = []
        for check in stage:
            found += next(filter(None, (guarded(check, subject) for subject in subjects)), [])
        if found:
            return found
    return []


def guarded(check: Check[Subject], subject: Subject) -> list[str]:
    """Return the faults that `check` yields; an exception is a fault that names the check."""
    found = []
    try:
        for fault in check(subject):
            found.append(fault)
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        name = getattr(check, "__name__", "check").replace("_", " ")
        found.append(f"{name}: raises {one_line(error)}")
    return found


def same(one: Any, other: Any) -> bool:
    """Return whether two nests of dicts, lists, arrays, tensors and scalars agree bit for bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if one is None or isinstance(one, bool | int | float | str | bytes):
        both_nan = one != one and other != other
        return type(one) is type(other) and (both_nan or bool(one == other))
    one, other = _array(one), _array(other)
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype == object:
        return bool(np.all(one == other))
    return bool(one.tobytes() == other.tobytes())


def not_plain(value: Any) -> str | None:
    """Return the type of a leaf that is no array, number or string."""
    if isinstance(value, dict | list | tuple):
        items = [*value, *value.values()] if isinstance(value, dict) else value
        return next(filter(None, map(not_plain, items)), None)
    plain = value is None or isinstance(value, bool | int | float | str)
    if plain or (isinstance(value, np.ndarray) and value.dtype != object):
        return None
    return type(value).__name__


def scribble(*arrays: Any) -> None:
    """Overwrite arrays in place; what is read-only or no array cannot be harmed."""
    for array in arrays:
        if isinstance(array, np.ndarray) and array.flags.writeable:
            array[...] = ~array if array.dtype == bool else array + 1


def global_generators_used(exercise: Callable[[], Any], doing: str) -> Iterator[str]:
    """Yield a fault if `exercise` changes a global generator or its result depends on one.

    Args:
        exercise: makes everything anew and returns what came out of it.
        doing: words for what it does.
    """
    results = []
    for seed in (1, 2):
        _seed_globals(seed)
        before = _global_states()
        results.append(exercise())
        after = _global_states()
        changed = [name for name in before if not same(before[name], after[name])]
        if changed:
            yield f"global generator: {doing} changes the state of {' and '.join(changed)}"
            return
    if not same(*results):
        _seed_globals(1)
        if same(results[0], exercise()):  # otherwise it is merely never the same
            yield f"global generator: the outcome of {doing} depends on a global generator's seed"


@contextmanager
def globals_kept() -> Iterator[None]:
    """Give the global generators of Python, numpy and torch their states back at the end."""
    states = _global_states()
    try:
        yield
    finally:
        random.setstate(states["random"])
        np.random.set_state(states["numpy.random"])
        if "torch" in states:
            sys.modules["torch"].set_rng_state(states["torch"])


def _global_states() -> dict[str, Any]:
    """Return states by name; torch's only if something has loaded it."""
    states: dict[str, Any] = {"random": random.getstate(), "numpy.random": np.random.get_state()}
    if "torch" in sys.modules:
        states["torch"] = sys.modules["torch"].get_rng_state()
    return states


def _seed_globals(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.manual_seed(seed)


def _array(value: Any) -> Any:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)

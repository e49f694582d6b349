"""Save and restore an environment through all the wrappers that `gym.make` or a user put on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers.utils import RunningMeanStd

# What Gymnasium's own wrappers remember between steps, the single and the vector ones of one name
# together; an empty row remembers nothing.
WRAPPERS: dict[str, tuple[str, ...]] = {
    "TimeLimit": ("_elapsed_steps",),
    "OrderEnforcing": ("_has_reset",),
    "PassiveEnvChecker": (
        "checked_reset",
        "checked_step",
        "checked_render",
        "checked_data_reuse",
        "_previous_data",
        "close_called",
    ),
    "Autoreset": ("autoreset",),
    "RecordEpisodeStatistics": (
        "episode_count",
        "episode_start_time",
        "episode_start_times",
        "prev_dones",
        "episode_returns",
        "episode_lengths",
        "return_queue",
        "length_queue",
        "time_queue",
    ),
    "NormalizeObservation": ("obs_rms", "_update_running_mean"),
    "NormalizeReward": (
        "return_rms",
        "discounted_reward",
        "accumulated_reward",
        "_prev_dones",
        "_update_running_mean",
    ),
    "TimeAwareObservation": ("timesteps",),
    "FrameStackObservation": ("obs_queue",),
    "DelayObservation": ("observation_queue",),
    "StickyAction": ("last_action", "is_sticky_actions", "num_repeats", "repeats_taken"),
    **dict.fromkeys(
        (
            "TransformAction",
            "ClipAction",
            "RescaleAction",
            "TransformObservation",
            "FilterObservation",
            "FlattenObservation",
            "ReshapeObservation",
            "RescaleObservation",
            "DtypeObservation",
            "TransformReward",
            "ClipReward",
        ),
        (),
    ),
}


def state_dict(env: Any) -> dict[str, Any]:
    """Return everything that decides what `env` does next, as plain arrays, numbers and strings.

    Args:
        env: a single or native vector environment with whatever wrappers. A wrapper of Gymnasium's
            that is listed in `WRAPPERS` is understood; any other layer needs `state_dict()` and
            `load_state_dict(state)` of its own.

    Raises:
        ValueError: a layer cannot be saved; the line names its class.
    """
    layers = []
    for layer in _layers(env):
        generators = [space.np_random.bit_generator.state for space in _spaces(layer)]
        layers.append({"name": _name(layer), "state": _save(layer), "spaces": generators})
    return {"layers": layers}


def load_state_dict(env: Any, state: dict[str, Any]) -> None:
    """Make `env` continue from `state`; needs no reset before.

    Raises:
        ValueError: the wrapper chain is not the one that was saved; the line names both.
    """
    layers = list(_layers(env))
    here, saved = [_name(layer) for layer in layers], [entry["name"] for entry in state["layers"]]
    if here != saved:
        raise ValueError(f"environment: {' > '.join(here)} is not the saved {' > '.join(saved)}")
    for layer, entry in zip(layers, state["layers"], strict=True):
        _load(layer, entry["state"])
        for space, generator in zip(_spaces(layer), entry["spaces"], strict=True):
            space.np_random.bit_generator.state = generator


def _layers(env: Any) -> Iterator[Any]:
    """Yield the wrappers from the outside in, then the environment itself."""
    while isinstance(env, gym.Wrapper | gym.vector.VectorWrapper):
        yield env
        env = env.env
    yield env


def _name(layer: Any) -> str:
    return f"{type(layer).__module__}.{type(layer).__qualname__}"


def _fields(layer: Any) -> tuple[str, ...]:
    kind = type(layer)
    if kind.__module__.startswith("gymnasium.wrappers.") and kind.__name__ in WRAPPERS:
        return WRAPPERS[kind.__name__]
    raise ValueError(
        f"environment: {_name(layer)} has no state_dict and cannot be saved or restored"
    )


def _own(layer: Any) -> bool:
    """Return whether the class itself can save its state (wrappers must not forward the name)."""
    return hasattr(type(layer), "state_dict") and hasattr(type(layer), "load_state_dict")


def _save(layer: Any) -> dict[str, Any]:
    if _own(layer):
        state: dict[str, Any] = layer.state_dict()
        return state
    return {name: _plain(getattr(layer, name)) for name in _fields(layer) if hasattr(layer, name)}


def _load(layer: Any, state: dict[str, Any]) -> None:
    if _own(layer):
        layer.load_state_dict(state)
        return
    _fields(layer)
    for name, value in state.items():
        setattr(layer, name, _revived(getattr(layer, name), value))


def _plain(value: Any) -> Any:
    if isinstance(value, RunningMeanStd):
        return {"mean": np.copy(value.mean), "var": np.copy(value.var), "count": value.count}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, deque | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return np.copy(value) if isinstance(value, np.ndarray) else value


def _revived(present: Any, value: Any) -> Any:
    """Turn a saved value back into the kind of thing that `present` is."""
    if isinstance(present, RunningMeanStd):
        present.mean, present.var, present.count = value["mean"], value["var"], value["count"]
        return present
    if isinstance(present, deque):
        return deque(value, maxlen=present.maxlen)
    return np.copy(value) if isinstance(value, np.ndarray) else value


def _spaces(layer: Any) -> Iterator[spaces.Space[Any]]:
    """Yield the leaf spaces that this layer defines, whose generators `sample` draws from."""
    inner = getattr(layer, "env", None)
    kinds = ("action_space", "observation_space")
    for name in (*kinds, *(f"single_{kind}" for kind in kinds)):
        space = getattr(layer, name, None)
        if space is not None and getattr(inner, name, None) is not space:
            yield from _leaves(space)


def _leaves(space: spaces.Space[Any]) -> Iterator[spaces.Space[Any]]:
    parts = getattr(space, "spaces", None)
    if parts is None:
        yield space
        return
    for part in parts.values() if isinstance(parts, dict) else parts:
        yield from _leaves(part)

"""Agents made of parts: one base of ours and any number of methods, joined by "+"."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from agents import rl
from agents.learner import NetworkLearner
from agents.registry import ALGORITHMS, BASES, keywords, load, method
from continual_envs import checks

# What a base learner fixes, and the defaults that differ from plain backprop's.
FIXED: dict[str, dict[str, Any]] = {
    "backprop": {},
    "adam": {"optimizer": "adam", "momentum": 0.0},
    "linear": {"hidden": (), "activation": "relu", "network": "mlp"},
}
DEFAULTS: dict[str, dict[str, Any]] = {"backprop": {}, "adam": {"step_size": 1e-3}, "linear": {}}
NOT_SETTINGS = ("methods", "dtype")


class Composition:
    """A factory of learners, or of agents; its signature shows the settings of all its parts.

    A setting that only one part has keeps its name. One that several have is named by its part,
    as in `l2_weight_decay`, and may also be written `l2.weight_decay`, as may any other.

    Args:
        parts: names of `registry.BASES` (at most one, default backprop), and methods as
            `registry.method` takes them.

    Raises:
        ValueError: two bases, a part twice, or a part that is no method.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        for part, count in Counter(parts).items():
            if count > 1:
                raise ValueError(f"agent: {'+'.join(parts)!r} names {part} twice; give it once")
        bases = [part for part in parts if part in BASES]
        if len(bases) > 1:
            raise ValueError(f"agent: {'+'.join(parts)!r} has two bases; give one of {bases}")
        self.base = bases[0] if bases else "backprop"
        self.methods = {part: method(part) for part in parts if part not in BASES}
        owned = {self.base: self._base_parameters()}
        for part, kind in self.methods.items():
            owned[part] = keywords(kind)
        times = Counter(name for names in owned.values() for name in names)
        self.owners: dict[str, tuple[str, str]] = {}
        settings = []
        for part, names in owned.items():
            for name, parameter in names.items():
                public = name if times[name] == 1 else re.sub(r"\W", "_", f"{part}_{name}")
                self.owners[public] = (part, name)
                settings.append(parameter.replace(name=public))
        head = inspect.signature(NetworkLearner, eval_str=True).parameters
        fixed = [head[name] for name in ("observation_space", "action_space", "seed", "device")]
        self.__signature__ = inspect.Signature([*fixed, *settings])

    def public(self, part: str, name: str) -> str | None:
        """Return what a setting of a part, or else of the base, is called in the signature.

        None if neither has it.
        """
        names = {owner: public for public, owner in self.owners.items()}
        return names.get((part, name), names.get((self.base, name)))

    def canonical(self, key: str) -> str:
        """Return the name in the signature of `key`, which may be written `part.setting`.

        Raises:
            ValueError: no such setting, or several parts have it.
        """
        part, _, name = key.rpartition(".")
        matches = [
            public
            for public, (owner, own) in self.owners.items()
            if public == key or (own == name and part in ("", owner))
        ]
        if len(matches) > 1:
            ways = " or ".join(f"{self.owners[match][0]}.{name}" for match in matches)
            raise ValueError(f"{key}: several parts have it; give {ways}")
        if not matches:
            checks.one_of("setting", key, self.owners)
        return matches[0]

    def __call__(
        self,
        observation_space: Any,
        action_space: Any,
        *,
        seed: int,
        device: str = "cpu",
        **settings: Any,
    ) -> Any:
        """Build the learner or agent; a setting that is not given has its default."""
        given: dict[str, dict[str, Any]] = {part: {} for part in (self.base, *self.methods)}
        for key, value in settings.items():
            part, name = self.owners[self.canonical(key)]
            given[part][name] = value

        def methods() -> list[Any]:
            return [kind(**given[part]) for part, kind in self.methods.items()]

        spaces, own = (observation_space, action_space), given[self.base]
        if self.base in ALGORITHMS:
            algorithm = load(self.base, ALGORITHMS[self.base])(**own)
            return rl.build(*spaces, seed=seed, device=device, methods=methods, algorithm=algorithm)
        own = {**DEFAULTS[self.base], **FIXED[self.base], **own}
        return NetworkLearner(*spaces, seed=seed, device=device, methods=methods(), **own)

    def _base_parameters(self) -> dict[str, inspect.Parameter]:
        if self.base in ALGORITHMS:
            return keywords(load(self.base, ALGORITHMS[self.base]))
        defaults = DEFAULTS[self.base]
        return {
            name: parameter.replace(default=defaults.get(name, parameter.default))
            for name, parameter in keywords(NetworkLearner).items()
            if name not in (*FIXED[self.base], *NOT_SETTINGS, "seed", "device")
        }

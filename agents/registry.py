"""Agents by name: ours, compositions, installed plugins and `module:attribute`.

A factory is a callable `f(observation_space, action_space, *, seed, device="cpu", **settings)`.
Its keyword-only parameters with defaults are the agent's settings; nothing else needs to be said.
A distribution offers one by an entry point of the group `continual_envs.agents`.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from continual_envs import checks

GROUP = "continual_envs.agents"
OWN = {"observation_space", "action_space", "seed", "device"}  # arguments that are no settings
REFERENCES = ("fresh", "linear")

# Bases: what learns from targets, and what acts.
LEARNERS = ("backprop", "adam", "linear")
ALGORITHMS = {
    "sb3/ppo": "agents.rl.algorithms:PPO",
    "sb3/a2c": "agents.rl.algorithms:A2C",
    "sb3/dqn": "agents.rl.algorithms:DQN",
    "sb3/sac": "agents.rl.algorithms:SAC",
    "sb3/td3": "agents.rl.algorithms:TD3",
    "sb3/ddpg": "agents.rl.algorithms:DDPG",
}
BASES = (*LEARNERS, *ALGORITHMS)
METHODS = {
    "fresh": "agents.methods.fresh:Fresh",
    "l2": "agents.methods.l2:L2",
    "l2-init": "agents.methods.l2_init:L2Init",
    "weight-clipping": "agents.methods.weight_clipping:WeightClipping",
    "upgd": "agents.methods.upgd:UPGD",
    "shrink-perturb": "agents.methods.shrink_perturb:ShrinkPerturb",
    "dropout": "agents.methods.dropout:Dropout",
    "layer-norm": "agents.methods.layer_norm:LayerNorm",
    "online-norm": "agents.methods.online_norm:OnlineNorm",
    "continual-backprop": "agents.methods.continual_backprop:ContinualBackprop",
    "head-reset": "agents.methods.head_reset:HeadReset",
    "redo": "agents.methods.redo:ReDo",
    "regrama": "agents.methods.regrama:ReGraMa",
    "equal-betas": "agents.methods.equal_betas:EqualBetas",
}
# By which a method does something; `agents.methods` says what they are.
HOOKS = ("build", "wrap_optimizer", "before_step", "after_step", "on_task_switch")
# Other names of ours: where a protocol trains on all that was seen, `fresh` is called retrained.
ALIASES = {"retrained": "fresh"}

Factory = Callable[..., Any]


def plugins() -> dict[str, metadata.EntryPoint]:
    """Return the installed plugins by name, without importing them."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def names() -> list[str]:
    """Return every agent that can be named, ours first, without importing torch or a plugin."""
    ours = [*BASES, *METHODS, *ALIASES]
    return ours + sorted(set(plugins()) - set(ours))


def resolve(name: str) -> str:
    """Return `name` with the aliases in it replaced; unknown names stay as they are."""
    return "+".join(ALIASES.get(part, part) for part in name.split("+"))


def factory(name: str) -> Factory:
    """Return the factory of an agent.

    Args:
        name: one of `names()`; parts joined by "+" ("adam+l2"), of which methods may be
            "module:Class"; or "module:attribute" or a plugin, which is a whole agent: alone, or
            with "fresh", by which it is made anew at every switch of task.

    Raises:
        ValueError: there is no such agent, or a plugin cannot be loaded; one line names it.
    """
    if name in (*BASES, *METHODS, *ALIASES) or "+" in name:
        from agents.composition import Composition

        parts = resolve(name).split("+")
        if build := _of_fresh(parts):
            from agents.restarted import Restarting

            return Restarting(build)
        for part in parts:
            if part in plugins():
                raise ValueError(
                    f"agent: {part!r} is a plugin, which joins none but fresh; give it alone"
                )
            if ":" not in part:
                checks.one_of("agent", part, (*BASES, *METHODS, *ALIASES))
        return Composition(parts)
    if ":" not in name:
        checks.one_of("agent", name, names())
    return load(name, _target(name))


def _of_fresh(parts: Sequence[str]) -> Factory | None:
    """Return the factory of the whole agent that "fresh" is joined with, if it is one."""
    others = [part for part in parts if part != "fresh"]
    if len(parts) != 2 or len(others) != 1 or ":" not in (target := _target(others[0])):
        return None
    build = load(others[0], target)
    try:
        inspect.signature(build).bind_partial(None, None, seed=0)  # the spaces; settings may miss
    except TypeError:
        return None  # a method, or nothing
    return build


def _target(name: str) -> str:
    """Return where an installed plugin is, "module:attribute"; any other name stays as it is."""
    installed = plugins()
    return installed[name].value if name in installed else name


def method(part: str) -> Factory:
    """Return the class of a method: one of ours, or "module:Class".

    Raises:
        ValueError: there is no such class, or it is not what `agents.methods` says of methods.
    """
    loaded = load(part, METHODS.get(part, part))
    if not _hooks(loaded):
        raise ValueError(
            f"agent: {part!r} is no method, which has one of {', '.join(HOOKS)}; a whole agent "
            "joins none but fresh, give it alone"
        )
    for parameter in _not_settings(loaded):
        raise ValueError(
            f"agent: {part!r} has the argument {parameter}; a method's settings are keyword-only "
            "and have defaults: def __init__(self, *, rate=0.1). A whole agent joins none but fresh"
        )
    for name in OWN & set(keywords(loaded)):
        raise ValueError(f"agent: {part!r} has a setting {name}, as every agent has; rename it")
    return loaded


def is_method(build: Factory) -> bool:
    """Return whether it has a method's hooks and takes nothing but a method's settings."""
    return bool(_hooks(build)) and not list(_not_settings(build))


def _hooks(build: Factory) -> list[str]:
    return [hook for hook in HOOKS if hasattr(build, hook)]


def _not_settings(build: Factory) -> Iterator[str]:
    for parameter in inspect.signature(build).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.default is parameter.empty:
            yield parameter.name


def sources(name: str) -> dict[str, str]:
    """Return a hash of the code of every plugin in an agent's name, comments left aside.

    It is of the module in which the plugin is defined, as that was when it was loaded, and not of
    what the module imports. Twelve hexadecimal digits; code that has no file is left out.
    """
    result = {}
    for part in name.split("+"):
        if ":" in (target := _target(part)):
            loaded = load(part, target)
            if code := _code(getattr(loaded, "__module__", "")):
                result[part] = code
    return result


@functools.cache
def _code(module: str) -> str:
    """Return the hash of a module's source when this is first called, "" if it has none."""
    try:
        source = Path(str(sys.modules[module].__file__)).read_bytes()
    except (KeyError, AttributeError, OSError):
        return ""
    with contextlib.suppress(SyntaxError, ValueError):  # another language's
        source = ast.unparse(ast.parse(source)).encode()
    return hashlib.sha256(source).hexdigest()[:12]


def load(name: str, target: str) -> Factory:
    """Return what is at "module:attribute", which is called `name`.

    Raises:
        ValueError: it cannot be loaded, or not be called.
    """
    module, _, attribute = target.partition(":")
    if "/" in module or "" in module.split("."):
        raise ValueError(f"agent: {name!r} is not module:attribute, such as my_module:MyAgent")
    try:
        loaded = importlib.import_module(module)
        for step in attribute.split("."):
            loaded = getattr(loaded, step)
    except Exception as error:  # a plugin may fail in any way; it must say its own name
        cause = checks.one_line(error)
        raise ValueError(f"agent: {name!r} ({target}) cannot be loaded: {cause}") from error
    if not callable(loaded):
        raise ValueError(f"agent: {name!r} ({target}) is not callable; give a factory")
    if name not in (*METHODS, *ALGORITHMS):
        _code(getattr(loaded, "__module__", module))  # now, before its file changes
    result: Factory = loaded
    return result


def method_name(method: Any) -> str:
    """Return what a method of ours is called in an agent's name, or of another's its class."""
    kind = type(method)
    target = f"{kind.__module__}:{kind.__name__}"
    return next((name for name, one in METHODS.items() if one == target), kind.__name__)


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """Return an agent's settings: its factory's keyword-only parameters but `seed` and `device`."""
    known = keywords(factory(name))
    return {key: one for key, one in known.items() if key not in OWN}


def signature(build: Factory) -> inspect.Signature:
    """Return the signature of a factory, with what its annotations mean where they can be read."""
    try:
        return inspect.signature(build, eval_str=True)
    except Exception:  # annotations may be for type checkers only
        return inspect.signature(build)


def keywords(build: Factory) -> dict[str, inspect.Parameter]:
    """Return the keyword-only parameters of a factory or a method's class."""
    known = signature(build).parameters
    return {key: one for key, one in known.items() if one.kind is one.KEYWORD_ONLY}


def canonical(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return `settings` under the names of the factory's signature.

    In a composition a setting may be written `part.setting`, and must be if two parts have it.

    Raises:
        ValueError: an unknown or ambiguous setting, or one given twice.
    """
    build, known = factory(name), parameters(name)
    result: dict[str, Any] = {}
    for key, value in settings.items():
        if hasattr(build, "canonical"):
            public = build.canonical(key)
        else:
            public = checks.one_of(f"setting of {name}", key, known)
        if public in result:
            raise ValueError(f"{key}: given twice; give it once")
        result[public] = value
    return result


def make(
    name: str,
    observation_space: Any,
    action_space: Any,
    *,
    seed: int,
    device: str = "cpu",
    **settings: Any,
) -> Any:
    """Build an agent or learner for the spaces of a problem.

    Args:
        name: see `factory`.
        observation_space: of the problem.
        action_space: of the problem.
        seed: keys everything random in the agent.
        device: a torch device name.
        **settings: see `parameters`.

    Raises:
        ValueError: an unknown name or setting, or a value that is not allowed.
    """
    settings = canonical(name, settings)
    build = factory(name)
    given = {"seed": checks.integer("seed", seed), "device": device, **settings}
    try:
        inspect.signature(build).bind(observation_space, action_space, **given)
    except TypeError as error:
        if is_method(build):
            better = f"backprop+{_target(name)}"
            raise ValueError(f"agent: {name} is a method; give {better}") from None
        wanted = "factory(observation_space, action_space, *, seed, device, **settings)"
        raise ValueError(f"agent: {name} cannot be called as {wanted}: {error}") from None
    return build(observation_space, action_space, **given)

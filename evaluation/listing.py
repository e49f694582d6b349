"""What `continual-envs list` prints, without importing torch unless settings are asked for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from agents import registry
from evaluation.studies import names as study_names


def listing(kind: str | None, verbose: bool) -> Iterator[str]:
    """Yield the lines of one kind (problems, agents, methods, studies), or of all."""
    kinds = [kind] if kind else ["problems", "agents", "methods", "studies"]
    for index, shown in enumerate(kinds):
        if len(kinds) > 1:
            yield ("" if index == 0 else "\n") + f"{shown}:"
        for name in _names(shown):
            yield f"  {name}" if len(kinds) > 1 else name
            if verbose:
                yield from (f"      {line}" for line in _settings(shown, name))


def _names(kind: str) -> list[str]:
    if kind == "problems":
        from evaluation.config import problem_ids

        return [id.removeprefix("continual_envs/") for id in problem_ids()]
    if kind == "agents":
        return registry.names()
    return list(registry.METHODS) if kind == "methods" else study_names()


def _settings(kind: str, name: str) -> Iterator[str]:
    """Yield "setting = default  (choices)" lines; a plugin that fails says so in its own place."""
    if kind == "studies":
        from evaluation.studies import load_study

        yield " ".join(load_study(name).description.split())
        return
    try:
        if kind == "problems":
            from evaluation.config import problem_id, problem_parameters

            parameters: dict[str, Any] = problem_parameters(problem_id(name))
        elif kind == "methods":
            parameters = registry.keywords(registry.method(name))
        else:
            parameters = registry.parameters(name)
    except ValueError as error:
        yield str(error)
        return
    for parameter in parameters.values():
        default = parameter.default
        shown = "(needed)" if default is inspect.Parameter.empty else repr(default)
        allowed = list(_literals(parameter.annotation))
        yield f"{parameter.name} = {shown}" + (f"  ({', '.join(allowed)})" if allowed else "")


def _literals(annotation: Any) -> Iterator[str]:
    """Yield what a literal annotation, or one within a union, allows."""
    if get_origin(annotation) is Literal:
        yield from (str(value) for value in get_args(annotation))
    else:
        for inner in get_args(annotation):
            yield from _literals(inner)

"""Tiny problems for an agent under check: a tape of examples, and living through it."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces

from agents import registry
from agents.base import LearnerAgent, Transition
from continual_envs.checks import one_line
from continual_envs.core import Chunk

INPUTS, CLASSES, BATCH = 8, 4, 5
LONG, SHORT = 260, 120  # steps of a life: of the first kind that is accepted, of the others
SWITCH = 20  # the step before which the only switch of task is
KINDS = ("classes", "batch", "values")
Answer = tuple[Any, Any]


@dataclass(frozen=True)
class Trial:
    """A factory, and a problem whose spaces it accepts.

    Attributes:
        factory: of the agent.
        kind: of `KINDS`: one example and a class, a batch and classes, one example and a value.
        length: steps of a life.
    """

    factory: Callable[..., Any]
    kind: str
    length: int = LONG

    @cached_property
    def spaces(self) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
        """Observation and action space."""
        lead = (BATCH,) if self.kind == "batch" else ()
        observations = spaces.Box(0.0, 1.0, (*lead, INPUTS), np.float32)
        if self.kind == "classes":
            return observations, spaces.Discrete(CLASSES)
        if self.kind == "batch":
            return observations, spaces.MultiDiscrete([CLASSES] * BATCH)
        return observations, spaces.Box(-10.0, 10.0, (1,), np.float32)

    @property
    def batch(self) -> int:
        """Examples a step."""
        return BATCH if self.kind == "batch" else 1

    @cached_property
    def tape(self) -> Chunk:
        """All examples: the target is a fixed function of the inputs, another one after SWITCH."""
        generator, n = np.random.default_rng(0), (self.length + 1) * self.batch
        inputs = generator.uniform(size=(n, INPUTS)).astype(np.float32)
        scores = (inputs - 0.5) @ generator.normal(size=(INPUTS, 2 * CLASSES))
        after = np.arange(n)[:, None] >= SWITCH * self.batch
        scores = np.where(after, scores[:, CLASSES:], scores[:, :CLASSES])
        labels = np.argmax(scores, axis=1)
        targets = scores[:, 0].astype(np.float32) if self.kind == "values" else labels
        return Chunk(inputs, np.arange(n), (np.array,), np.zeros(n, dtype=np.int64), targets)

    def part(self, start: int, steps: int) -> Chunk:
        """Return the examples of `steps` steps from step `start` on, in new arrays."""
        span = slice(start * self.batch, (start + steps) * self.batch)
        rows = np.arange(steps * self.batch)
        targets = self.tape.targets[span].copy()
        return Chunk(self.tape.inputs[span].copy(), rows, (np.array,), 0 * rows, targets)

    def made(self, seed: int = 0) -> Any:
        """Return what the factory makes."""
        return self.factory(*self.spaces, seed=seed, device="cpu")

    def agent(self, seed: int = 0) -> Any:
        """Return a new agent; a learner is wrapped into one."""
        made = self.made(seed)
        return made if hasattr(made, "act") else LearnerAgent(made, self.spaces[1])

    @cached_property
    def reference(self) -> list[Answer]:
        """The answers of an untroubled life of seed 0 through the whole tape."""
        return live(self.agent(), self)

    def transition(self, step: int, told: bool) -> Transition:
        """Return step `step` in new arrays, without action and reward.

        Args:
            step: of the tape.
            told: of the switch of task.
        """
        part = self.part(step, 2)
        shown, coming = part.inputs[: self.batch], part.inputs[self.batch :]
        target = part.targets[: self.batch].copy()
        info = {"target": target[0] if self.kind == "classes" else target}
        if told:
            info["task_switch"] = step + 1 == SWITCH
        if self.kind != "batch":
            shown, coming = shown[0], coming[0]
        return Transition(shown.copy(), None, 0.0, coming.copy(), False, False, info)

    def scored(self, transition: Transition, action: Any) -> Transition:
        """Return `transition` with `action` and its reward."""
        errors = np.reshape(action, -1) - np.reshape(transition.info["target"], -1)
        values = -(errors**2) if self.kind == "values" else errors == 0
        return replace(transition, action=action, reward=float(np.mean(values)))

    def __str__(self) -> str:
        """Name the spaces."""
        return f"with {self.spaces[0]} and {self.spaces[1]}"


def steps(
    agent: Any, trial: Trial, start: int = 0, stop: int | None = None
) -> Iterator[Transition]:
    """Yield each step for a check to act on and learn from."""
    told = bool(getattr(agent, "needs_boundary", False))
    for step in range(start, trial.length if stop is None else stop):
        yield trial.transition(step, told)


def live(agent: Any, trial: Trial, start: int = 0, stop: int | None = None) -> list[Answer]:
    """Act and learn; return every answer."""
    answers = []
    for transition in steps(agent, trial, start, stop):
        answers.append(answer(agent, transition.observation))
        agent.learn(trial.scored(transition, copy.deepcopy(answers[-1][0])))
    return answers


def answer(agent: Any, observation: Any) -> Answer:
    """Return copies of the action and, of a learner, of its outputs."""
    action = copy.deepcopy(agent.act(observation))
    return action, copy.deepcopy(getattr(agent, "outputs", None))


def accepted(factory: Callable[..., Any]) -> tuple[list[Trial], list[str]]:
    """Return a trial for each kind of problem that the factory accepts, and its faults.

    A kind may be refused by a ValueError of one line, but not every kind.
    """
    trials: list[Trial] = []
    refusals, faults = [], []
    for kind in KINDS:
        trial = Trial(factory, kind, SHORT if trials else LONG)
        try:
            made = trial.made()
        except ValueError as error:
            if "\n" in str(error):
                faults.append(f"construction: the ValueError {trial} has more than one line")
            refusals.append(str(error))
        except (Exception, SystemExit) as error:  # a plugin may fail in any way
            faults.append(f"construction: {trial} raises {one_line(error)}")
        else:
            trials.append(trial)
            faults += [f"{fault} ({trial})" for fault in _lacks(made)]
    if len(refusals) == len(KINDS):
        faults.append(f"construction: every kind of problem is refused: {'; '.join(refusals)}")
    return trials, faults[:1]


def _lacks(made: Any) -> Iterator[str]:
    """Yield what an agent or learner misses of its protocol."""
    pairs = (("act", "learn"), ("predict", "update"))
    methods = pairs[0] if hasattr(made, "act") else pairs[1]
    if not any(hasattr(made, name) for pair in pairs for name in pair):
        yield f"protocol: a {type(made).__name__} has neither act and learn nor predict and update"
        return
    if hasattr(made, "state_dict") != hasattr(made, "load_state_dict"):
        yield "protocol: state_dict and load_state_dict go together; one is missing"
    for name in methods:
        if not callable(getattr(made, name, None)):
            yield f"protocol: {' and '.join(methods)} go together; {name} is missing"


def signature(factory: Callable[..., Any]) -> Iterator[str]:
    """Two spaces, keyword-only seed, device="cpu", and settings with plain defaults."""
    if registry.is_method(getattr(factory, "func", factory)):  # of a partial
        yield "signature: it is a method; check it with a base, as backprop+module:Class"
        return
    found = inspect.signature(factory, eval_str=True).parameters
    positional = [
        p for p in found.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(positional) < 2:
        yield "signature: does not begin with (observation_space, action_space, *, seed, ...)"
    for parameter in positional[2:]:
        yield f"signature: {parameter.name} is not keyword-only; put * before it"
    keywords = {name: p for name, p in found.items() if p.kind is p.KEYWORD_ONLY}
    for name in {"seed", "device"} - set(found):
        yield f"signature: {name} is missing"
    for name, parameter in keywords.items():
        if name == "seed":
            continue
        if parameter.default is parameter.empty:
            yield f"signature: {name} has no default"
        elif name == "device" and parameter.default != "cpu":
            yield f"signature: the default of device is {parameter.default!r}, not 'cpu'"
        else:
            yield from _not_json(name, parameter.default)


def _not_json(name: str, default: Any) -> Iterator[str]:
    try:
        json.dumps(default, allow_nan=False)
    except (TypeError, ValueError):
        yield f"signature: the default of {name} is {default!r}, not a JSON value"

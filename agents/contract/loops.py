"""What an agent that owns its loop promises, shown in a tiny environment of two kinds of action."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from agents.base import OwnsLoop
from agents.contract.files import through_a_file
from continual_envs.checks import one_line
from continual_envs.contract.faults import global_generators_used, same

CYCLES, EPISODE = 2, 20
KINDS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(2),
    "continuous": spaces.Box(-1.0, 1.0, (1,), np.float32),
}


class Cart(gym.Env[NDArray[np.float32], Any]):
    """A cart that noise and the agent push along a line; it is paid for standing at 0.

    Attributes:
        log: every action taken since it was made, and every reset.
    """

    def __init__(self, kind: str) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = KINDS[kind]
        self._place, self._speed, self._steps = 0.0, 0.0, 0
        self.log: list[Any] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        self._place, self._speed, self._steps = float(self.np_random.normal()), 0.0, 0
        self.log.append(("reset", seed))
        return self._observe(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Push the cart."""
        value = float(np.reshape(action, -1)[0])
        self.log.append(value)
        push = 2 * value - 1 if isinstance(self.action_space, spaces.Discrete) else value
        self._speed = 0.8 * self._speed + 0.1 * push + 0.05 * float(self.np_random.normal())
        self._place += self._speed
        self._steps += 1
        return self._observe(), -abs(self._place), False, self._steps == EPISODE, {}

    def state_dict(self) -> dict[str, Any]:
        """Return where it stands."""
        generator = self.np_random.bit_generator.state
        return {"now": [self._place, self._speed, self._steps], "generator": generator}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where `state` was taken."""
        self._place, self._speed, self._steps = state["now"]
        self.np_random.bit_generator.state = state["generator"]

    def _observe(self) -> NDArray[np.float32]:
        return np.array([self._place, self._speed, self._steps / EPISODE], dtype=np.float32)


@dataclass(frozen=True)
class Loop:
    """A factory, and a kind of action that it accepts."""

    factory: Callable[..., Any]
    kind: str

    def made(self, seed: int = 0) -> Any:
        """Return what the factory makes."""
        space = Cart(self.kind).observation_space
        return self.factory(space, KINDS[self.kind], seed=seed, device="cpu")

    def entered(self, seed: int = 0) -> tuple[Any, list[Cart]]:
        """Return an agent in its environments."""
        agent = self.made(seed)
        envs = [Cart(self.kind) for _ in range(agent.copies)]
        agent.enter(envs)
        return agent, envs

    def lived(self, seed: int = 0, cycles: int = CYCLES) -> list[Any]:
        """Return all that happened in the environments."""
        agent, envs = self.entered(seed)
        for _ in range(cycles):
            agent.cycle()
        return [env.log for env in envs]

    def __str__(self) -> str:
        """Name the kind of action."""
        return f"with {self.kind} actions"


def accepted(factory: Callable[..., Any]) -> tuple[list[Loop], list[str]]:
    """Return a loop for each kind of action with which the factory makes an agent that owns one.

    And its fault, if such an agent lacks part of the protocol.
    """
    loops, faults = [], []
    for kind in KINDS:
        loop = Loop(factory, kind)
        try:
            made = loop.made()
        except (Exception, SystemExit):  # whether it may refuse is for the other checks to say
            continue
        if isinstance(made, OwnsLoop):
            loops.append(loop)
        elif hasattr(made, "enter"):
            missing = next(name for name in ("cycle", "copies") if not hasattr(made, name))
            faults.append(f"protocol: enter, cycle and copies go together; {missing} is missing")
    return loops, faults[:1]


def lives(loop: Loop) -> Iterator[str]:
    """It resets its copies, with its seed and those after it, and steps every one of them."""
    agent, envs = loop.entered(seed=3)
    if type(agent.copies) is not int or agent.copies < 1:
        yield f"copies: {agent.copies!r} is not a number of environments ({loop})"
        return
    for _ in range(CYCLES):
        before = [len(env.log) for env in envs]
        agent.cycle()
        if any(len(env.log) == n for env, n in zip(envs, before, strict=True)):
            yield f"cycle: a cycle takes no step in some copy ({loop})"
            return
    for copy_, env in enumerate(envs):
        if env.log[0] != ("reset", 3 + copy_):
            yield f"enter: copy {copy_} is not reset with the agent's seed + {copy_} ({loop})"
            return
        seeds = {entry[1] for entry in env.log[1:] if isinstance(entry, tuple)}
        if seeds - {None}:
            yield f"cycle: a copy is reset with a seed again, which starts its stream anew ({loop})"
            return
    if hasattr(agent, "state_dict") != hasattr(agent, "load_state_dict"):
        yield "protocol: state_dict and load_state_dict go together; one is missing"


def global_generators(loop: Loop) -> Iterator[str]:
    """The global generators are left as they were."""
    yield from global_generators_used(lambda: loop.lived(cycles=1), "making an agent and a cycle")


def equal_seeds_repeat(loop: Loop) -> Iterator[str]:
    """Two agents of one seed do the same."""
    if not same(loop.lived(), loop.lived()):
        yield f"seed: two agents of seed 0 do different things within {CYCLES} cycles ({loop})"


def seed_is_used(loop: Loop) -> Iterator[str]:
    """Agents of different seeds differ in what they do."""
    lived: list[list[Any]] = [sum(loop.lived(seed), []) for seed in (0, 1)]
    if same(*[[entry for entry in log if not isinstance(entry, tuple)] for log in lived]):
        yield f"seed: ignored: seeds 0 and 1 do the same for {CYCLES} cycles ({loop})"


def state_is_plain(loop: Loop) -> Iterator[str]:
    """The state is arrays, tensors, numbers and strings: loading it executes nothing."""
    agent, _ = loop.entered()
    if not hasattr(agent, "state_dict"):
        return
    agent.cycle()
    try:
        through_a_file(agent.state_dict())
    except Exception as error:  # torch raises many kinds
        yield f"state_dict: cannot be saved and loaded as plain data: {one_line(error)}"


def state_is_complete(loop: Loop) -> Iterator[str]:
    """An agent that is given a state goes on as the one it was taken from."""
    agent, envs = loop.entered()
    if not hasattr(agent, "state_dict"):
        return
    agent.cycle()
    states = [copy.deepcopy(env.state_dict()) for env in envs]
    taken, marks = agent.state_dict(), [len(env.log) for env in envs]
    state = through_a_file(taken)
    agent.cycle()
    if not same(through_a_file(taken), state):
        yield f"state_dict: the state changed while its agent went on: copy it ({loop})"
        return
    want = [env.log[mark:] for env, mark in zip(envs, marks, strict=True)]
    other, twins = loop.entered()
    for twin, saved in zip(twins, states, strict=True):
        twin.load_state_dict(saved)
        twin.log.clear()
    other.load_state_dict(state)
    other.cycle()
    if not same([twin.log for twin in twins], want):
        yield f"state_dict: an agent that loads it does not go on as the one it is of ({loop})"


def switches_are_survived(loop: Loop) -> Iterator[str]:
    """An agent that needs the boundary can be told of it between cycles."""
    agent, _ = loop.entered()
    if getattr(agent, "needs_boundary", False):
        agent.cycle()
        agent.on_task_switch()
        agent.cycle()
    yield from ()

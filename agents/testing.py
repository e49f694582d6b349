"""The contract of an agent, for those who write one: `assert not check_agent("mine:factory")`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents import registry
from agents.contract import behaviour, loops, trials
from continual_envs.contract.faults import first_faults, globals_kept, guarded

STAGES = (
    (behaviour.lives,),
    (behaviour.global_generators,),
    (behaviour.equal_seeds_repeat,),
    (behaviour.inputs_are_left_alone, behaviour.state_is_plain),
    (behaviour.predicting_changes_nothing,),
    (
        behaviour.seed_is_used,
        behaviour.updates_return_predictions,
        behaviour.observations_are_not_kept,
        behaviour.state_is_complete,
        behaviour.switches_are_survived,
    ),
    (behaviour.update_many_is_update,),
)
LOOP_STAGES = (
    (loops.lives,),
    (loops.global_generators,),
    (loops.equal_seeds_repeat,),
    (loops.state_is_plain,),
    (loops.seed_is_used, loops.state_is_complete, loops.switches_are_survived),
)


def check_agent(agent: str | Callable[..., Any]) -> list[str]:
    """Return one sentence for each fault of an agent; none if it keeps the contract.

    The agent lives through tiny problems with its default settings: 8 inputs and 4 classes, one
    example or 5 at a time, and 8 inputs and a value. Problems that it refuses by a ValueError of
    one line are left out. Checked are: the factory's signature; valid answers; no global random
    generator; the seed decides, and is used (an agent is taken to ignore it if several seeds give
    the same answers and its untrained answers vary with the observation); nothing it is given is
    written to or kept; predicting changes nothing; `update` and `update_many` predict before they
    learn; the state is plain, a copy and complete; switches of task. The checks stop at the first
    stage with a fault, since later ones build on it.

    An agent that owns its loop lives in a cart on a line instead, pushed by one of two actions or
    by a value. Checked are: it resets its copies with its seed and those after it, once, and steps
    them all; no global random generator; the seed; its state; switches of task.

    Args:
        agent: a name as `agents.registry.factory` takes it, or a factory. Other settings are
            checked with `functools.partial(factory, step_size=0.1)`.

    Raises:
        ValueError: no such agent, or its module cannot be loaded. Nothing else is raised: an
            exception of the agent is a fault.
    """
    factory = registry.factory(agent) if isinstance(agent, str) else agent
    with globals_kept():
        faults = guarded(trials.signature, factory)
        if faults:
            return faults
        in_loops, faults = loops.accepted(factory)
        if in_loops or faults:
            return faults or first_faults(LOOP_STAGES, in_loops)
        accepted, faults = trials.accepted(factory)
        return faults or first_faults(STAGES, accepted)

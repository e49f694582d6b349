"""What an agent promises while it lives: honest predictions, seeds of its own, a complete state."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from agents.base import LearnerAgent
from agents.contract.files import through_a_file
from agents.contract.trials import CLASSES, Trial, answer, live, steps
from continual_envs.checks import one_line
from continual_envs.contract.faults import global_generators_used, same, scribble

STEPS, SAVED = 30, 60  # steps of most checks; the step before which a state is taken


def lives(trial: Trial) -> Iterator[str]:
    """Acts and learns through the whole tape, and every answer is in the action space."""
    untrained = answer(trial.agent(), trial.transition(0, told=False).observation)
    if fault := _not_valid(trial, *untrained):
        yield f"{fault} before any learning ({trial})"
        return
    for step, (action, outputs) in enumerate(trial.reference):
        if fault := _not_valid(trial, action, outputs):
            yield f"{fault} at step {step} ({trial})"
            return


def _not_valid(trial: Trial, action: Any, outputs: Any) -> str | None:
    """Return what is wrong with an answer; a value may overshoot the bounds of its Box."""
    space, regression = trial.spaces[1], trial.kind == "values"
    if regression:
        valid = np.shape(action) == space.shape and bool(np.isfinite(action).all())
    else:
        valid = space.contains(action)
    if not valid:
        return f"act: the answer {action!r} is not in {space}"
    wanted = (trial.batch, 1 if regression else CLASSES)
    if outputs is not None and np.shape(outputs) != wanted:
        return f"predict: the outputs have shape {np.shape(outputs)}, not {wanted}"
    return None


def global_generators(trial: Trial) -> Iterator[str]:
    """Everything random comes from generators of the agent's own."""
    yield from global_generators_used(
        lambda: live(trial.agent(), trial, 0, STEPS), "making an agent, acting and learning"
    )


def equal_seeds_repeat(trial: Trial) -> Iterator[str]:
    """Two agents of one seed give the same answers."""
    if not same(live(trial.agent(), trial, 0, STEPS), trial.reference[:STEPS]):
        yield f"seed: two agents of seed 0 give different answers within {STEPS} steps ({trial})"


def seed_is_used(trial: Trial) -> Iterator[str]:
    """Agents of different seeds differ, unless nothing in them is random.

    An agent without randomness knows nothing at first, so that its untrained answers do not vary
    with the observation. If they do vary, something was initialised; if it was initialised alike
    for every seed, the seed is ignored.
    """
    others = (live(trial.agent(seed), trial, 0, STEPS) for seed in (1, 2))
    if not all(same(other, trial.reference[:STEPS]) for other in others):
        return
    untrained = trial.agent()
    first = [answer(untrained, step.observation) for step in steps(untrained, trial, 0, STEPS)]
    if not all(same(other, first[0]) for other in first):
        yield (
            f"seed: ignored: seeds 0, 1 and 2 give the same {STEPS} answers, though untrained "
            f"answers vary with the observation as those of a random initialisation ({trial})"
        )


def inputs_are_left_alone(trial: Trial) -> Iterator[str]:
    """Neither observation nor action, target or info is written to."""
    agent = trial.agent()
    for step, transition in enumerate(steps(agent, trial, 0, STEPS)):
        before = copy.deepcopy(transition)
        action = agent.act(transition.observation)
        if not same(transition.observation, before.observation):
            yield f"mutation: act changed the observation of step {step} ({trial})"
            return
        given = trial.scored(transition, copy.deepcopy(action))
        agent.learn(given)
        before = replace(before, action=action)
        for name in ("observation", "action", "next_observation", "info"):
            if not same(getattr(given, name), getattr(before, name)):
                yield f"mutation: learn changed the {name} of step {step} ({trial})"
                return


def state_is_plain(trial: Trial) -> Iterator[str]:
    """The state is arrays, tensors, numbers and strings: loading it executes nothing."""
    agent = trial.agent()
    if not hasattr(_inside(agent), "state_dict"):
        return
    live(agent, trial, 0, STEPS)
    try:
        through_a_file(_inside(agent).state_dict())
    except Exception as error:  # torch raises many kinds
        yield f"state_dict: cannot be saved and loaded as plain data: {one_line(error)}"


def predicting_changes_nothing(trial: Trial) -> Iterator[str]:
    """Asked again, or of something else between, an agent answers and learns as if asked once."""
    agent = trial.agent()
    inside = _inside(agent)
    for step, transition in enumerate(steps(agent, trial, 0, STEPS)):
        if isinstance(agent, LearnerAgent):
            agent.settle()  # a switch of task, which the first act would answer to
        looked_at = step % 10 == 0 and hasattr(inside, "state_dict")
        state = copy.deepcopy(inside.state_dict()) if looked_at else None
        first = answer(agent, transition.observation.copy())
        answer(agent, transition.next_observation.copy())
        second = answer(agent, transition.observation.copy())
        if not same(first, second):
            yield f"act: asked twice at step {step}, the answer changed ({trial})"
            return
        if state is not None and not same(state, inside.state_dict()):
            yield f"act: changed the state of the agent at step {step} ({trial})"
            return
        if not same(first, trial.reference[step]):
            yield f"act: an agent asked three times a step is another one at step {step} ({trial})"
            return
        agent.learn(trial.scored(transition, copy.deepcopy(first[0])))


def updates_return_predictions(trial: Trial) -> Iterator[str]:
    """`update` returns what `predict` said before, not what the target just taught."""
    learner = trial.made()
    if hasattr(learner, "act"):
        return  # it returns nothing from learning
    for step in range(STEPS):
        part = trial.part(step, 1)
        said = np.array(learner.predict(part.inputs.copy()))
        returned = learner.update(part.inputs.copy(), part.targets.copy())
        if not _close(returned, said):
            yield (
                f"learns before predicting: update returned outputs at step {step} that predict "
                f"had not said ({trial})"
            )
            return


def update_many_is_update(trial: Trial) -> Iterator[str]:
    """`update_many` predicts and learns batch by batch, as `update` does, up to rounding."""
    made = trial.made()
    if not hasattr(made, "update_many"):
        return
    chunk = trial.part(0, STEPS)
    outputs = np.array(made.update_many(chunk))
    last = slice(len(chunk) - trial.batch, len(chunk))
    targets = chunk.targets.copy()
    targets[last] = targets[last][0] + 1 if trial.kind == "values" else CLASSES - 1 - targets[last]
    other = np.array(trial.made().update_many(replace(chunk, targets=targets)))
    if not _close(outputs[last], other[last]):
        yield f"learns before predicting: update_many answers by the coming target ({trial})"
        return
    twin = trial.made()
    for step in range(STEPS):
        part = trial.part(step, 1)
        span = slice(step * trial.batch, (step + 1) * trial.batch)
        if not _close(twin.update(part.inputs, part.targets), outputs[span]):
            yield f"update_many: differs from update called in turn, at step {step} ({trial})"
            return
    probe = trial.part(STEPS, 1).inputs
    if not _close(made.predict(probe), twin.predict(probe)):
        yield f"update_many: leaves another learner than update called in turn ({trial})"


def observations_are_not_kept(trial: Trial) -> Iterator[str]:
    """What was learned from may be overwritten: buffers are used again, and an agent copies."""
    agent = trial.agent()
    for step, transition in enumerate(steps(agent, trial, 0, STEPS)):
        said = answer(agent, transition.observation)
        if not same(said, trial.reference[step]):
            yield (
                f"references: overwriting observations, targets and infos after learning from them "
                f"changed the answer of step {step}: copy what is kept ({trial})"
            )
            return
        given = trial.scored(transition, copy.deepcopy(said[0]))
        agent.learn(given)
        scribble(given.observation, given.action, given.next_observation, *given.info.values())
        given.info.clear()


def state_is_complete(trial: Trial) -> Iterator[str]:
    """A new agent with the state of another goes on as that one does, to the last bit.

    An agent without `state_dict` is in order: its runs start over.
    """
    agent = trial.agent()
    if not hasattr(_inside(agent), "state_dict"):
        return
    live(agent, trial, 0, SAVED)
    state = _inside(agent).state_dict()
    snapshot = copy.deepcopy(state)
    if not same(live(agent, trial, SAVED, SAVED + 20), trial.reference[SAVED : SAVED + 20]):
        yield f"state_dict: taking the state changed the agent ({trial})"
        return
    if not same(state, snapshot):
        yield f"state_dict: the state changed while its agent went on: copy it ({trial})"
        return
    loaded, restored = through_a_file(state), trial.agent()
    snapshot = copy.deepcopy(loaded)
    _inside(restored).load_state_dict(loaded)
    for step, said in enumerate(live(restored, trial, SAVED), start=SAVED):
        if not same(said, trial.reference[step]):
            yield (
                f"state_dict: forgets something: a new agent with the state of step {SAVED} "
                f"differs at step {step} ({trial})"
            )
            return
    if not same(loaded, snapshot):
        yield f"load_state_dict: the state changed while the agent that loaded it went on ({trial})"


def switches_are_survived(trial: Trial) -> Iterator[str]:
    """More disclosure than an agent needs does no harm."""
    agent = trial.agent()
    for step, transition in enumerate(steps(agent, trial, 0, STEPS)):
        disclosed = {"task_switch": step % 10 == 9, "task": (step + 1) // 10}
        given = trial.scored(transition, answer(agent, transition.observation)[0])
        agent.learn(replace(given, info={**given.info, **disclosed}))
    yield from ()


def _inside(agent: Any) -> Any:
    """Return what has the state."""
    return agent.learner if isinstance(agent, LearnerAgent) else agent


def _close(one: Any, other: Any) -> bool:
    """Return whether outputs are equal up to rounding."""
    one, other = np.asarray(one), np.asarray(other)
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-4, atol=1e-5)

"""The contract of a problem, for those who write one: `assert not check_problem("mine/Own-v0")`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from continual_envs.checks import one_line
from continual_envs.contract import control, control_lives, lifetimes, protocols, streams
from continual_envs.contract import environments as env
from continual_envs.contract.control_problem import ControlProblem
from continual_envs.contract.faults import first_faults, globals_kept
from continual_envs.contract.problem import Problem
from continual_envs.core import Stream
from continual_envs.registration import is_drift

STAGES = (
    (protocols.lengths_add_up,),
    (streams.tasks_have_their_form,),
    (env.environments_run,),
    (env.global_generators,),
    (streams.tasks_are_pure,),
    (streams.seeds_differ, streams.content_hash_covers_tasks),
    (
        protocols.passes_show_the_same,
        protocols.held_out_examples_have_their_form,
        protocols.privileges_are_pure,
    ),
    (protocols.held_out_examples_are_not_shown,),
    (streams.chunks_are_their_own,),
    (streams.chunks_agree, streams.targets_are_not_shown),
    (env.steps_read_the_chunk, env.infos_disclose_what_is_promised),
    (
        env.observations_are_new_arrays,
        env.writing_to_results_is_harmless,
        lifetimes.equal_seeds_repeat,
    ),
    (
        lifetimes.state_can_be_restored,
        lifetimes.batch_of_one_is_single,
        lifetimes.members_are_singles,
        lifetimes.finite_streams_truncate,
    ),
    (lifetimes.gymnasium_checker,),
)
CONTROL_STAGES = (
    (control.environments_run,),
    (control.global_generators,),
    (control.tasks_are_pure,),
    (control.seeds_differ, control.anchors_are_pure),
    (control_lives.equal_seeds_repeat, control_lives.writing_to_results_is_harmless),
    (control.switches_fall_at_episode_ends,),
    (
        control.the_drift_acts,
        control.the_drift_is_not_shown,
        control.infos_disclose_what_is_promised,
    ),
    (
        control_lives.state_can_be_restored,
        control_lives.copies_share_a_stream,
        control_lives.members_are_singles,
    ),
    (lifetimes.gymnasium_checker,),
)


def check_problem(problem: str | type[Stream], **settings: Any) -> list[str]:
    """Return one sentence for each fault of a problem; none if it keeps the contract.

    Checked are: form and range of what a task shows; no global random generator; a task is a pure
    function of stream seed and index; lengths add up; every pass shows a task's rows; examples held
    out are not shown; privileges are a function of task and example, and declared; chunks of any
    size agree and own their memory; the target is neither in the inputs nor in an earlier info;
    `step`, `read` and `chunk` are one data path; `info` holds what is disclosed; results are new
    arrays that may be written to; the state can be restored; batches, vector members and finite
    streams; Gymnasium's `check_env`. The checks stop at the first stage with a fault, since later
    ones build on it. A copy of the target among the inputs is taken for a leak even if the problem
    means it.

    Of a drifting environment (`control.drift.DriftEnv`), in short tasks and episodes: no global
    random generator; values, lengths and anchors are a function of stream seed and index; switches
    fall at ends of episodes, by the count of steps; the drift acts, and is shown nowhere; `info`
    holds what is disclosed; the state can be restored, physics too; copies of a stream, vector
    members; Gymnasium's `check_env`.

    Args:
        problem: a registered id, such as "mine/Drift-v0", or a Stream subclass.
        **settings: of the problem; the others have their defaults. `num_tasks` and
            `period` are ignored.

    Raises:
        ValueError: no such problem, or a setting that it does not have. Nothing else is raised: an
            exception of the problem is a fault.
    """
    spec = gym.registry.get(problem) if isinstance(problem, str) else None
    stages: tuple[tuple[Any, ...], ...]
    subject: Any
    try:
        if spec is not None and is_drift(spec):
            stages, subject = CONTROL_STAGES, ControlProblem(spec.id, settings)
        else:
            stages, subject = STAGES, Problem(problem, settings)
    except ValueError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        return [f"construction: raises {one_line(error)}"]
    with globals_kept():
        return first_faults(stages, [subject])

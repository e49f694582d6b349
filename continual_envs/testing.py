"""The contract of a problem, for those who write one: `assert not check_problem("mine/Own-v0")`."""

from __future__ import annotations

from typing import Any

from continual_envs.contract import environments as env
from continual_envs.contract import lifetimes, protocols, streams
from continual_envs.contract.faults import first_faults, globals_kept, one_line
from continual_envs.contract.problem import Problem
from continual_envs.core import Stream

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

    Args:
        problem: a registered id, such as "mine/Drift-v0", or a Stream subclass.
        **settings: of the problem; the others have their defaults. `num_tasks` is ignored.

    Raises:
        ValueError: no such problem, or a setting that it does not have. Nothing else is raised: an
            exception of the problem is a fault.
    """
    try:
        subject = Problem(problem, settings)
    except ValueError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        return [f"construction: raises {one_line(error)}"]
    with globals_kept():
        return first_faults(STAGES, [subject])

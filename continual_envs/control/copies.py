"""Several environments that show one stream: what one agent with many environments learns in."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from continual_envs import checks


def copies(problem: str, n: int, **settings: Any) -> list[gym.Env[Any, Any]]:
    """Return `n` environments of `gym.make` that show one stream, each with its own episodes.

    Their steps are counted together; each moves on to the next task at its own first episode end
    after the task's last step. Reset copy i with seed s + i, as vector environments do, for stream
    s; the first has the episodes of a single environment. They are to be saved and restored
    together.

    Args:
        problem: a registered id whose environment is a `control.drift.DriftEnv`.
        n: how many.
        **settings: for `gym.make`.

    Raises:
        ValueError: the problem does not drift, or a setting is not allowed.
    """
    from continual_envs.control.drift import DriftEnv, Tally  # not on `import continual_envs`

    envs = [gym.make(problem, **settings) for _ in range(checks.integer("n", n, 1))]
    tally = Tally()
    for copy, env in enumerate(envs):
        base = env.unwrapped
        if not isinstance(base, DriftEnv):
            raise ValueError(f"problem: {problem!r} is not a drifting environment")
        base.share(tally, copy)
    return envs

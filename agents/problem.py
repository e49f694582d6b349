"""What a supervised learner reads of a problem's spaces."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces


def sizes(
    observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
) -> tuple[tuple[int, ...], int, int]:
    """Return (shape of one example, outputs, batch size) of a supervised problem's spaces.

    An example is a vector (d,) or an image (H, W, C); in batches another axis comes before.

    Raises:
        ValueError: the spaces are not those of a stream of examples.
    """
    shape = observation_space.shape or ()
    batched = len(shape) in (2, 4)
    batch, example = (shape[0], shape[1:]) if batched else (1, shape)
    if len(example) in (1, 3):
        if isinstance(action_space, spaces.Discrete) and not batched:
            return example, int(action_space.n), 1
        if action_space.shape == (batch,):
            if isinstance(action_space, spaces.Box):
                return example, 1, batch
            if isinstance(action_space, spaces.MultiDiscrete) and len(set(action_space.nvec)) == 1:
                return example, int(action_space.nvec[0]), batch
    raise ValueError(
        f"problem: a supervised learner cannot use observations {observation_space} with actions "
        f"{action_space}; give vectors or images, and classes or one value"
    )

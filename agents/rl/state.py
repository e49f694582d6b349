"""What an SB3 algorithm has to remember between two cycles, as plain data, and back."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

# The rollout buffer of PPO and A2C holds nothing between cycles; the episode statistics are a log.
COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls", "exploration_rate")
ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def state_dict(model: Any) -> dict[str, Any]:
    """Return a copy of the parameters, counters, buffers and generators that are SB3's."""
    state: dict[str, Any] = {
        "policy": {name: value.clone() for name, value in model.policy.state_dict().items()},
        "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
        "observation": np.copy(model._last_obs),
        "episode_starts": np.copy(model._last_episode_starts),
        "action_space": model.action_space.np_random.bit_generator.state,
    }
    if getattr(model, "ent_coef_optimizer", None) is not None:
        state["log_ent_coef"] = model.log_ent_coef.detach().clone()
        state["ent_coef_optimizer"] = copy.deepcopy(model.ent_coef_optimizer.state_dict())
    if replay := getattr(model, "replay_buffer", None):
        arrays = {name: getattr(replay, name)[: replay.size()].copy() for name in ARRAYS}
        state["replay"] = {"pos": replay.pos, "full": replay.full, **arrays}
    return state


def load_state_dict(model: Any, state: dict[str, Any]) -> None:
    """Continue from `state`, taken from a model of the same settings."""
    model.policy.load_state_dict(state["policy"])
    for name, value in state["counters"].items():
        setattr(model, name, value)
    model._last_obs = np.copy(state["observation"])
    model._last_episode_starts = np.copy(state["episode_starts"])
    model.action_space.np_random.bit_generator.state = state["action_space"]
    if "log_ent_coef" in state:
        with torch.no_grad():
            model.log_ent_coef.copy_(state["log_ent_coef"])
        model.ent_coef_optimizer.load_state_dict(copy.deepcopy(state["ent_coef_optimizer"]))
    if "replay" in state:
        replay, saved = model.replay_buffer, state["replay"]
        replay.pos, replay.full = int(saved["pos"]), bool(saved["full"])
        for name in ARRAYS:
            getattr(replay, name)[: len(saved[name])] = saved[name]

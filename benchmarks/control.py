"""What the adapter of Stable-Baselines3 costs: `python benchmarks/control.py [ROUNDS]`.

PPO with the sizes of Dohare et al. 2024 on SlipperyAnt (2x256, 2,048 steps, 10 epochs of 16
minibatches; else as Stable-Baselines3 has it), CPU time of one thread. Plain Stable-Baselines3, the
agent without a method, with methods, and the same recorded as a run is, take turns of one rollout
and its updates each; the ratio is the median over rounds of that to plain. Normalisation and
dropout are parts of the network, the same work in plain Stable-Baselines3 if somebody puts them in
there by hand: what the adapter adds is the ratio to a plain one with the same networks, of which
the lowest and highest round are given too. Where plain's time goes is measured on one more model in
the same rounds. Writes benchmarks/results/control.csv.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import torch
from clock import clocked
from stable_baselines3 import PPO
from torch import nn

from agents import registry
from agents.networks.online_norm import OnlineNorm
from continual_envs import copies
from evaluation.config import configure
from evaluation.control import ControlLife
from evaluation.export import write_csv

ID = "continual_envs/SlipperyAnt-v0"
STEPS = 2048
SIZES: dict[str, Any] = {"n_steps": STEPS, "batch_size": 128, "n_epochs": 10}
OURS: dict[str, Any] = {**SIZES, "hidden": (256, 256), "activation": "relu"}
FEW = "sb3/ppo+equal-betas+l2+redo+continual-backprop"
METHODS = f"{FEW}+shrink-perturb"  # which draws noise for every parameter at every update
DROPOUT = {"dropout_rate": 0.1}
# Those that change the network itself, and so what an update computes; one normalisation at most.
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "layer-norm": lambda: nn.LayerNorm(256),
    "online-norm": lambda: OnlineNorm(256, 0.999, 0.99),
    "dropout": lambda: nn.Dropout(DROPOUT["dropout_rate"]),
}
PLAIN = "plain Stable-Baselines3"
DIVIDED = f"{PLAIN}, with a clock in it"
POLICY: dict[str, Any] = {"net_arch": [256, 256], "activation_fn": nn.ReLU}
# The methods as published, but for units that are mature, and so replaced, soon enough to be timed.
HOT = {"redo.period": 100, "l2.weight_decay": 1e-4, "maturity": 100, "replacement_rate": 1e-4}
HOT |= {"profile": "code", "replacement": "bernoulli"}
RESULTS = Path(__file__).parent / "results" / "control.csv"


def plain(more: str | None = None) -> Callable[[], Any]:
    """Return a turn of Stable-Baselines3 as a user writes it, with some of LAYERS joined by +."""
    model = PPO("MlpPolicy", gym.make(ID), seed=0, policy_kwargs=POLICY, **SIZES)
    if more:
        put_in(model.policy, more)
    _, callback = model._setup_learn(10**9)

    def turn() -> None:
        model.collect_rollouts(model.env, callback, model.rollout_buffer, STEPS)
        model.train()

    return turn


def put_in(policy: Any, more: str) -> None:
    """Put normalisation or dropout around every activation, as a user writes it."""
    for network in (policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net):
        for place in (1, 3):
            layers = {name: LAYERS[name]() for name in more.split("+")}
            behind = [layers.pop(name) for name in list(layers) if name == "dropout"]
            network[place] = nn.Sequential(*layers.values(), network[place], *behind)
    policy.optimizer = policy.optimizer_class(
        policy.parameters(), lr=3e-4, **policy.optimizer_kwargs
    )


def adapted(name: str, settings: dict[str, Any]) -> Callable[[], Any]:
    """Return a turn of an agent of the suite, as a script lives with it."""
    (env,) = copies(ID, 1)
    agent = registry.make(name, env.observation_space, env.action_space, seed=0, **OURS, **settings)
    agent.enter([env])
    turn: Callable[[], Any] = agent.cycle
    return turn


def recorded(folder: Path) -> Callable[[], Any]:
    """Return a turn of a run with every method: watched and recorded."""
    (config,) = configure("SlipperyAnt-v0", METHODS, settings={**OURS, **HOT})
    life = ControlLife(config)
    life.recorder(folder)
    return life.advance


def divided() -> tuple[Callable[[], Any], dict[str, list[float]]]:
    """Return a turn of plain Stable-Baselines3, and where each one went, in microseconds a step."""
    env: Any = gym.make(ID)
    model = PPO("MlpPolicy", env, seed=0, policy_kwargs=POLICY, **SIZES)
    _, callback = model._setup_learn(10**9)
    spent = {"environment": 0.0, "policy": 0.0}
    found: dict[str, list[float]] = {}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            result = function(*arguments, **named)
            spent[name] += (time.process_time() - start) * 1e6
            return result

        return wrapped

    env.step = timed("environment", env.step)
    model.policy.forward = timed("policy", model.policy.forward)

    def turn() -> None:
        spent.update(environment=0.0, policy=0.0)
        collecting = clocked(
            lambda: model.collect_rollouts(model.env, callback, model.rollout_buffer, STEPS)
        )
        inside = dict(spent)
        parts = {
            "steps of the environment": inside["environment"],
            "the policy's forward passes for one observation": inside["policy"],
            "the rest of collecting a rollout": collecting - sum(inside.values()),
            "updates": clocked(model.train),
        }
        for name, took in parts.items():
            found.setdefault(name, []).append(took / STEPS)

    return turn, found


def main(rounds: int = 5) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory() as folder:
        turns = {
            PLAIN: plain(),
            "sb3/ppo": adapted("sb3/ppo", {}),
            FEW: adapted(FEW, HOT),
            METHODS: adapted(METHODS, HOT),
            f"{METHODS}, recorded": recorded(Path(folder)),
        }
        beside = {}
        for more in (*LAYERS, "layer-norm+dropout", "online-norm+dropout"):
            few, settings = ("sb3/ppo", {}) if more in LAYERS else (METHODS, HOT)
            agent, same = f"{few}+{more}", f"{PLAIN}, {more}"
            settings = settings | (DROPOUT if "dropout" in more else {})
            turns |= {same: plain(more), agent: adapted(agent, settings)}
            beside[agent] = same
        turns[DIVIDED], found = divided()
        times: dict[str, list[float]] = {name: [] for name in turns}
        for turn in range(rounds + 1):  # the first warms up
            for name, work in turns.items():
                took = clocked(work) / STEPS
                if turn:
                    times[name].append(took)
    rows = []
    for name, took in times.items():
        row = {"what": name, "microseconds_per_step": round(median(took))}
        for column, base in (("to_plain", PLAIN), ("same_networks", beside.get(name, PLAIN))):
            ratios = sorted(a / b for a, b in zip(took, times[base], strict=True))
            row[f"ratio_{column}"] = round(median(ratios), 3)
        row |= {"lowest": round(ratios[0], 3), "highest": round(ratios[-1], 3)}
        rows.append(row)
    for name, parts in found.items():
        shares = [part / whole for part, whole in zip(parts[1:], times[DIVIDED], strict=True)]
        took = round(median(parts[1:]))
        row = {"what": f"of it: {name}", "microseconds_per_step": took}
        rows.append(row | {"share": round(median(shares), 3)})
    for row in rows:
        print("  ".join(map(str, row.values())))
    write_csv(rows, RESULTS)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

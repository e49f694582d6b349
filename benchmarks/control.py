"""What the adapter of Stable-Baselines3 costs: `python benchmarks/control.py [ROUNDS]`.

PPO with the sizes of Dohare et al. 2024 on SlipperyAnt (2x256, 2,048 steps, 10 epochs of 16
minibatches; else as Stable-Baselines3 has it), CPU time of one thread. Plain Stable-Baselines3, the
agent without a method, with methods, and the same recorded as a run is, take turns of one rollout
and its updates each; the ratio is the median over rounds of that to plain. Normalisation and
dropout are parts of the network, the same work in plain Stable-Baselines3 if somebody puts them in
there by hand: what the adapter adds is the ratio to a plain one with the same networks. Where
plain's time goes is measured in the same process. Writes benchmarks/results/control.csv.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import torch
from clock import clocked
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from agents import registry
from agents.networks.online_norm import OnlineNorm
from continual_envs import copies
from evaluation.config import configure
from evaluation.control import ControlLife

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
# The methods as published, but for units that are mature, and so replaced, soon enough to be timed.
HOT = {"redo.period": 100, "l2.weight_decay": 1e-4, "maturity": 100, "replacement_rate": 1e-4}
HOT |= {"profile": "code", "replacement": "bernoulli"}
RESULTS = Path(__file__).parent / "results" / "control.csv"


def plain(more: str | None = None) -> Callable[[], Any]:
    """Return a turn of Stable-Baselines3 as a user writes it, with some of LAYERS joined by +."""
    policy = {"net_arch": [256, 256], "activation_fn": nn.ReLU}
    model = PPO("MlpPolicy", gym.make(ID), seed=0, policy_kwargs=policy, **SIZES)
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


def parts() -> dict[str, float]:
    """Return where a turn of plain Stable-Baselines3 goes, in microseconds a step."""
    env = gym.make(ID)
    model = PPO(
        "MlpPolicy",
        DummyVecEnv([lambda: env]),
        seed=0,
        policy_kwargs={"net_arch": [256, 256], "activation_fn": nn.ReLU},
        **SIZES,
    )
    _, callback = model._setup_learn(10**9)
    collecting = clocked(
        lambda: model.collect_rollouts(model.env, callback, model.rollout_buffer, STEPS)
    )
    training = clocked(model.train)
    bare = gym.make("Ant-v5")
    times = {}
    for name, world in (("Ant-v5 through gym.make", bare), (f"{ID} through gym.make", env)):
        world.reset(seed=0)
        world.action_space.seed(0)
        times[name] = clocked(lambda world=world: walk(world)) / STEPS
    return {
        "collecting a rollout": collecting / STEPS,
        "updates": training / STEPS,
        **times,
    }


def walk(env: gym.Env[Any, Any]) -> None:
    """Take random actions."""
    for _ in range(STEPS):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()


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
        times: dict[str, list[float]] = {name: [] for name in turns}
        for turn in range(rounds + 1):  # the first warms up
            for name, work in turns.items():
                took = clocked(work) / STEPS
                if turn:
                    times[name].append(took)
        found = [parts() for _ in range(3)]
    rows = []
    for name, took in times.items():
        ratios = [
            median(a / b for a, b in zip(took, times[base], strict=True))
            for base in (PLAIN, beside.get(name, PLAIN))
        ]
        rows.append((name, median(took), *ratios))
    for name in found[0]:
        part = median(one[name] for one in found)
        rows.append((f"of plain: {name}", part, *2 * [part / median(times[PLAIN])]))
    with open(RESULTS, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["what", "microseconds_per_step", "ratio_to_plain", "same_networks"])
        for name, took, ratio, same in rows:
            writer.writerow([name, f"{took:.0f}", f"{ratio:.3f}", f"{same:.3f}"])
            print(f"{name:80} {took:8.0f} us a step  {ratio:.3f}  same networks {same:.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

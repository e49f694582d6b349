"""An algorithm of Stable-Baselines3 as an agent of the suite, with methods on its networks."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor

from agents import seeding
from agents.base import Array, Inspection
from agents.networks.spec import NetworkSpec
from agents.rl import anatomy, architecture, generators, inspection, state
from agents.rl.algorithm import Algorithm
from agents.rl.algorithms import OnPolicy
from agents.rl.anatomy import Part
from agents.rl.hosts import Host

CYCLE = 100  # least steps of every copy in a cycle


class SB3Agent:
    """Lives in copies of a problem as a Stable-Baselines3 algorithm does; see `agents.base`.

    With no method, or methods that do nothing, it is bit for bit SB3's own `learn` with an
    MlpPolicy and the same seed. A cycle is as many rounds of collecting and training as make 100
    steps: one of PPO's. The global generators, which SB3 seeds and draws from, are the agent's
    own while it is built and acts, and are left as they were.

    Methods act on every network that an optimizer trains: on actor and critic together where they
    share one, else with instances for each. Target networks are never touched; they follow as SB3
    copies them, and so do resets.

    Args:
        observation_space: Box of shape (d,), or Discrete.
        action_space: see the algorithm.
        seed: keys everything random in the agent.
        device: a torch device.
        methods: makes the methods of one optimizer, in order.
        algorithm: the settings.

    Attributes:
        copies: how many copies of the problem it lives in.
        model: SB3's algorithm; another one after a restart.
        hosts: what its optimizers train: the critic's first, if there are two.
        needs_boundary: whether a method must be told of the switches of task.

    Raises:
        ValueError: spaces, a setting or a method that the algorithm cannot use.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        seed: int,
        device: str = "cpu",
        methods: Callable[[], Sequence[Any]],
        algorithm: Algorithm,
    ) -> None:
        self.copies = algorithm.copies
        self.hosts = [
            Host(methods(), seeding.derived(seed, seeding.Purpose.HOST, index))
            for index in range(len(algorithm.parts))
        ]
        own = self.hosts[0].methods
        self.needs_boundary = any(hasattr(method, "on_task_switch") for method in own)
        self._algorithm, self._seed, self._device = algorithm, seed, torch.device(device)
        self._spaces = checked_spaces(algorithm, observation_space, action_space)
        inputs, outputs = (spaces.flatdim(space) for space in self._spaces)
        plain = NetworkSpec(inputs, outputs, tuple(algorithm.hidden), algorithm.activation)
        name = f"sb3/{algorithm.name.lower()}"
        self._spec = architecture.wanted(own, plain, algorithm.parts, name)
        self._dropout = seeding.generator(seed, seeding.Purpose.DROPOUT, device=device)
        self._generators = generators.read(self._device)
        self._restarts, self._largest_change = 0, 0.0
        self._build(seed)

    @property
    def updates(self) -> int:
        """Return the number of steps of the first optimizer so far."""
        return self.hosts[0].updates

    @property
    def cycle_steps(self) -> int:
        """Return the steps of all copies in a cycle."""
        return self._rounds() * self._algorithm.period * self.copies

    def enter(self, envs: Sequence[gym.Env[Any, Any]]) -> None:
        """Live in these copies from now on; copy i is reset with the agent's seed + i.

        Raises:
            ValueError: not as many as the setting `copies` says.
        """
        if len(envs) != self.copies:
            raise ValueError(f"copies: {self.copies} is not the number of problems, {len(envs)}")
        vector = DummyVecEnv([lambda env=env: env for env in envs])  # type: ignore[misc]
        vector.seed(self._seed)
        self.model._last_obs = None
        self._live_in(vector)

    def cycle(self) -> None:
        """Act for a while and learn from it.

        Raises:
            ValueError: the policy has diverged: torch has no distribution of such numbers.
        """
        with generators.lent(self._generators, self._device):
            for _ in range(self._rounds()):
                try:
                    self._round()
                except ValueError as error:
                    if "invalid values" not in str(error):
                        raise
                    steps = self.model.num_timesteps
                    raise ValueError(
                        f"agent: diverged after {steps} steps; the policy's outputs are not finite"
                    ) from None

    def on_task_switch(self) -> None:
        """Tell the methods that what comes next is of a new task."""
        for host in self.hosts:
            for method in host.methods:
                if hasattr(method, "on_task_switch"):
                    method.on_task_switch()

    def inspect(self, observations: Array) -> Inspection:
        """Return what the measures read of all online networks on observations (n, d)."""
        return inspection.inspect(self.model.policy, self.hosts, observations)

    def take_largest_change(self) -> float:
        """Return the largest sum of |change| over all trained parameters in an update cycle.

        An update cycle is what follows one rollout; those since last asked count.

        Source: Dohare et al. 2024, Extended Data Fig. 5c, whose code has the policy's weights only
        and looks at every million steps.
        """
        change, self._largest_change = self._largest_change, 0.0
        return change

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides what comes next, but for the environments."""
        return {
            "model": state.state_dict(self.model),
            "hosts": [host.state_dict() for host in self.hosts],
            "dropout": self._dropout.get_state(),
            "restarts": self._restarts,
            "largest_change": self._largest_change,
            "generators": copy.deepcopy(self._generators),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `saved`, of an agent of the same settings and seed; after `enter`."""
        state.load_state_dict(self.model, saved["model"])
        for host, one in zip(self.hosts, saved["hosts"], strict=True):
            host.load_state_dict(one)
        seeding.restore(self._dropout, saved["dropout"])
        self._restarts = int(saved["restarts"])
        self._largest_change = float(saved["largest_change"])
        self._generators = copy.deepcopy(saved["generators"])

    def _build(self, seed: int) -> None:
        """Build SB3's algorithm for the spaces, and put the methods on it."""
        stub = DummyVecEnv([lambda: Stub(*copy.deepcopy(self._spaces))] * self.copies)
        with generators.lent(self._generators, self._device):
            # numpy's seeds have 32 bits
            self.model: Any = self._algorithm.build(stub, seed % 2**32, str(self._device))
        self.model.set_logger(Logger(None, []))  # SB3 would make a folder for one that writes
        drawn = seeding.generator(self._seed, seeding.Purpose.INIT, self._restarts)
        for index, (part, host) in enumerate(zip(self._algorithm.parts, self.hosts, strict=True)):
            self._prepare(part, drawn)
            self._attach(part, host, self._restart if index == 0 else nothing)

    def _prepare(self, part: Part, drawn: torch.Generator) -> None:
        """Make a part of SB3's policy what methods and settings want it to be."""
        policy, spec = self.model.policy, self._spec
        module = policy.get_submodule(part.module)
        targets = policy.get_submodule(part.targets) if part.targets else None
        if changes(spec):
            for one in (module, targets) if targets else (module,):
                architecture.put_in(part, one, spec, self._dropout)
            policy.get_submodule(part.owner).optimizer = policy.optimizer_class(
                module.parameters(), lr=self._algorithm.step_size, **policy.optimizer_kwargs
            )
        if self._algorithm.initialiser == "lecun":
            anatomy.draw_lecun(part, module, len(spec.hidden), drawn)
        if targets:
            targets.load_state_dict(module.state_dict())
            targets.train(False)

    def _attach(self, part: Part, host: Host, restart: Callable[[], None]) -> None:
        owner = self.model.policy.get_submodule(part.owner)
        depth, lecun = len(self._spec.hidden), self._algorithm.initialiser == "lecun"
        owner.optimizer = host.attach(
            self.model.policy.get_submodule(part.module),
            owner.optimizer,
            [tap for perceptron in part.perceptrons for tap in perceptron.taps(depth)],
            anatomy.hidden_layers(part, self._spec, lecun=lecun),
            anatomy.heads(part, depth, lecun=lecun),
            restart,
        )

    def _restart(self) -> None:
        """Start anew in the present episode: parameters, optimizers, methods, buffer, schedule."""
        old, self._restarts = self.model, self._restarts + 1
        self._build(seeding.derived(self._seed, seeding.Purpose.RESTART, self._restarts))
        self.model._last_obs, starts = old._last_obs, old._last_episode_starts
        self._live_in(old.env)
        self.model._last_episode_starts = starts

    def _live_in(self, vector: DummyVecEnv) -> None:
        """Set the environments and all that SB3 prepares before it learns; resets if it must."""
        self.model.set_env(vector, force_reset=False)
        horizon = self._algorithm.horizon
        with generators.lent(self._generators, self._device):
            _, self._callback = self.model._setup_learn(horizon, reset_num_timesteps=False)
        self.model._total_timesteps = horizon

    def _round(self) -> None:
        if isinstance(self._algorithm, OnPolicy):
            self._on_policy_round()
        else:
            self._off_policy_round()

    def _on_policy_round(self) -> None:
        model = self.model
        model.collect_rollouts(model.env, self._callback, model.rollout_buffer, model.n_steps)
        self._train()

    def _off_policy_round(self) -> None:
        model = self.model
        rollout = model.collect_rollouts(
            model.env,
            self._callback,
            model.train_freq,
            model.replay_buffer,
            model.action_noise,
            model.learning_starts,
        )
        if model.num_timesteps > model.learning_starts:
            every_step = model.gradient_steps < 0
            steps = rollout.episode_timesteps if every_step else model.gradient_steps
            if steps > 0:
                self._train(steps, model.batch_size)

    def _train(self, *arguments: int) -> None:
        before = self._flat()
        with ExitStack() as stack:
            for host in self.hosts:
                if host.listens:
                    stack.enter_context(host.listening())
            self.model.train(*arguments)
        change = (self._flat() - before).abs().sum(dtype=torch.float64).item()
        self._largest_change = max(self._largest_change, change)

    def _rounds(self) -> int:
        return math.ceil(CYCLE / self._algorithm.period)

    def _flat(self) -> Tensor:
        """Return a copy of all trained parameters, (n,)."""
        modules = chain.from_iterable(host.module.parameters() for host in self.hosts)
        return torch.nn.utils.parameters_to_vector(modules).detach()


class Stub(gym.Env[Any, Any]):
    """Spaces to build an algorithm for, nothing else."""

    def __init__(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> None:
        self.observation_space, self.action_space = observation_space, action_space


def checked_spaces(
    algorithm: Algorithm, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """Return the spaces if the algorithm's MlpPolicy can use them, else raise a ValueError."""
    vector = isinstance(observation_space, spaces.Box) and len(observation_space.shape) == 1
    if vector or isinstance(observation_space, spaces.Discrete):
        if isinstance(action_space, spaces.Discrete) and spaces.Discrete in algorithm.actions:
            return observation_space, action_space
        if isinstance(action_space, spaces.Box) and spaces.Box in algorithm.actions:
            bounded = np.isfinite([action_space.low, action_space.high]).all()
            if len(action_space.shape) == 1 and bounded:
                return observation_space, action_space
    kinds = {spaces.Box: "a bounded vector", spaces.Discrete: "a choice among actions"}
    allowed = " or ".join(kinds[kind] for kind in algorithm.actions)
    raise ValueError(
        f"problem: sb3/{algorithm.name.lower()} cannot use observations {observation_space} with "
        f"actions {action_space}; give observations of one vector, and as action {allowed}"
    )


def changes(spec: NetworkSpec) -> bool:
    """Return whether the networks are other than SB3 builds them."""
    return spec.normed or spec.dropout_rate > 0


def nothing() -> None:
    """Restart nothing: with the first optimizer's part the whole agent has started anew."""

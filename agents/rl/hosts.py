"""Methods on one optimizer of Stable-Baselines3 and the networks that it trains."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from agents.batch import Batch
from agents.learner import hooks
from agents.network import Features, Head, HiddenLayer, Network


class Host:
    """One optimizer with its networks: calls the methods around every step of it.

    Features are those of the latest pass that a gradient was to go through. SB3 clips gradients
    before the step, so that what a method adds to a gradient is not clipped.

    Args:
        methods: instances of its own, which outlive a restart.
        seed: keys their generators.

    Attributes:
        updates: steps of the optimizer so far, restarts included.
        module: what has the parameters.
        optimizer: what trains them.
        initial: the parameters at the latest initialisation, by name.
    """

    def __init__(self, methods: Sequence[Any], seed: int) -> None:
        self.methods = list(methods)
        self.updates = 0
        self._seed = seed
        self._features: dict[int, Tensor] = {}

    def attach(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        taps: Sequence[str],
        layers: tuple[HiddenLayer, ...],
        heads: tuple[Head, ...],
        restart: Callable[[], None],
    ) -> torch.optim.Optimizer:
        """Take hold of networks; return the optimizer that is to train them from now on.

        Args:
            module: has the parameters.
            optimizer: as SB3 made it; a method may put another in its place.
            taps: names of the modules whose outputs are the features.
            layers: described by names of the module's parameters.
            heads: likewise.
            restart: starts the whole agent anew.
        """
        for method in self.methods:
            if hasattr(method, "wrap_optimizer"):
                optimizer = method.wrap_optimizer(optimizer)
        self.module, self.optimizer = module, optimizer
        self.initial = {name: p.detach().clone() for name, p in module.named_parameters()}
        self._before, self._after = (
            hooks(self.methods, "before_step"),
            hooks(self.methods, "after_step"),
        )
        self._taps = [module.get_submodule(tap) for tap in taps]
        optimizer.register_step_pre_hook(self._before_step)
        optimizer.register_step_post_hook(self._after_step)
        network = Network(
            params=dict(module.named_parameters()),
            layers=layers,
            optimizer=optimizer,
            seed=self._seed,
            restart=restart,
            buffers=dict(module.named_buffers()),
            heads=heads,
        )
        for method in self.methods:
            if hasattr(method, "attach"):
                method.attach(network)
        return optimizer

    @contextmanager
    def listening(self) -> Iterator[dict[int, Tensor]]:
        """Remember features (n, units) by layer; not while acting, where it would take time."""
        hooked = [
            tap.register_forward_hook(partial(self._record, index))
            for index, tap in enumerate(self._taps)
        ]
        try:
            yield self._features
        finally:
            for hook in hooked:
                hook.remove()
            self._features.clear()

    @property
    def listens(self) -> bool:
        """Return whether a method is called around the optimizer's steps."""
        return bool(self._before or self._after)

    def state_dict(self) -> dict[str, Any]:
        """Return what is not in SB3's policy: optimizer, methods, counts and initial values."""
        state = {
            "updates": self.updates,
            "optimizer": self.optimizer.state_dict(),
            "methods": [
                method.state_dict() if hasattr(method, "state_dict") else {}
                for method in self.methods
            ],
            "initial": self.initial,
        }
        return copy.deepcopy(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        state = copy.deepcopy(state)  # an optimizer goes on writing into what it is given
        self.updates = int(state["updates"])
        self.optimizer.load_state_dict(state["optimizer"])
        for method, saved in zip(self.methods, state["methods"], strict=True):
            if hasattr(method, "load_state_dict"):
                method.load_state_dict(saved)
        self.initial = state["initial"]

    def _record(self, index: int, module: nn.Module, inputs: Any, output: Tensor) -> None:
        if torch.is_grad_enabled():
            self._features[index] = output.detach()

    def _before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if self._before:
            self._call(self._before)

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self.updates += 1
        if self._after:
            self._call(self._after)
        self._features.clear()

    def _call(self, calls: Sequence[Callable[[Batch], None]]) -> None:
        features = Features([self._features[index] for index in range(len(self._taps))])
        batch = Batch(None, None, None, None, features)
        with torch.no_grad():
            for call in calls:
                call(batch)

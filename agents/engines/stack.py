"""Several learners of equal settings as one: every tensor of theirs on a leading axis."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from agents.learner import NetworkLearner
from agents.network import Network


class Stack:
    """Parameters, optimizer and methods of P learners; a single one has no leading axis.

    `take` and `write_back` copy between the learners and tensors that never move.

    Args:
        learners: of equal settings and after equally many updates; seeds may differ.

    Attributes:
        params: parameters by name, (*lead, ...).
        optimizer: theirs.
        methods: theirs.
        lead: () or (P,).

    Raises:
        ValueError: the learners have not made equally many updates.
    """

    def __init__(self, learners: Sequence[NetworkLearner]) -> None:
        self._learners, first = list(learners), learners[0]
        self.lead = (len(learners),) if len(learners) > 1 else ()
        own = [dict(learner.module.named_parameters()) for learner in learners]
        self.params: dict[str, Tensor] = {
            name: self._join([params[name].detach() for params in own]).clone() for name in own[0]
        }
        self.optimizer = _like(first.optimizer, list(self.params.values()))
        network = Network(
            params=self.params,
            layers=first.module.hidden_layers(),
            optimizer=self.optimizer,
            seed=[learner._seed for learner in learners],
            lead=self.lead,
            captured=True,
            heads=(first.module.head(),),
        )
        self.methods = [copy.copy(method) for method in first.methods]
        for method in self.methods:
            if hasattr(method, "attach"):
                method.attach(network)
        self.take()

    @torch.no_grad()
    def take(self) -> None:
        """Copy the learners' present state here."""
        for name, parameter in self.params.items():
            own = [learner.module.get_parameter(name) for learner in self._learners]
            parameter.copy_(self._join(own))
            states = [
                learner.optimizer.state.get(one, {})
                for learner, one in zip(self._learners, own, strict=True)
            ]
            for slot, tensor in self.optimizer.state[parameter].items():
                zero = torch.zeros(tensor.shape[len(self.lead) :])
                values = [state.get(slot, zero).to(tensor.device) for state in states]
                # torch's Adam counts the steps of a whole parameter in one number.
                tensor.copy_(self._join(values) if tensor.ndim else _agreed(values))
        for i, method in enumerate(self.methods):
            if hasattr(method, "load_state_dict"):
                saved = [learner.methods[i].state_dict() for learner in self._learners]
                method.load_state_dict(self._join(saved))

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy the present state to the learners, in the form they have."""
        saved = [m.state_dict() if hasattr(m, "state_dict") else None for m in self.methods]
        for i, learner in enumerate(self._learners):
            for name, parameter in self.params.items():
                own = learner.module.get_parameter(name)
                own.copy_(self._part(parameter, i))
                if slots := self.optimizer.state[parameter]:
                    learner.optimizer.state[own] = {
                        slot: (self._part(tensor, i) if tensor.ndim else tensor.cpu()).clone()
                        for slot, tensor in slots.items()
                    }
            for method, state in zip(learner.methods, saved, strict=True):
                if state is not None:
                    method.load_state_dict(self._part(state, i))

    def _join(self, members: Sequence[Any]) -> Any:
        """Join the members' nests of tensors into one; numbers must be the same."""
        first = members[0]
        if not self.lead:
            return first
        if isinstance(first, dict):
            return {key: self._join([member[key] for member in members]) for key in first}
        if isinstance(first, list):
            return [self._join(items) for items in zip(*members, strict=True)]
        return torch.stack(list(members)) if isinstance(first, Tensor) else _agreed(members)

    def _part(self, whole: Any, i: int) -> Any:
        """Return member i's part of what `_join` has joined."""
        if not self.lead:
            return whole
        if isinstance(whole, dict):
            return {key: self._part(item, i) for key, item in whole.items()}
        if isinstance(whole, list):
            return [self._part(item, i) for item in whole]
        return whole[i] if isinstance(whole, Tensor) else whole


def _agreed(values: Sequence[Any]) -> Any:
    """Return what all members have in common."""
    if any(value != values[0] for value in values):
        raise ValueError(f"members: not after equally many updates: {[int(v) for v in values]}")
    return values[0]


def _like(optimizer: torch.optim.Optimizer, params: list[Tensor]) -> torch.optim.Optimizer:
    """Return an optimizer of the same kind and settings, fit for capture, its state there and 0."""
    group = optimizer.param_groups[0]
    settings = {name: group[name] for name in optimizer.defaults if name in group}
    if isinstance(optimizer, torch.optim.Adam):
        # Its fused form corrects the bias in double precision on any device, in one launch.
        settings |= {"capturable": True, "fused": True}
    made = type(optimizer)(params, **settings)
    for parameter in params:
        parameter.grad = torch.zeros_like(parameter)
    with warnings.catch_warnings():  # one that can be captured complains when it is not
        warnings.simplefilter("ignore")
        made.step()
    for slots in made.state.values():
        for tensor in slots.values():
            tensor.zero_()
    return made

"""Normalisation and dropout in networks that Stable-Baselines3 has built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from agents import registry
from agents.networks.online_norm import OnlineNorm
from agents.networks.parts import drop
from agents.networks.spec import NetworkSpec
from agents.rl.anatomy import Part


class Dropout(nn.Module):
    """Dropout with a generator of its own, in training mode.

    Args:
        rate: probability of dropping a unit.
        generator: draws the masks.
    """

    def __init__(self, rate: float, generator: torch.Generator) -> None:
        super().__init__()
        self.rate, self._generator = rate, generator

    def forward(self, hidden: Tensor) -> Tensor:
        """Return activations (n, units), some of them 0."""
        return drop(hidden, self.rate, self._generator) if self.training else hidden


def wanted(
    methods: Sequence[Any], plain: NetworkSpec, parts: Sequence[Part], algorithm: str
) -> NetworkSpec:
    """Return what the methods make of a plain network.

    Args:
        methods: of one optimizer.
        plain: the network as SB3 builds it.
        parts: what the algorithm trains.
        algorithm: its name.

    Raises:
        ValueError: one of them changes more than can be put into a network of SB3's.
    """
    spec = plain
    for method in methods:
        if hasattr(method, "build"):
            spec = method.build(spec)
            if replace(spec, layer_norm=False, online_norm=None, dropout_rate=0.0) != plain:
                raise ValueError(
                    f"agent: {registry.method_name(method)} cannot attach to an sb3 agent, whose "
                    "networks can be given normalisation and dropout only"
                )
            # Its controls are of one loss's gradient, and SB3 would not copy them to a target.
            if spec.online_norm and any(part.targets for part in parts):
                raise ValueError(
                    f"agent: {registry.method_name(method)} cannot attach to {algorithm}, which "
                    "has target networks; give sb3/ppo or sb3/a2c"
                )
    return spec


def put_in(part: Part, module: nn.Module, spec: NetworkSpec, generator: torch.Generator) -> None:
    """Put normalisation before, and dropout behind, every activation of a part.

    The names of the linear maps stay as they are.

    Args:
        part: describes the module.
        module: an online or a target network.
        spec: what is wanted.
        generator: of the dropout.
    """
    depth = len(spec.hidden)
    for perceptron in part.perceptrons:
        sequence = module.get_submodule(perceptron.sequence)
        assert isinstance(sequence, nn.Sequential)
        for place, units in zip(range(1, 2 * depth, 2), spec.hidden, strict=True):
            device = next(sequence.parameters()).device
            before: list[nn.Module] = [nn.LayerNorm(units)] if spec.layer_norm else []
            if spec.online_norm:
                before = [OnlineNorm(units, *spec.online_norm)]
            behind = [Dropout(spec.dropout_rate, generator)] if spec.dropout_rate else []
            sequence[place] = nn.Sequential(*before, sequence[place], *behind).to(device)

"""Where the hidden layers of SB3's MlpPolicies are, and how their initial weights are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from agents.network import Consumer, Head, HiddenLayer, Incoming
from agents.networks.online_norm import RUNNING
from agents.networks.parts import initialise
from agents.networks.spec import NetworkSpec

LECUN = "lecun_uniform"


@dataclass(frozen=True)
class Perceptron:
    """One multilayer perceptron by names within its part.

    Attributes:
        sequence: its alternating linear maps and activations.
        outputs: linear maps outside of the sequence that read its last hidden layer; if there are
            none, the sequence ends with its own.
        initialiser: how SB3 draws its weights.
        gain: of the hidden layers, if orthogonal.
        output_gain: of the outputs, if orthogonal.
    """

    sequence: str
    outputs: tuple[str, ...] = ()
    initialiser: str = "torch_uniform"
    gain: float | None = None
    output_gain: float | None = None

    def linears(self, depth: int) -> list[str]:
        """Return the names of the linear maps that feed the `depth` hidden layers."""
        return [f"{self.sequence}.{2 * i}" for i in range(depth)]

    def taps(self, depth: int) -> list[str]:
        """Return the names of the modules whose outputs are the hidden layers' activations."""
        return [f"{self.sequence}.{2 * i + 1}" for i in range(depth)]

    def heads(self, depth: int) -> tuple[str, ...]:
        """Return the names of the output maps."""
        return self.outputs or (f"{self.sequence}.{2 * depth}",)


@dataclass(frozen=True)
class Part:
    """What one optimizer trains, by names within the policy; the critic's part comes first.

    Attributes:
        module: what has the parameters.
        owner: what has the optimizer; "" is the policy itself.
        targets: the target network, if there is one. Methods never touch it: it follows by SB3's
            own copying, a reset included.
        perceptrons: the critic's before the actor's.
    """

    module: str
    owner: str
    targets: str | None
    perceptrons: tuple[Perceptron, ...]


ORTHOGONAL: dict[str, Any] = {"initialiser": "orthogonal", "gain": math.sqrt(2)}
ON_POLICY_PARTS = (
    Part(
        "",
        "",
        None,
        (
            Perceptron("mlp_extractor.value_net", ("value_net",), output_gain=1.0, **ORTHOGONAL),
            Perceptron("mlp_extractor.policy_net", ("action_net",), output_gain=0.01, **ORTHOGONAL),
        ),
    ),
)
DQN_PARTS = (Part("q_net", "", "q_net_target", (Perceptron("q_net"),)),)
TWO_CRITICS = Part("critic", "critic", "critic_target", (Perceptron("qf0"), Perceptron("qf1")))
ONE_CRITIC = Part("critic", "critic", "critic_target", (Perceptron("qf0"),))
ACTOR = Part("actor", "actor", "actor_target", (Perceptron("mu"),))
SAC_PARTS = (
    TWO_CRITICS,
    Part("actor", "actor", None, (Perceptron("latent_pi", ("mu", "log_std")),)),
)
TD3_PARTS = (TWO_CRITICS, ACTOR)
DDPG_PARTS = (ONE_CRITIC, ACTOR)


def hidden_layers(part: Part, spec: NetworkSpec, *, lecun: bool) -> tuple[HiddenLayer, ...]:
    """Describe every hidden layer of a part by parameter names.

    Args:
        part: the part.
        spec: of each perceptron, with what was put in.
        lecun: whether weights were drawn by `draw_lecun`.
    """
    return tuple(
        HiddenLayer(
            incoming=(
                Incoming(
                    weight=f"{linear}.weight",
                    bias=f"{linear}.bias",
                    norm=(f"{tap}.0.weight", f"{tap}.0.bias") if spec.normed else None,
                    statistics=tuple(f"{tap}.0.{n}" for n in RUNNING) if spec.online_norm else None,
                ),
            ),
            consumers=tuple(Consumer(f"{name}.weight", f"{name}.bias") for name in readers),
            activation=spec.activation,
            initialiser=LECUN if lecun else perceptron.initialiser,
            gain=None if lecun else perceptron.gain,
        )
        for perceptron in part.perceptrons
        for linear, tap, readers in _chain(perceptron, len(spec.hidden))
    )


def heads(part: Part, depth: int, *, lecun: bool) -> tuple[Head, ...]:
    """Describe every output layer of a part by parameter names."""
    return tuple(
        Head(
            f"{name}.weight",
            f"{name}.bias",
            LECUN if lecun else perceptron.initialiser,
            None if lecun else perceptron.output_gain,
        )
        for perceptron in part.perceptrons
        for name in perceptron.heads(depth)
    )


def draw_lecun(part: Part, module: nn.Module, depth: int, generator: torch.Generator) -> None:
    """Draw LeCun-uniform weights and zero biases in every linear map of a part, in place."""
    for perceptron in part.perceptrons:
        for name in (*perceptron.linears(depth), *perceptron.heads(depth)):
            linear = module.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            initialise(linear, LECUN, None, generator)


def _chain(perceptron: Perceptron, depth: int) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield (linear map in, module whose output is read, linear maps that read) of each layer."""
    linears = perceptron.linears(depth)
    readers = [*((name,) for name in linears[1:]), perceptron.heads(depth)]
    return zip(linears, perceptron.taps(depth), readers, strict=False)

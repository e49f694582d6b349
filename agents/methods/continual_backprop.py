"""Continual backprop: generate and test; the least useful mature hidden units are replaced.

Source: Dohare et al., "Loss of plasticity in deep continual learning", Nature 632 (2024),
Algorithm 1, and its published code. Where they differ `profile` chooses: `ContinualBackprop`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from agents import seeding
from agents.batch import Batch
from agents.methods.chances import Chances
from agents.methods.utility import (
    UnitState,
    Utility,
    instantaneous_utility,
    mean_magnitude,
    mean_over_examples,
    new_units,
)
from agents.network import HiddenLayer, Network
from agents.optimizers import ElementwiseAdam
from agents.units import draw_units, fans_of, reset_units, weights_of
from continual_envs import checks

# Counters that tell the draws of one update apart.
FRESH, CHANCE, RANDOM_UTILITY = 0, 1, 2


class ContinualBackprop:
    """Re-initialises `replacement_rate` of the mature hidden units per update, least useful first.

    A unit is a hidden unit, or a channel of a convolution or of a residual stream. A replaced one
    gets incoming weights from the layer's initialiser, bias 0, outgoing weights 0, age 0, and no
    optimizer state, so that a dead unit is replaced without changing the output (except under layer
    normalisation, whose statistics all units of a layer share); a batch normalisation of its own
    starts anew. Features are those before the gradient step, weights those after it. What is said
    of a unit's features h is averaged over the batch and, of a channel, over positions; magnitudes
    of weights over all incoming, and all outgoing, weights of the unit.

    Profiles. "paper" ranks by the running average of utility as it is, so that units just mature
    look worse than they are (at age 100 and decay 0.99 they show 63 % of their utility), and
    replaces at most one unit a layer and update, as the text of Nature says (its Algorithm 1 has a
    loop); with Adam, of which it says nothing, moments are cleared and the step count is left.
    "code" ranks by the bias-corrected average, utility / (1 - decay^age), replaces as many as are
    due, and with Adam also restarts the step count of the unit's own elements.

    Differs from the published code in: `transfer_bias` works (there the mean activations are zeroed
    just before they would be used, so nothing is transferred); the quota is counted in integers,
    floor(rate * sum of eligible) - replaced, which does not drift with rounding; magnitudes of
    outgoing weights are means over consumers in both profiles (Nature writes sums: same ranking);
    the momentum of a replaced unit is cleared (there it stays); convolutional networks follow the
    same rules as others (there the quota counts units that are not mature too, the residual
    network's means of features never decay, and its replacements are not exact: see
    `agents.networks.resnet.ResNet18`).

    Args:
        replacement_rate: share of mature units replaced per update, in [0, 1]; 0 is plain backprop.
        maturity: a unit is mature when its age in updates is above this.
        utility: what a unit is worth: contribution |h| |w_out|; adaptable_contribution
            |h - mean h| |w_out| / |w_in|; zero_contribution |h - mean h| |w_out|; adaptation
            1 / |w_in|; weight |w_out|; feature_by_input |h - mean h| / |w_in|; random, drawn anew
            whenever a unit is due and never averaged.
        utility_decay: of the running averages, in [0, 1).
        replacement: "counter" accumulates the quota over updates; "bernoulli" replaces one unit
            with the probability of the quota, or the whole part of a quota above 1.
        transfer_bias: add a replaced unit's mean contribution to the biases it fed: exact for a
            constant activation. Refused for resnet18, where no bias can do that: its convolutions
            are padded and normalised.
        profile: "paper" or "code".
    """

    def __init__(
        self,
        *,
        replacement_rate: float = 1e-4,
        maturity: int = 100,
        utility: Utility = "contribution",
        utility_decay: float = 0.99,
        replacement: Literal["counter", "bernoulli"] = "counter",
        transfer_bias: bool = False,
        profile: Literal["paper", "code"] = "paper",
    ) -> None:
        self.replacement_rate = checks.number("replacement_rate", replacement_rate, 0, 1)
        self.maturity = checks.integer("maturity", maturity)
        self.utility = checks.one_of("utility", utility, get_args(Utility))
        self.utility_decay = checks.number("utility_decay", utility_decay, 0, below=1)
        self.replacement = checks.one_of("replacement", replacement, ("counter", "bernoulli"))
        self.transfer_bias = checks.flag("transfer_bias", transfer_bias)
        self.profile = checks.one_of("profile", profile, ("paper", "code"))
        self._centred = transfer_bias or utility in (
            "adaptable_contribution",
            "zero_contribution",
            "feature_by_input",
        )
        # Never back to 0: a restarted network must not see the same draws again. A tensor, since a
        # captured step must count too.
        self._updates = torch.zeros((), dtype=torch.int64)

    def wrap_optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Give Adam a step count of its own for every element, as the published code has."""
        if not self.replacement_rate or self.profile == "paper":
            return optimizer
        if not isinstance(optimizer, torch.optim.Adam):
            return optimizer
        group = optimizer.param_groups[0]
        return ElementwiseAdam(
            group["params"], lr=group["lr"], betas=group["betas"], eps=group["eps"]
        )

    def attach(self, network: Network) -> None:
        """Start with units of age 0 and utility 0.

        Raises:
            ValueError: no hidden layer, or `transfer_bias` in a network where it has no meaning.
        """
        network.need_hidden("continual-backprop")
        biases = [one.bias for layer in network.layers for one in layer.consumers]
        if self.transfer_bias and None in biases:
            raise ValueError(
                "transfer_bias: True is not allowed in a network of padded or normalised "
                "convolutions; give false"
            )
        self._network = network
        self._keys = network.keys(seeding.Purpose.METHOD)
        self._units = [new_units(network, layer) for layer in network.layers]
        device = self._keys.device
        self._updates = self._updates.to(device, copy=True)
        units = torch.tensor([state.age.shape[-1] for state in self._units], dtype=torch.float64)
        highest = (self.replacement_rate * units).to(device)  # as in `_due`
        self._drawn = Chances(self._keys, CHANCE, highest)

    def after_step(self, batch: Batch) -> None:
        """Age, judge and replace units of every hidden layer."""
        if not self.replacement_rate:
            return
        units = list(zip(self._network.layers, self._units, strict=True))
        # Every layer is judged before any is changed: a layer's outgoing weights feed the next.
        for (layer, state), features in zip(units, batch.features, strict=True):
            self._judge(layer, state, features)
        # The early exits only save time: without a unit that is due nothing changes by a bit.
        if self._may_be_due():
            due = self._due()
            if self._network.captured or due.any():
                drawn = self._draw_all() if self._network.captured else None
                for depth, (layer, state) in enumerate(units):
                    if self._network.captured or due[..., depth].any():
                        self._replace(layer, state, due[..., depth], depth, drawn)
        self._updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return ages, utilities, means and counts."""
        return {
            "updates": int(self._updates),
            "units": [
                {field.name: getattr(state, field.name) for field in fields(state)}
                for state in self._units
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._updates.fill_(int(state["updates"]))
        for unit, saved in zip(self._units, state["units"], strict=True):
            for name, tensor in saved.items():
                getattr(unit, name).copy_(tensor)

    def _judge(self, layer: HiddenLayer, state: UnitState, features: Tensor) -> None:
        """Update age, mean activation and utility from features (*lead, batch, units, ...)."""
        decay, lead = self.utility_decay, len(self._network.lead)
        state.age += 1
        centred = features
        if self._centred:
            state.mean_feature.lerp_(mean_over_examples(features, lead), 1 - decay)
            means = self._mean_feature(state).unsqueeze(lead)
            centred = features - means.reshape(means.shape + (1,) * (features.ndim - means.ndim))
        if self.utility == "random":
            return
        value = instantaneous_utility(
            self.utility,
            size=lambda: mean_over_examples(features.abs(), lead),
            centred=lambda: mean_over_examples(centred.abs(), lead),
            incoming=lambda: mean_magnitude(self._network.incoming(layer), lead),
            outgoing=lambda: mean_magnitude(self._network.outgoing(layer), lead),
        )
        state.utility.lerp_(value, 1 - decay)

    def _places(self, state: UnitState) -> int:
        """Return how many units of a layer are replaced at a time at most."""
        units = state.age.shape[-1]
        return min(units, int(self.replacement_rate * units) + 1)

    def _draw_all(self) -> Tensor:
        """Draw for all layers at once what each would by itself, (*lead, layers, most of one).

        A captured step draws at every update; layer by layer it would be half of its kernels.
        """
        network, depths = self._network, torch.arange(len(self._units), device=self._keys.device)
        needed = [
            self._places(state) * fans_of(network, layer)
            for layer, state in zip(network.layers, self._units, strict=True)
        ]
        draw = (FRESH, depths, self._updates)
        return seeding.uniform(self._keys[..., None], draw, (max(needed),))

    def _replace(
        self,
        layer: HiddenLayer,
        state: UnitState,
        due: Tensor,
        depth: int,
        drawn: Tensor | None,
    ) -> None:
        """Replace the units that are due, (*lead), at most a fixed number of places at a time."""
        places, mature = self._places(state), state.age > self.maturity
        order = (
            self._ranked(state, depth)
            .masked_fill(~mature, torch.inf)
            .sort(dim=-1, stable=True)
            .indices
        )
        index = order[..., :places]
        active = torch.arange(places, device=index.device) < due[..., None]
        active = active & mature.gather(-1, index)
        if self.transfer_bias:
            self._transfer(layer, state, index, active)
        if drawn is None:
            draw = (FRESH, depth, self._updates)
            fresh = draw_units(self._network, layer, self._keys, draw, places)
        else:
            fresh = weights_of(self._network, layer, drawn[..., depth, :], places)
        reset_units(self._network, layer, index, active, fresh)
        for remembered in (state.age, state.utility, state.mean_feature):
            kept = remembered.gather(-1, index)
            remembered.scatter_(-1, index, kept.masked_fill(active, 0))
        state.replaced += active.sum(-1)

    def _due(self) -> Tensor:
        """Return how many units of each layer are due now, int64 (*lead, layers)."""
        mature = torch.stack([(state.age > self.maturity).sum(-1) for state in self._units], -1)
        if self.replacement == "counter":
            for state, own in zip(self._units, mature.unbind(-1), strict=True):
                state.eligible += own
            eligible = torch.stack([state.eligible for state in self._units], -1)
            replaced = torch.stack([state.replaced for state in self._units], -1)
            due = quota(self.replacement_rate, eligible) - replaced
        else:
            expected = self.replacement_rate * mature.double()
            due = torch.where(expected < 1, self._chances() < expected, expected.floor()).long()
        return due.clamp(max=1) if self.profile == "paper" else due

    def _may_be_due(self) -> bool:
        """Return False if this update's chances miss even the quota of layers all mature."""
        if self._network.captured or self.replacement == "counter":
            return True
        return self._drawn.may_hit(int(self._updates))

    def _chances(self) -> Tensor:
        """Return this update's draw from [0, 1) for each layer, float64 (*lead, layers)."""
        if self._network.captured:
            depth = torch.arange(len(self._units), device=self._keys.device)
            return seeding.uniform(self._keys[..., None], (CHANCE, depth, self._updates), ())
        return self._drawn.of(int(self._updates))

    def _ranked(self, state: UnitState, depth: int) -> Tensor:
        """Return what the units are ranked by, (*lead, units)."""
        if self.utility == "random":
            draw = (RANDOM_UTILITY, depth, self._updates)
            return seeding.uniform(self._keys, draw, (state.age.shape[-1],))
        return state.utility / self._correction(state) if self.profile == "code" else state.utility

    def _correction(self, state: UnitState) -> Tensor:
        """Return 1 - decay^age, the share of a running average that is not yet its zero start."""
        return 1 - self.utility_decay ** state.age.to(state.utility.dtype)

    def _mean_feature(self, state: UnitState) -> Tensor:
        return state.mean_feature / self._correction(state)

    def _transfer(
        self, layer: HiddenLayer, state: UnitState, index: Tensor, active: Tensor
    ) -> None:
        """Add sum_r w_out[r] * mean h[r] over the replaced units to the biases they fed."""
        means = self._mean_feature(state).gather(-1, index).masked_fill(~active, 0)[..., None]
        axis = index.ndim - 1
        for outgoing, consumer in zip(self._network.outgoing(layer), layer.consumers, strict=True):
            assert consumer.bias is not None
            # A constant activation is read at every position: what counts is the sum over them.
            summed = outgoing if outgoing.ndim == axis + 2 else outgoing.flatten(axis + 2).sum(-1)
            rows = index[..., None].expand(*index.shape, summed.shape[-1])
            gathered = summed.gather(axis, rows)
            self._network.params[consumer.bias].add_((gathered * means).sum(-2))


def quota(rate: float, eligible: Tensor) -> Tensor:
    """Return floor(rate * eligible) as int64, in float64 whatever torch would promote to."""
    return (eligible.double() * rate).floor().long()

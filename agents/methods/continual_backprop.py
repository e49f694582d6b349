"""Continual backprop: generate and test; the least useful mature hidden units are replaced.

Source: Dohare et al., "Loss of plasticity in deep continual learning", Nature 632 (2024),
Algorithm 1, and its published code. Where they differ `profile` chooses: `ContinualBackprop`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from agents import seeding
from agents.learner import Batch
from agents.network import HiddenLayer, Network, reset_units
from agents.networks.mlp import init_bound
from agents.optimizers import ElementwiseAdam
from continual_envs import checks

Utility = Literal[
    "contribution",
    "adaptable_contribution",
    "zero_contribution",
    "adaptation",
    "weight",
    "feature_by_input",
    "random",
]
# Counters that tell the draws of one update apart.
FRESH, CHANCE, RANDOM_UTILITY = 0, 1, 2


@dataclass
class UnitState:
    """What is remembered of each unit of one layer; members lead.

    Attributes:
        age: updates since the unit was born, int64 (*lead, units).
        utility: running average of the instantaneous utility, (*lead, units).
        mean_feature: running average of the signed activation, (*lead, units).
        eligible: sum over updates of the number of mature units, int64 (*lead).
        replaced: units replaced so far, int64 (*lead).
    """

    age: Tensor
    utility: Tensor
    mean_feature: Tensor
    eligible: Tensor
    replaced: Tensor


class ContinualBackprop:
    """Re-initialises `replacement_rate` of the mature hidden units per update, least useful first.

    A replaced unit gets incoming weights from the layer's initialiser, bias 0, outgoing weights 0,
    age 0, and no optimizer state, so that a dead unit is replaced without changing the output
    (except under layer normalisation, whose statistics all units of a layer share).
    Features are those before the gradient step, weights those after it.

    Profiles. "paper" ranks by the running average of utility as it is, so that units just mature
    look worse than they are (at age 100 and decay 0.99 they show 63 % of their utility), and
    replaces at most one unit a layer and update, as the text of Nature says (its Algorithm 1 has a
    loop); with Adam, of which it says nothing, moments are cleared and the step count is left.
    "code" ranks by the bias-corrected average, utility / (1 - decay^age), replaces as many as are
    due, and with Adam also restarts the step count of the unit's own elements.

    Differs from the published code in: `transfer_bias` works (there the mean activations are zeroed
    just before they would be used, so nothing is transferred); the quota is counted in integers,
    floor(rate * sum of eligible) - replaced, which does not drift with rounding; magnitudes of
    outgoing weights are means over consumers in both profiles (Nature writes sums: same ranking).

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
        transfer_bias: add a replaced unit's mean contribution to the biases it fed.
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
        if not isinstance(transfer_bias, bool):
            raise ValueError(f"transfer_bias: {transfer_bias!r} is not allowed; give true or false")
        self.transfer_bias = transfer_bias
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
        return ElementwiseAdam(group["params"], lr=group["lr"], betas=group["betas"])

    def attach(self, network: Network) -> None:
        """Start with units of age 0 and utility 0."""
        self._network = network
        self._keys = torch.stack(
            [seeding.key(seed, seeding.Purpose.METHOD) for seed in network.seeds()]
        ).reshape(network.lead)
        self._units = [_new_units(network, layer) for layer in network.layers]
        device = next(iter(network.params.values())).device
        self._keys = self._keys.to(device)
        self._updates = self._updates.to(device, copy=True)

    def after_step(self, batch: Batch) -> None:
        """Age, judge and replace units of every hidden layer."""
        if not self.replacement_rate:
            return
        units = list(zip(self._network.layers, self._units, strict=True))
        # Every layer is judged before any is changed: a layer's outgoing weights feed the next.
        for (layer, state), features in zip(units, batch.features, strict=True):
            self._judge(layer, state, features)
        for depth, (layer, state) in enumerate(units):
            self._replace(layer, state, depth)
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
        """Update age, mean activation and utility from features (*lead, batch, units)."""
        decay, lead = self.utility_decay, len(self._network.lead)
        state.age += 1
        centred = features
        if self._centred:
            state.mean_feature.lerp_(features.mean(lead), 1 - decay)
            centred = features - self._mean_feature(state).unsqueeze(lead)
        if self.utility == "random":
            return
        value = instantaneous_utility(
            self.utility,
            size=lambda: features.abs().mean(lead),
            centred=lambda: centred.abs().mean(lead),
            incoming=lambda: mean_magnitude([self._network.incoming(layer)]),
            outgoing=lambda: mean_magnitude(self._network.outgoing(layer)),
        )
        state.utility.lerp_(value, 1 - decay)

    def _replace(self, layer: HiddenLayer, state: UnitState, depth: int) -> None:
        """Replace the units that are due, at most a fixed number of places at a time.

        The early exit only saves time: without a unit that is due nothing changes by a bit.
        """
        units = state.age.shape[-1]
        mature = state.age > self.maturity
        due = self._due(state, mature.sum(-1), depth)
        if not self._network.captured and not due.any():
            return
        places = min(units, int(self.replacement_rate * units) + 1)
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
        fan_in = self._network.incoming(layer).shape[-1]
        bound = init_bound(layer.activation, fan_in)
        draw = (FRESH, depth, self._updates)
        fresh = (2 * seeding.uniform(self._keys, draw, (places, fan_in)) - 1) * bound
        weight = self._network.params[layer.weight]
        reset_units(self._network, layer, index, active, fresh.to(weight.dtype))
        for remembered in (state.age, state.utility, state.mean_feature):
            kept = remembered.gather(-1, index)
            remembered.scatter_(-1, index, kept.masked_fill(active, 0))
        state.replaced += active.sum(-1)

    def _due(self, state: UnitState, mature: Tensor, depth: int) -> Tensor:
        """Return how many units are due now, int64 (*lead)."""
        if self.replacement == "counter":
            state.eligible += mature
            due = quota(self.replacement_rate, state.eligible) - state.replaced
        else:
            expected = self.replacement_rate * mature.double()
            chance = seeding.uniform(self._keys, (CHANCE, depth, self._updates), ())
            due = torch.where(expected < 1, chance < expected, expected.floor()).long()
        return due.clamp(max=1) if self.profile == "paper" else due

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
        for outgoing, bias in zip(
            self._network.outgoing(layer), layer.consumer_biases, strict=True
        ):
            rows = index[..., None].expand(*index.shape, outgoing.shape[-1])
            gathered = outgoing.gather(index.ndim - 1, rows)
            self._network.params[bias].add_((gathered * means).sum(-2))


def quota(rate: float, eligible: Tensor) -> Tensor:
    """Return floor(rate * eligible) as int64, in float64 whatever torch would promote to."""
    return (eligible.double() * rate).floor().long()


def mean_magnitude(weights: list[Tensor]) -> Tensor:
    """Return the mean |w| of each unit, (*lead, units), over the last axis of all `weights`."""
    if len(weights) == 1:
        return weights[0].abs().mean(-1)
    return torch.cat([weight.abs() for weight in weights], dim=-1).mean(-1)


def instantaneous_utility(
    kind: str,
    *,
    size: Callable[[], Tensor],
    centred: Callable[[], Tensor],
    incoming: Callable[[], Tensor],
    outgoing: Callable[[], Tensor],
) -> Tensor:
    """Return the utility of each unit for one batch, (*lead, units).

    The arguments are called only where the kind needs them: they are most of the method's cost.

    Args:
        kind: a value of `Utility` other than "random".
        size: mean over the batch of |h|.
        centred: mean over the batch of |h - running mean of h|.
        incoming: mean |w_in|.
        outgoing: mean |w_out|.
    """
    match kind:
        case "contribution":
            return outgoing() * size()
        case "adaptable_contribution":
            return outgoing() * centred() / incoming()
        case "zero_contribution":
            return outgoing() * centred()
        case "adaptation":
            return 1 / incoming()
        case "weight":
            return outgoing()
        case "feature_by_input":
            return centred() / incoming()
    raise ValueError(f"utility: {kind!r} has no value for one batch")


def _new_units(network: Network, layer: HiddenLayer) -> UnitState:
    bias = network.params[layer.bias].detach()
    count = torch.zeros(network.lead, dtype=torch.int64, device=bias.device)
    return UnitState(
        age=torch.zeros_like(bias, dtype=torch.int64),
        utility=torch.zeros_like(bias),
        mean_feature=torch.zeros_like(bias),
        eligible=count,
        replaced=count.clone(),
    )

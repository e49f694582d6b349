"""ReDo: dormant units are recycled now and then."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from agents import seeding
from agents.batch import Batch
from agents.methods.utility import mean_over_examples
from agents.network import Network
from agents.units import recycle
from continual_envs import checks

SMALL = 1e-9  # added to a layer's mean, as published: a layer that is silent is dormant throughout


class ReDo:
    """Every `period` updates re-initialises the units that are dormant on the batch of that update.

    Unit i of a layer is dormant when s_i = E|h_i| / (mean_k E|h_k| + 1e-9) <= tau, k over its
    layer, E over the batch and, of a channel, over positions. A dormant unit gets incoming weights
    from the layer's initialiser, bias 0, outgoing weights 0 and an empty optimizer state; at tau 0
    the output for that batch stays as it is, unless the units of a layer are normalised together.
    Features are those before the gradient step.

    Source: Sokar et al. 2023, "The dormant neuron phenomenon in deep reinforcement learning"
    (arXiv 2302.12902): tau 0.1, every 1000 gradient steps; Dohare et al. 2024 use 0.1 and 100 in
    PPO, on the latest minibatch, and clear no moments. Differs from the published code in: biases
    have their moments cleared too, and so have, as far as an optimizer keeps them, step counts of
    single elements; incoming weights are those of the layer's own initialiser (there
    Xavier-uniform).

    Args:
        period: updates between two looks; 0 never looks, which is plain backprop.
        tau: threshold, at least 0.
    """

    def __init__(self, *, period: int = 1000, tau: float = 0.1) -> None:
        self.period = checks.integer("period", period)
        self.tau = checks.number("tau", tau, 0)
        self._updates = 0  # never back to 0: a restarted network must not see the same draws again

    def attach(self, network: Network) -> None:
        """Take hold of the network.

        Raises:
            ValueError: it has no hidden layer.
        """
        network.need_hidden("redo")
        self._network = network
        self._keys = network.keys(seeding.Purpose.REDO)

    def after_step(self, batch: Batch) -> None:
        """Count, and recycle dormant units when it is time."""
        if not self.period:
            return
        self._updates += 1
        if self._updates % self.period:
            return
        layers = list(zip(self._network.layers, batch.features, strict=True))
        # Every layer is judged before any is changed: the features are of before.
        masks = [dormant(features, self.tau, len(self._network.lead)) for _, features in layers]
        for depth, ((layer, _), mask) in enumerate(zip(layers, masks, strict=True)):
            recycle(self._network, layer, mask, self._keys, (self._updates, depth))

    def state_dict(self) -> dict[str, Any]:
        """Return the number of updates so far."""
        return {"updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self._updates = int(state["updates"])


def dormant(features: Tensor, tau: float, axis: int) -> Tensor:
    """Return which units are tau-dormant on a batch, bool (*lead, units).

    Args:
        features: (*lead, batch, units, ...).
        tau: threshold.
        axis: of the batch.
    """
    size = mean_over_examples(features.abs(), axis)
    return size <= tau * (size.mean(-1, keepdim=True) + SMALL)

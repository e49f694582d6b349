"""ReDo: dormant units are recycled now and then."""

from __future__ import annotations

from torch import Tensor

from agents import seeding
from agents.batch import Batch
from agents.methods.recycling import Recycling
from agents.methods.utility import mean_over_examples

SMALL = 1e-9  # added to a layer's mean, as published: a layer that is silent is dormant throughout


class ReDo(Recycling):
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

    name, purpose = "redo", seeding.Purpose.REDO

    def __init__(self, *, period: int = 1000, tau: float = 0.1) -> None:
        super().__init__(period, tau)

    def after_step(self, batch: Batch) -> None:
        """Recycle dormant units when it is time."""
        if self._due():
            axis = len(self._network.lead)
            # Every layer is judged before any is changed: the features are of before.
            self._recycle([dormant(features, self.tau, axis) for features in batch.features])


def dormant(features: Tensor, tau: float, axis: int) -> Tensor:
    """Return which units are tau-dormant on a batch, bool (*lead, units).

    Args:
        features: (*lead, batch, units, ...).
        tau: threshold.
        axis: of the batch.
    """
    size = mean_over_examples(features.abs(), axis)
    return size <= tau * (size.mean(-1, keepdim=True) + SMALL)

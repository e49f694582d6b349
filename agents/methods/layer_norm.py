"""Layer normalisation of every hidden layer's pre-activations."""

from __future__ import annotations

from dataclasses import replace

from agents.networks.spec import NetworkSpec


class LayerNorm:
    """h = activation(gain * (z - mean z) / sqrt(var z + 1e-5) + offset) in every hidden layer.

    The mean and variance of a convolution's z are over all its channels and positions, and gain and
    offset are one a channel; resnet18 is refused. Gain and offset are learned and start at 1 and 0.
    Source: Ba, Kiros and Hinton 2016; as a remedy Lyle et al. 2023 (arXiv 2303.01486) and Kumar et
    al. 2023 (arXiv 2308.11958).
    """

    def build(self, spec: NetworkSpec) -> NetworkSpec:
        """Put the normalisation in."""
        return replace(spec, layer_norm=True)

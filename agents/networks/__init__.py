"""Networks that describe their hidden layers to the methods."""

from __future__ import annotations

import torch

from agents.networks.convnet import ConvNet
from agents.networks.mlp import MLP
from agents.networks.resnet import ResNet18
from agents.networks.spec import NetworkSpec

DeepNetwork = MLP | ConvNet | ResNet18
NETWORKS: dict[str, type[DeepNetwork]] = {
    "mlp": MLP,
    "convnet": ConvNet,
    "small_cnn": ConvNet,
    "resnet18": ResNet18,
}


def build(spec: NetworkSpec, dropout: torch.Generator) -> DeepNetwork:
    """Return the network that `spec` describes, not initialised; `dropout` draws its masks."""
    return NETWORKS[spec.network](spec, dropout)

"""Convolutional networks: that of Continual ImageNet, and the small one of Kumar et al."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents.network import Consumer, Head, HiddenLayer, Incoming
from agents.networks.parts import ACTIVATIONS, MONOTONE, drop, empty, initialise
from agents.networks.spec import NetworkSpec

INITIALISER = "torch_uniform"
# Channels and kernel size of each convolution, then units of each fully connected hidden layer.
PLANS: dict[str, tuple[tuple[tuple[int, int], ...], tuple[int, ...]]] = {
    "convnet": (((32, 5), (64, 3), (128, 3)), (128, 128)),
    "small_cnn": (((16, 5), (16, 5)), (100, 100)),
}


class ConvNet(nn.Module):
    """Convolutions without padding, each followed by 2 x 2 max-pooling; then linear maps.

    `forward(images)` takes (n, H, W, C) and returns outputs (n, outputs) and the list of hidden
    activations: those of channels (n, channels, h, w) after the pooling, as they are read, then
    (n, units); dropped ones are zeros in training mode. A layer normalisation is over all channels
    and positions, with a scale and an offset for each channel, before the pooling.

    Sources: "convnet" is Dohare et al. 2024 for Continual ImageNet, "small_cnn" Kumar et al. 2023;
    both with torch's default initialisation of weights and biases.

    Args:
        spec: what to build.
        dropout: generator of the dropout masks.

    Raises:
        ValueError: the images are too small.
    """

    def __init__(self, spec: NetworkSpec, dropout: torch.Generator) -> None:
        super().__init__()
        assert spec.image is not None
        convolutions, units = PLANS[spec.network]
        height, width, channels = spec.image
        self.spec = spec
        convs, norms = [], []
        for outputs, kernel in convolutions:
            convs.append(empty(nn.Conv2d, channels, outputs, kernel))
            norms.append(nn.GroupNorm(1, outputs))
            height, width = (height - kernel + 1) // 2, (width - kernel + 1) // 2
            channels = outputs
        if min(height, width) < 1:
            raise ValueError(
                f"network: {spec.network!r} is not allowed for images of shape {spec.image}, which "
                "are too small; give 'mlp'"
            )
        self._positions = height * width
        sizes = (channels * self._positions, *units, spec.outputs)
        linears = [empty(nn.Linear, a, b) for a, b in zip(sizes, sizes[1:], strict=False)]
        norms += [nn.LayerNorm(n) for n in units]  # type: ignore[misc]
        self.convs: Sequence[nn.Conv2d] = nn.ModuleList(convs)  # type: ignore[assignment]
        self.linears: Sequence[nn.Linear] = nn.ModuleList(linears)  # type: ignore[assignment]
        self.norms: Sequence[nn.GroupNorm | nn.LayerNorm] = nn.ModuleList(  # type: ignore[assignment]
            norms if spec.layer_norm else []
        )
        self._activation = ACTIVATIONS[spec.activation]
        self.dropout = dropout

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights and biases in place, in float64 whatever the dtype."""
        layers: list[nn.Conv2d | nn.Linear] = [*self.convs, *self.linears]
        for layer in layers:
            initialise(layer, INITIALISER, self.spec.activation, generator)
        for norm in self.norms:
            norm.reset_parameters()

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return outputs and hidden activations; see the class."""
        *linears, last = self.linears
        features: list[Tensor] = []
        # Channels stay the fastest axis in memory, which a CPU convolves and pools faster.
        hidden = images.permute(0, 3, 1, 2)
        for conv in self.convs:
            hidden = self._pooled(self._normed(conv(hidden), len(features)))
            features.append(self._dropped(hidden))
            hidden = features[-1]
        hidden = hidden.flatten(1)
        for linear in linears:
            hidden = self._activation(self._normed(linear(hidden), len(features)))
            features.append(self._dropped(hidden))
            hidden = features[-1]
        return last(hidden), features

    def hidden_layers(self) -> tuple[HiddenLayer, ...]:
        """Describe every hidden layer by parameter names."""
        names = [f"convs.{i}" for i in range(len(self.convs))]
        names += [f"linears.{i}" for i in range(len(self.linears))]
        flattened, normed = "linears.0", self.spec.layer_norm
        return tuple(
            HiddenLayer(
                incoming=(
                    Incoming(
                        weight=f"{name}.weight",
                        bias=f"{name}.bias",
                        norm=(f"norms.{i}.weight", f"norms.{i}.bias") if normed else None,
                    ),
                ),
                consumers=(
                    Consumer(
                        weight=f"{reader}.weight",
                        bias=f"{reader}.bias",
                        spread=self._positions if reader == flattened else 1,
                    ),
                ),
                activation=self.spec.activation,
                initialiser=INITIALISER,
            )
            for i, (name, reader) in enumerate(zip(names, names[1:], strict=False))
        )

    def head(self) -> Head:
        """Describe the output layer by parameter names."""
        last = f"linears.{len(self.linears) - 1}"
        return Head(f"{last}.weight", f"{last}.bias", INITIALISER)

    def _normed(self, hidden: Tensor, depth: int) -> Tensor:
        return self.norms[depth](hidden) if self.spec.layer_norm else hidden

    def _pooled(self, hidden: Tensor) -> Tensor:
        """Return the pooled activations; of a monotone one, the activation of what is pooled."""
        if self.spec.activation in MONOTONE:
            return self._activation(F.max_pool2d(hidden, 2))
        return F.max_pool2d(self._activation(hidden), 2)

    def _dropped(self, hidden: Tensor) -> Tensor:
        if self.training and self.spec.dropout_rate:
            return drop(hidden, self.spec.dropout_rate, self.dropout)
        return hidden

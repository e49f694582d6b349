"""ResNet-18 for small images, and its hidden layers: inner channels and residual streams."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from agents.network import Consumer, Head, HiddenLayer, Incoming
from agents.networks.parts import ACTIVATIONS, empty, initialise
from agents.networks.spec import NetworkSpec

INITIALISER = "kaiming_normal"
WIDTHS = (64, 128, 256, 512)  # channels of each stage
BLOCKS = 2  # of a stage


class Block(nn.Module):
    """h = act(norm(conv(x))); the stream goes on as act(norm(conv(h)) + x).

    At the start of a later stage both first convolutions skip every other position, and the stream
    is itself convolved (1 x 1) and normalised.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = empty(nn.Conv2d, inputs, outputs, 3, stride, padding=1)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = empty(nn.Conv2d, outputs, outputs, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.down = empty(nn.Conv2d, inputs, outputs, 1, stride) if stride > 1 else None
        self.down_norm = nn.BatchNorm2d(outputs) if stride > 1 else None


class ResNet18(nn.Module):
    """A 3 x 3 convolution, four stages of two blocks, the mean over positions, a linear map.

    `forward(images)` takes (n, H, W, C) and returns outputs (n, outputs) and the activations of the
    hidden layers, a stream after the inner channels of its stage: (n, channels, h, w), or of a
    stream the list of those its readers see. In
    training mode the batch normalisations use the batch's statistics and update the running ones.

    Hidden layers. The channels within a block are read by its second convolution only. A channel of
    a residual stream is one unit from where its stage begins to where it ends: it is fed by the
    first convolution (of the whole network, or the one beside the stage's first block) and by the
    second convolution of each block, and read by the first convolution of each later block, by the
    two that begin the next stage, or by the output layer. Thus a channel that is silent on some
    examples is replaced without a change of the outputs on them by one bit, in either mode. Taking
    out a channel that is not silent is not the loss of its contribution alone in training mode,
    where what reads it is normalised anew, and in evaluation mode it leaves its readers' running
    statistics behind.

    Source: Dohare et al. 2024 for class-incremental CIFAR-100: ResNet-18 with a stem of stride 1,
    no max-pooling, and biases of convolutions. Differs from the published code in: the channels of
    streams are units with all their readers; there a replacement zeroes the weights of the next
    convolution only and leaves the skip connection, so that silent channels are not exact.

    Args:
        spec: what to build.
        dropout: not drawn from; a spec with dropout is refused.
    """

    def __init__(self, spec: NetworkSpec, dropout: torch.Generator) -> None:
        super().__init__()
        assert spec.image is not None
        self.spec = spec
        self.stem = empty(nn.Conv2d, spec.image[2], WIDTHS[0], 3, padding=1)
        self.stem_norm = nn.BatchNorm2d(WIDTHS[0])
        widths = [WIDTHS[0], *(width for width in WIDTHS for _ in range(BLOCKS))]
        self.blocks: Sequence[Block] = nn.ModuleList(  # type: ignore[assignment]
            Block(a, b) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.linear = empty(nn.Linear, WIDTHS[-1], spec.outputs)
        self._activation = ACTIVATIONS[spec.activation]
        self.dropout = dropout
        # Channels are the fastest axis in memory, of images as they come and so of all else.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def initialise(self, generator: torch.Generator) -> None:
        """Draw Kaiming-normal weights and zero biases in place; normalisations start anew."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                initialise(module, INITIALISER, self.spec.activation, generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        initialise(self.linear, INITIALISER, None, generator)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor | list[Tensor]]]:
        """Return outputs and hidden activations; see the class."""
        act = self._activation
        stream = act(self.stem_norm(self.stem(images.permute(0, 3, 1, 2))))
        points: list[Tensor] = [stream]
        features: list[Tensor | list[Tensor]] = []
        for block in self.blocks:
            skip = stream
            if block.down is not None and block.down_norm is not None:
                skip = block.down_norm(block.down(stream))
                features.append(points)
                points = []
            inner = act(block.norm1(block.conv1(stream)))
            stream = act(block.norm2(block.conv2(inner)) + skip)
            points.append(stream)
            features.append(inner)
        features.append(points)
        return self.linear(stream.mean((2, 3))), features

    def hidden_layers(self) -> tuple[HiddenLayer, ...]:
        """Describe every hidden layer by parameter names, in the order of the activations."""
        layers = []
        producers, readers = [_normed("stem", "stem_norm")], list[Consumer]()
        for i, block in enumerate(self.blocks):
            own = f"blocks.{i}"
            readers.append(Consumer(f"{own}.conv1.weight", None))
            if block.down is not None:
                readers.append(Consumer(f"{own}.down.weight", None))
                layers.append(self._layer(producers, readers))
                producers, readers = [_normed(f"{own}.down", f"{own}.down_norm")], []
            inner = Consumer(f"{own}.conv2.weight", None)
            layers.append(self._layer([_normed(f"{own}.conv1", f"{own}.norm1")], [inner]))
            producers.append(_normed(f"{own}.conv2", f"{own}.norm2"))
        readers.append(Consumer("linear.weight", "linear.bias"))
        layers.append(self._layer(producers, readers))
        return tuple(layers)

    def head(self) -> Head:
        """Describe the output layer by parameter names."""
        return Head("linear.weight", "linear.bias", INITIALISER)

    def _layer(self, incoming: list[Incoming], consumers: list[Consumer]) -> HiddenLayer:
        return HiddenLayer(tuple(incoming), tuple(consumers), self.spec.activation, INITIALISER)


def _normed(conv: str, norm: str) -> Incoming:
    return Incoming(
        weight=f"{conv}.weight",
        bias=f"{conv}.bias",
        norm=(f"{norm}.weight", f"{norm}.bias"),
        statistics=(f"{norm}.running_mean", f"{norm}.running_var"),
    )

"""What a network is to be, before it is built; methods change it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from agents.networks.parts import ACTIVATIONS
from continual_envs import checks

Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "elu", "swish"]
Kind = Literal["auto", "mlp", "convnet", "small_cnn", "resnet18"]
HIDDEN = (100, 100, 100)


@dataclass(frozen=True)
class NetworkSpec:
    """Sizes and parts of a network.

    Attributes:
        inputs: number of inputs.
        outputs: number of outputs.
        hidden: units of each hidden layer of a multilayer perceptron; () is a linear map.
        activation: a key of `ACTIVATIONS`.
        layer_norm: normalise pre-activations of every hidden layer.
        online_norm: forward and backward decay of Online Normalization of them, or None.
        dropout_rate: probability of dropping a hidden unit in training.
        network: mlp, convnet, small_cnn or resnet18.
        image: shape (height, width, channels) of inputs that are images, or None.

    Raises:
        ValueError: sizes, names or combinations that cannot be built.
    """

    inputs: int
    outputs: int
    hidden: tuple[int, ...]
    activation: str
    layer_norm: bool = False
    dropout_rate: float = 0.0
    network: str = "mlp"
    image: tuple[int, int, int] | None = None
    online_norm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if not isinstance(self.hidden, tuple | list):
            raise ValueError(f"hidden: {self.hidden!r} is not allowed; give a list like [100, 100]")
        for units in self.hidden:
            checks.integer("hidden", units, 1)
        checks.one_of("activation", self.activation, ACTIVATIONS)
        if self.online_norm is not None and self.layer_norm:
            raise ValueError("agent: layer-norm and online-norm are not allowed together; give one")
        if self.network != "mlp":
            self._check_image_network()
        elif not self.hidden and (self.normed or self.two_modes):
            raise ValueError(
                "agent: dropout and normalisation need hidden layers, of which the network has none"
            )

    @property
    def two_modes(self) -> bool:
        """Whether it predicts in another pass than it trains in.

        With dropout it has to, and with Online Normalization but for updates of one example.
        """
        return self.dropout_rate > 0 or self.online_norm is not None

    @property
    def normed(self) -> bool:
        """Whether the units of a hidden layer are normalised or scaled together."""
        return self.layer_norm or self.online_norm is not None

    @property
    def batch_norm(self) -> bool:
        """Whether what it says of a batch in training depends on the batch as a whole."""
        return self.network == "resnet18"

    def _check_image_network(self) -> None:
        name = self.network
        if self.image is None:
            raise ValueError(f"network: {name!r} is not allowed without images; give 'mlp'")
        if tuple(self.hidden) != HIDDEN:
            raise ValueError(
                f"hidden: {self.hidden!r} is not allowed with network {name!r}, whose sizes are "
                "fixed; leave it out, or set network to 'mlp'"
            )
        if self.online_norm is not None:
            raise ValueError(
                f"network: {name!r} is not allowed with online-norm; set network to 'mlp'"
            )
        if name != "resnet18":
            return
        instead = "set network to 'convnet', 'small_cnn' or 'mlp'"
        if self.layer_norm:
            raise ValueError(
                "network: 'resnet18' is not allowed with layer normalisation, since it has batch "
                f"normalisation; {instead}"
            )
        if self.dropout_rate:
            raise ValueError(
                f"dropout_rate: {self.dropout_rate!r} is not allowed with network 'resnet18'; "
                f"give 0, or {instead}"
            )


def describe(
    network: str, shape: tuple[int, ...], outputs: int, hidden: tuple[int, ...], activation: str
) -> NetworkSpec:
    """Return the network that settings ask for; "auto" is convnet for images, else mlp.

    Args:
        network: one of `Kind`.
        shape: of one example, (d,) or (H, W, C).
        outputs: number of outputs.
        hidden: see `NetworkSpec`; () is a linear map of images too.
        activation: see `NetworkSpec`.

    Raises:
        ValueError: there is no such network.
    """
    checks.one_of("network", network, get_args(Kind))
    image = (shape[0], shape[1], shape[2]) if len(shape) == 3 else None
    if network == "auto":
        network = "convnet" if image is not None and hidden not in ((), []) else "mlp"
    inputs = math.prod(shape)
    return NetworkSpec(inputs, outputs, hidden, activation, network=network, image=image)

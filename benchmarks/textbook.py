"""The textbook PyTorch loop and the obvious eager form of each remedy: what our speed is beside.

Data are tensors already and permuted already; nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Hook = Callable[[list[Tensor]], None]


class Net(nn.Module):
    """Linear maps with ReLU between them; keeps the hidden activations of the latest pass."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        self.features: list[Tensor] = []

    def forward(self, h: Tensor) -> Tensor:
        """Return the outputs."""
        *hidden, last = self.layers
        self.features = []
        for layer in hidden:
            h = torch.relu(layer(h))
            self.features.append(h)
        return last(h)


def convnet(outputs: int) -> nn.Sequential:
    """The network of Continual ImageNet for images (3, 32, 32)."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 128, 3), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(512, 128), nn.ReLU()),
        *(nn.Linear(128, 128), nn.ReLU()),
        nn.Linear(128, outputs),
    )


def small_cnn(outputs: int) -> nn.Sequential:
    """The network of Kumar et al. 2023 for images (3, 32, 32)."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(nn.Linear(400, 100), nn.ReLU()),
        *(nn.Linear(100, 100), nn.ReLU()),
        nn.Linear(100, outputs),
    )


def classify(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    """x[i], an example or a batch, is one update: SGD, Adam, L2 by the optimizer's weight_decay."""
    for i in range(len(x)):
        optimizer.zero_grad()
        F.cross_entropy(net(x[i]), y[i]).backward()
        optimizer.step()


def regress(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> None:
    """The same with squared error."""
    for i in range(len(x)):
        optimizer.zero_grad()
        F.mse_loss(net(x[i])[0], y[i]).backward()
        optimizer.step()


def shrink_perturb(
    net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, noise_std: float = 1e-5
) -> None:
    """The optimizer's weight decay, and noise on every parameter after every step."""
    for i in range(len(x)):
        optimizer.zero_grad()
        F.cross_entropy(net(x[i]), y[i]).backward()
        optimizer.step()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=noise_std)


def continual_backprop(
    net: Net,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    rate: float = 1e-4,
    maturity: int = 100,
    decay: float = 0.99,
) -> None:
    """Continual backprop with the adaptable contribution utility and a quota that accumulates."""
    sizes = [layer.out_features for layer in net.layers[:-1]]
    ages, utilities, means = ([torch.zeros(n) for n in sizes] for _ in range(3))
    quotas = [0.0] * len(sizes)
    for i in range(len(x)):
        optimizer.zero_grad()
        F.cross_entropy(net(x[i]), y[i]).backward()
        optimizer.step()
        with torch.no_grad():
            for depth, h in enumerate(net.features):
                into, out = net.layers[depth], net.layers[depth + 1]
                ages[depth] += 1
                correction = 1 - decay ** ages[depth]
                means[depth].mul_(decay).add_(h, alpha=1 - decay)
                away = (h - means[depth] / correction).abs()
                utility = out.weight.abs().mean(0) * away / into.weight.abs().mean(1)
                utilities[depth].mul_(decay).add_(utility, alpha=1 - decay)
                mature = torch.where(ages[depth] > maturity)[0]
                quotas[depth] += rate * len(mature)
                if quotas[depth] >= 1:
                    due = int(quotas[depth])
                    quotas[depth] -= due
                    ranked = (utilities[depth] / correction)[mature]
                    unit = mature[torch.topk(-ranked, due).indices]
                    bound = (6 / into.in_features) ** 0.5
                    into.weight[unit] = torch.empty_like(into.weight[unit]).uniform_(-bound, bound)
                    into.bias[unit] = 0
                    out.weight[:, unit] = 0
                    ages[depth][unit] = utilities[depth][unit] = means[depth][unit] = 0


class Block(nn.Module):
    """The basic block of a residual network."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.skip = nn.Sequential()
        if stride > 1:
            self.skip = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


def resnet18(classes: int) -> nn.Module:
    """Return ResNet-18 with a stem for small images."""
    widths, layers = (64, 64, 128, 256, 512), list[nn.Module]()
    for inputs, outputs in zip(widths, widths[1:], strict=False):
        stride = 1 if inputs == outputs else 2
        layers += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
    stem = [nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes)]
    return nn.Sequential(*stem, *layers, *head)

"""Online Normalization: every unit normalised by running statistics, one example at a time."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from agents.base import Array

EPSILON = 1e-5
RUNNING = ("mean", "variance", "product", "shift")  # its buffers


class OnlineNorm(nn.Module):
    """y = a / sqrt(mean of a^2 over the layer + e), a = weight * n + bias, e = 1e-5.

    n = (z - mean) / sqrt(variance + e) with each unit's running statistics of the examples before.
    In training, example by example, these then become

        variance <- f variance + f (1 - f) (z - mean)^2        mean <- f mean + (1 - f) z

    and the gradient g by n turns into that by z through two control variables, which stand for what
    the statistics owe to earlier examples (c: product, d: shift):

        g <- g - (1 - b) c n                          c <- c + g n
        g <- g / sqrt(variance + e) - (1 - b) d       d <- d + g

    Takes and returns (n, units). In evaluation mode nothing moves. Source: Chiley et al. 2019
    (arXiv 1905.05894), with layer scaling, in the order of their published code.

    Args:
        units: of the layer.
        forward_decay: f.
        backward_decay: b.
    """

    mean: Tensor
    variance: Tensor
    product: Tensor
    shift: Tensor

    def __init__(self, units: int, forward_decay: float, backward_decay: float) -> None:
        super().__init__()
        self.forward_decay, self.backward_decay = forward_decay, backward_decay
        self.weight, self.bias = nn.Parameter(torch.ones(units)), nn.Parameter(torch.zeros(units))
        for name in RUNNING:
            self.register_buffer(name, torch.zeros(units))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start over."""
        with torch.no_grad():
            for one in (self.weight, self.variance):
                one.fill_(1)
            for nil in (self.bias, self.mean, self.product, self.shift):
                nil.fill_(0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the normalised pre-activations."""
        if self.training and inputs.device.type == "cpu":
            return _apply(_Compiled, inputs, self.weight, self.bias, self)
        return self.composed(inputs)

    def composed(self, inputs: Tensor) -> Tensor:
        """Do as `forward`, by operations that every device has."""
        if self.training:
            scaled = _apply(_Normalise, inputs, self) * self.weight + self.bias
        else:
            running = self.mean, self.variance
            scaled = functional.batch_norm(inputs, *running, self.weight, self.bias, eps=EPSILON)
        return functional.rms_norm(scaled, scaled.shape[1:], eps=EPSILON)


def _apply(function: Any, *arguments: Any) -> Tensor:
    return cast(Tensor, function.apply(*arguments))


class _Compiled(torch.autograd.Function):
    """The layer in training on a CPU, where an example after the other is the faster way."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, norm: OnlineNorm) -> Tensor:
        from agents.networks import online_norm_compiled as compiled  # numba is slow to import

        arguments = _arrays(inputs, weight, bias, norm.mean, norm.variance)
        found, *ctx.kept = compiled.forward(*arguments, norm.forward_decay, EPSILON)
        ctx.norm, outputs = norm, torch.from_numpy(found)
        ctx.save_for_backward(outputs, weight)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        from agents.networks import online_norm_compiled as compiled

        norm, (outputs, weight) = ctx.norm, ctx.saved_tensors
        known = *_arrays(*gradients, outputs), *ctx.kept
        running = _arrays(weight, norm.product, norm.shift)
        found = compiled.backward(*known, *running, norm.backward_decay)
        return (*map(torch.from_numpy, found), None)


def _arrays(*tensors: Tensor) -> list[Array]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


class _Normalise(torch.autograd.Function):
    """n of z, whose gradient is not its derivative."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, norm: OnlineNorm) -> Tensor:
        decay = torch.full_like(inputs, norm.forward_decay)
        means = followed(norm.mean, decay, (1 - decay) * inputs)
        centred = inputs - means[:-1]
        variances = followed(norm.variance, decay, decay * (1 - decay) * centred.square())
        roots = (variances[:-1] + EPSILON).sqrt()
        result = centred / roots
        norm.mean.copy_(means[-1])
        norm.variance.copy_(variances[-1])
        ctx.norm = norm
        ctx.save_for_backward(result, roots)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        norm, (gradient,), (normal, roots) = ctx.norm, gradients, ctx.saved_tensors
        share = 1 - norm.backward_decay
        products = followed(norm.product, 1 - share * normal.square(), gradient * normal)
        scaled = (gradient - share * products[:-1] * normal) / roots
        shifts = followed(norm.shift, torch.full_like(scaled, norm.backward_decay), scaled)
        norm.product.copy_(products[-1])
        norm.shift.copy_(shifts[-1])
        return scaled - share * shifts[:-1], None


def followed(start: Tensor, factors: Tensor, inputs: Tensor) -> Tensor:
    """Return x_0 = start and x_1 to x_n of x <- factor x + input, (n + 1, units).

    Each step is a map x -> a x + b; in every round the maps of twice as many steps are composed.

    Args:
        start: (units,).
        factors: (n, units).
        inputs: (n, units).
    """
    a, b, steps = factors, inputs, 1
    while steps < len(inputs):
        b = torch.cat([b[:steps], torch.addcmul(b[steps:], a[steps:], b[:-steps])])
        a = torch.cat([a[:steps], a[steps:] * a[:-steps]])
        steps *= 2
    return torch.cat([start[None], a * start + b])

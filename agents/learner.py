"""Network + optimizer + methods: the supervised learner that every agent of the suite is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from agents import networks, optimizers, seeding
from agents.base import Array, Inspection
from agents.batch import Batch, Pending
from agents.inspection import PIECE, inspect, numpy
from agents.network import Features, Network
from agents.networks.spec import HIDDEN, Activation, Kind, describe
from agents.problem import sizes
from continual_envs.core import Chunk


class NetworkLearner:
    """Learns online by a gradient step on every batch, with methods attached.

    The order of an update is: forward, backward, every `before_step`, optimizer, every
    `after_step`. What methods are handed is in `Batch`.
    Loss: cross-entropy for a Discrete or MultiDiscrete action space, squared error for a Box.
    A network with dropout or Online Normalization predicts in evaluation mode before it trains in
    another pass. With batch normalisation what is said of a batch before its targets are known is
    that of the training pass, on the batch's own statistics (published for class-incremental
    CIFAR-100); `predict` is always in evaluation mode.

    Args:
        observation_space: Box of shape (d,) or (H, W, C), or (B, d) or (B, H, W, C) for batches.
        action_space: Discrete, MultiDiscrete of B equal classes, or Box.
        seed: keys the generators of initialisation, methods and dropout.
        device: a torch device.
        methods: attached in this order.
        step_size: learning rate, above 0.
        optimizer: "sgd" or "adam".
        momentum: of SGD, in [0, 1).
        betas: of Adam.
        hidden: units of each hidden layer of a multilayer perceptron; () is a linear map.
        activation: relu, leaky_relu, tanh, sigmoid, elu or swish.
        network: mlp (which flattens images), convnet (that of Continual ImageNet), small_cnn (Kumar
            et al. 2023), resnet18, or auto: convnet for images, else mlp.
        decay_epochs: at the start of a task and when so many passes over its data are done, the
            step size is step_size * 0.2^(how many of these have passed); published for CIFAR-100:
            60, 120, 160. Without a problem that discloses its epochs it stays as it is.
        dtype: float32, or float64 for conformance tests.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        seed: int,
        device: str = "cpu",
        methods: Sequence[Any] = (),
        step_size: float = 0.01,
        optimizer: Literal["sgd", "adam"] = "sgd",
        momentum: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        hidden: tuple[int, ...] = HIDDEN,
        activation: Activation = "relu",
        network: Kind = "auto",
        decay_epochs: tuple[int, ...] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shape, outputs, self.batch_size = sizes(observation_space, action_space)
        spec = describe(network, shape, outputs, hidden, activation)
        for method in methods:
            if hasattr(method, "build"):
                spec = method.build(spec)
        self.methods = list(methods)
        self.device, self._dtype = torch.device(device), dtype
        self.regression = isinstance(action_space, spaces.Box)
        self.needs_boundary = any(hasattr(method, "on_task_switch") for method in methods)
        self._seed, self._restarts = seed, 0
        self._dropout = seeding.generator(seed, seeding.Purpose.DROPOUT, device=device)
        self.module = networks.build(spec, self._dropout).to(self.device, dtype)
        self.optimizer = optimizers.build(
            optimizer,
            self.module.parameters(),
            step_size=step_size,
            momentum=momentum,
            betas=betas,
        )
        for method in methods:
            if hasattr(method, "wrap_optimizer"):
                self.optimizer = method.wrap_optimizer(self.optimizer)
        self._step_size = step_size
        self._decay_epochs = optimizers.checked_epochs(decay_epochs)
        self._before = hooks(methods, "before_step")
        self._after = hooks(methods, "after_step")
        self._seen: Tensor | None = None  # of the classes, once a problem has disclosed it
        self._pending: Pending | None = None
        self._initialise()

    def predict(self, inputs: Array) -> Array:
        """Return the outputs, (n, k), in evaluation mode; changes nothing.

        A batch of the size that updates have is remembered with its graph, so that the update on
        the same inputs needs no second forward pass.
        """
        if self.module.spec.batch_norm or len(inputs) != self.batch_size:
            return numpy(self._evaluate(self._tensor(inputs)))
        return self.anticipate(inputs)

    def anticipate(self, inputs: Array) -> Array:
        """Return what `update` will say of the same inputs, (n, k); changes nothing."""
        x = self._tensor(inputs)
        if self.module.spec.two_modes or not torch.is_grad_enabled():
            return numpy(self._evaluate(x))
        buffers = {name: value.clone() for name, value in self.module.named_buffers()}
        # The graph keeps the buffers that it has seen, so that these are copies.
        outputs, features = functional_call(self.module, buffers, (x,))
        self._pending = Pending(x, self._allowed(outputs), features, buffers)
        return numpy(self._pending.outputs)

    def update(self, inputs: Array, targets: Array) -> Array:
        """Take one gradient step on n inputs and targets (n,); return what `anticipate` said."""
        return numpy(self._update(self._tensor(inputs), self._tensor(targets)))

    def update_many(self, chunk: Chunk) -> Array:
        """Update on every batch of the chunk in turn; return all outputs, (len(chunk), k)."""
        inputs, targets = self._tensor(chunk.examples()), self._tensor(chunk.targets)
        size = self.batch_size
        batches = zip(torch.split(inputs, size), torch.split(targets, size), strict=True)
        # Copies, since matrix products may differ in the last bit with the alignment in memory.
        return numpy(torch.cat([self._update(x.clone(), y.clone()) for x, y in batches]))

    def on_task_switch(self) -> None:
        """Tell the methods that the next example is of a new task."""
        self._pending = None
        for method in self.methods:
            if hasattr(method, "on_task_switch"):
                method.on_task_switch()

    def on_privileges(self, info: dict[str, Any]) -> None:
        """Take note of what the problem discloses before a pass over a task's data; all optional.

        Args:
            info: "epoch", passes done before; with `decay_epochs` it sets the step size. "seen",
                bool (classes,): the output of any other class is -inf, in predictions and in the
                loss. "zero_head", true: the output layer's weights and biases become 0, and the
                optimizer's state stays (as published for Continual ImageNet). Others are ignored.
        """
        if self._decay_epochs and "epoch" in info:
            present = optimizers.decayed(self._step_size, self._decay_epochs, int(info["epoch"]))
            for group in self.optimizer.param_groups:
                group["lr"] = present
        if "seen" in info:
            self._seen, self._pending = self._tensor(info["seen"]).bool(), None
        if info.get("zero_head"):
            head, self._pending = self.module.head(), None
            with torch.no_grad():
                for name in (head.weight, head.bias):
                    self.module.get_parameter(name).zero_()

    def inspect(self, inputs: Array, targets: Array) -> Inspection:
        """Return activations, weights and the gradient of the mean loss on a probe."""
        x, y = self._tensor(inputs), self._tensor(targets)
        return inspect(
            self.module, lambda o, y: self._loss(self._allowed(o), y), self._initial.values(), x, y
        )

    def snapshot(self) -> dict[str, Tensor]:
        """Return a copy of parameters and running statistics."""
        return copy.deepcopy(self.module.state_dict())

    def rewind(self, snapshot: dict[str, Tensor]) -> None:
        """Go back to a `snapshot`; optimizer and methods stay as they are."""
        self.module.load_state_dict(snapshot)
        self._pending = None

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of parameters, optimizer, methods and generators."""
        state = {
            "parameters": self.module.state_dict(),
            "initial": self._initial,
            "optimizer": self.optimizer.state_dict(),
            "methods": [
                method.state_dict() if hasattr(method, "state_dict") else {}
                for method in self.methods
            ],
            "dropout": self._dropout.get_state(),
            "restarts": self._restarts,
            "seen": [] if self._seen is None else self._seen.tolist(),
        }
        return copy.deepcopy(state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, taken from a learner of the same settings and seed."""
        state = copy.deepcopy(state)  # an optimizer goes on writing into what it is given
        self.module.load_state_dict(state["parameters"])
        self._initial = state["initial"]
        self.optimizer.load_state_dict(state["optimizer"])
        for method, saved in zip(self.methods, state["methods"], strict=True):
            if hasattr(method, "load_state_dict"):
                method.load_state_dict(saved)
        if self.module.spec.dropout_rate:
            seeding.restore(self._dropout, state["dropout"])
        self._restarts = int(state["restarts"])
        seen = state.get("seen")
        self._seen = torch.tensor(seen, device=self.device) if seen else None
        self._pending = None

    def _initialise(self) -> None:
        """Draw the parameters (anew after a restart) and give every method a clean start."""
        generator = seeding.generator(self._seed, seeding.Purpose.INIT, self._restarts)
        self.module.initialise(generator)
        self._initial = {
            name: parameter.detach().clone() for name, parameter in self.module.named_parameters()
        }
        self.optimizer.state.clear()
        network = Network(
            params=dict(self.module.named_parameters()),
            layers=self.module.hidden_layers(),
            optimizer=self.optimizer,
            seed=self._seed,
            restart=self._restart,
            buffers=dict(self.module.named_buffers()),
            heads=(self.module.head(),),
        )
        for method in self.methods:
            if hasattr(method, "attach"):
                method.attach(network)

    def _restart(self) -> None:
        self._restarts += 1
        self._initialise()

    def _update(self, x: Tensor, y: Tensor) -> Tensor:
        if self.module.spec.two_modes:
            said = self._evaluate(x)
            outputs, features = self._forward(x)
        elif self._pending and torch.equal(self._pending.inputs, x):
            outputs, features = self._pending.outputs, self._pending.features
            for name, value in self._pending.buffers.items():
                self.module.get_buffer(name).copy_(value)
            said = outputs.detach()
        else:
            outputs, features = self._forward(x)
            said = outputs.detach()
        self._pending = None
        loss = self._loss(outputs, y)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self._before or self._after:
            with torch.no_grad():
                batch = Batch(x, y, said, loss.detach(), Features(features))
                for before in self._before:
                    before(batch)
                self.optimizer.step()
                for after in self._after:
                    after(batch)
        else:
            self.optimizer.step()
        return said

    def _forward(self, x: Tensor) -> tuple[Tensor, Any]:
        outputs, features = self.module(x)
        return self._allowed(outputs), features

    def _allowed(self, outputs: Tensor) -> Tensor:
        """Return outputs, -inf for classes that were not seen."""
        return outputs if self._seen is None else outputs.masked_fill(~self._seen, -torch.inf)

    def _evaluate(self, x: Tensor) -> Tensor:
        """Return outputs in evaluation mode; more images than an update has go piece by piece."""
        images = self.module.spec.network != "mlp"
        pieces = torch.split(x, max(PIECE, self.batch_size)) if images else [x]
        self.module.eval()
        with torch.no_grad():
            outputs = [self._forward(piece)[0] for piece in pieces]
        self.module.train()
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.regression:
            return F.mse_loss(outputs[:, 0], targets)
        return F.cross_entropy(outputs, targets)

    def _tensor(self, array: Array) -> Tensor:
        """Copy an array, row by row, to the device; floating point becomes the network's dtype."""
        flat = np.ascontiguousarray(array).reshape(-1)  # torch keeps the strides, even odd ones
        tensor = torch.tensor(flat, device=self.device).view(np.shape(array))
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor


def hooks(methods: Sequence[Any], name: str) -> list[Callable[[Batch], None]]:
    """Return the hooks called `name` of the methods that have one, in order."""
    return [getattr(method, name) for method in methods if hasattr(method, name)]

"""Network + optimizer + methods: the supervised learner that every agent of the suite is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from agents import optimizers, seeding
from agents.base import Array, Inspection
from agents.network import Network
from agents.networks.mlp import MLP, NetworkSpec
from continual_envs.core import Chunk


@dataclass(frozen=True)
class Batch:
    """What one update has seen: passed to the methods before and after the optimizer's step.

    Loss and features are those of the training pass, outputs are what was predicted before it; the
    two passes differ under dropout.
    """

    inputs: Tensor
    targets: Tensor
    outputs: Tensor
    loss: Tensor
    features: list[Tensor]


class NetworkLearner:
    """Learns online by a gradient step on every batch, with methods attached.

    The order of an update is: forward, backward, every `before_step`, optimizer, every
    `after_step`. What methods are handed is in `Batch`.
    Loss: cross-entropy for a Discrete or MultiDiscrete action space, squared error for a Box.

    Args:
        observation_space: Box of shape (d,), or (B, d) for batches.
        action_space: Discrete, MultiDiscrete of B equal classes, or Box.
        seed: keys the generators of initialisation, methods and dropout.
        device: a torch device.
        methods: attached in this order.
        step_size: learning rate, above 0.
        optimizer: "sgd" or "adam".
        momentum: of SGD, in [0, 1).
        betas: of Adam.
        hidden: units of each hidden layer.
        activation: relu, leaky_relu, tanh, sigmoid, elu or swish.
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
        optimizer: str = "sgd",
        momentum: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        hidden: tuple[int, ...] = (100, 100, 100),
        activation: str = "relu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        inputs, outputs, self.batch_size = sizes(observation_space, action_space)
        spec = NetworkSpec(inputs, outputs, hidden, activation)
        for method in methods:
            if hasattr(method, "build"):
                spec = method.build(spec)
        self.methods = list(methods)
        self.device, self._dtype = torch.device(device), dtype
        self.regression = isinstance(action_space, spaces.Box)
        self.needs_boundary = any(hasattr(method, "on_task_switch") for method in methods)
        self._seed, self._restarts = seed, 0
        self._dropout = seeding.generator(seed, seeding.Purpose.DROPOUT, device=device)
        self.module = MLP(spec, self._dropout).to(self.device, dtype)
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
        self._before = hooks(methods, "before_step")
        self._after = hooks(methods, "after_step")
        self._pending: tuple[Tensor, Tensor, list[Tensor]] | None = None
        self._initialise()

    def predict(self, inputs: Array) -> Array:
        """Return the outputs, (n, k), in evaluation mode; changes nothing.

        A batch of the size that updates have is remembered with its graph, so that the update on
        the same inputs needs no second forward pass.
        """
        x = self._tensor(inputs)
        if len(x) == self.batch_size and not self._stochastic and torch.is_grad_enabled():
            self._pending = (x, *self.module(x))
            return _numpy(self._pending[1])
        return _numpy(self._evaluate(x)[0])

    def update(self, inputs: Array, targets: Array) -> Array:
        """Take one gradient step on (n, d) inputs and (n,) targets; return what `predict` said."""
        return _numpy(self._update(self._tensor(inputs), self._tensor(targets)))

    def update_many(self, chunk: Chunk) -> Array:
        """Update on every batch of the chunk in turn; return all outputs, (len(chunk), k)."""
        inputs, targets = self._tensor(chunk.examples()), self._tensor(chunk.targets)
        size = self.batch_size
        batches = zip(torch.split(inputs, size), torch.split(targets, size), strict=True)
        # Copies, since matrix products may differ in the last bit with the alignment in memory.
        return _numpy(torch.cat([self._update(x.clone(), y.clone()) for x, y in batches]))

    def on_task_switch(self) -> None:
        """Tell the methods that the next example is of a new task."""
        self._pending = None
        for method in self.methods:
            if hasattr(method, "on_task_switch"):
                method.on_task_switch()

    def inspect(self, inputs: Array, targets: Array) -> Inspection:
        """Return activations, weights and the gradient of the mean loss on a probe."""
        x, y = self._tensor(inputs), self._tensor(targets)
        self.module.eval()
        outputs, features = self.module(x)
        parameters = list(self.module.parameters())
        gradients = torch.autograd.grad(self._loss(outputs, y), parameters)
        self.module.train()
        return Inspection(
            features=[_numpy(feature) for feature in features],
            weights=[_numpy(linear.weight) for linear in self.module.linears],
            parameters=[_numpy(parameter) for parameter in parameters],
            initial_parameters=[_numpy(initial) for initial in self._initial.values()],
            gradients=[_numpy(gradient) for gradient in gradients],
        )

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
        self._dropout.set_state(state["dropout"].cpu())
        self._restarts = int(state["restarts"])
        self._pending = None

    @property
    def _stochastic(self) -> bool:
        return self.module.spec.dropout_rate > 0

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
        )
        for method in self.methods:
            if hasattr(method, "attach"):
                method.attach(network)

    def _restart(self) -> None:
        self._restarts += 1
        self._initialise()

    def _update(self, x: Tensor, y: Tensor) -> Tensor:
        if self._stochastic:
            said = self._evaluate(x)[0]
            outputs, features = self.module(x)
        elif self._pending and torch.equal(self._pending[0], x):
            _, outputs, features = self._pending
            said = outputs.detach()
        else:
            outputs, features = self.module(x)
            said = outputs.detach()
        self._pending = None
        loss = self._loss(outputs, y)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self._before or self._after:
            with torch.no_grad():
                batch = Batch(x, y, said, loss.detach(), [h.detach() for h in features])
                for before in self._before:
                    before(batch)
                self.optimizer.step()
                for after in self._after:
                    after(batch)
        else:
            self.optimizer.step()
        return said

    def _evaluate(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        self.module.eval()
        with torch.no_grad():
            result: tuple[Tensor, list[Tensor]] = self.module(x)
        self.module.train()
        return result

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.regression:
            return F.mse_loss(outputs[:, 0], targets)
        return F.cross_entropy(outputs, targets)

    def _tensor(self, array: Array) -> Tensor:
        """Copy an array, row by row, to the device; floating point becomes the network's dtype."""
        tensor = torch.tensor(np.ascontiguousarray(array), device=self.device)
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor


def sizes(
    observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
) -> tuple[int, int, int]:
    """Return (inputs, outputs, batch size) of a supervised problem's spaces.

    Raises:
        ValueError: the spaces are not those of a stream of examples.
    """
    shape = observation_space.shape or ()
    batch = shape[0] if len(shape) == 2 else 1
    if isinstance(action_space, spaces.Discrete) and len(shape) == 1:
        return shape[0], int(action_space.n), 1
    if len(shape) in (1, 2) and action_space.shape == (batch,):
        if isinstance(action_space, spaces.Box):
            return shape[-1], 1, batch
        if isinstance(action_space, spaces.MultiDiscrete) and len(set(action_space.nvec)) == 1:
            return shape[-1], int(action_space.nvec[0]), batch
    raise ValueError(
        f"problem: a supervised learner cannot use observations {observation_space} with actions "
        f"{action_space}; give one-dimensional inputs and classes or one value"
    )


def hooks(methods: Sequence[Any], name: str) -> list[Callable[[Batch], None]]:
    """Return the hooks called `name` of the methods that have one, in order."""
    return [getattr(method, name) for method in methods if hasattr(method, name)]


def _numpy(tensor: Tensor) -> Array:
    array: Array = np.array(tensor.detach().cpu().numpy())
    return array

"""What the kernel needs to know of a learner, as arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents import seeding
from agents.base import Array
from agents.engines.kernel import ACTIVATIONS, UTILITIES, measure
from agents.engines.layout import Adam, Momentum, Net, Noise, Online, Rule, Units, Work
from agents.engines.support import is_plain_sgd, method_of, total_decay
from agents.learner import NetworkLearner
from agents.methods.continual_backprop import ContinualBackprop
from agents.methods.shrink_perturb import ShrinkPerturb
from agents.networks.mlp import MLP
from agents.networks.online_norm import RUNNING
from agents.networks.parts import init_bound
from agents.optimizers import ElementwiseAdam

# Arrays that follow from the settings, and scratch.
NOT_STATE = ("sizes", "rows", "starts", "bounds", "correct_mean", "correct_root", "taken")
NEVER = 1 << 62


@dataclass(frozen=True)
class Parts:
    """One learner as the kernel sees it; a part that is off is None."""

    net: Net
    rule: Rule
    online: Online | None
    momentum: Momentum | None
    moments: Adam | None
    noise: Noise | None
    units: Units | None

    def state(self) -> dict[str, Array]:
        """Return all that decides what comes next, by name; the kernel writes to these arrays."""
        found = {}
        for part in (self.net, self.online, self.momentum, self.moments, self.noise, self.units):
            for name, value in (part._asdict() if part else {}).items():
                if isinstance(value, np.ndarray) and name not in NOT_STATE:
                    found[f"{type(part).__name__}.{name}"] = value
        return found


def take(learner: NetworkLearner, clock: int) -> Parts:
    """Return the present state of a supported learner, copied.

    Args:
        learner: freshly built, restored, or restarted.
        clock: updates made so far by anything that draws by counter.
    """
    net, group = _net(learner, clock), learner.optimizer.param_groups[0]
    step_size, decay, plain = float(group["lr"]), total_decay(learner), is_plain_sgd(learner)
    momentum = _momentum(learner, net, decay) if group.get("momentum") else None
    sgd = isinstance(learner.optimizer, torch.optim.SGD)
    moments = None if sgd else _moments(learner, net, decay)
    units = _units(learner, net)
    rule = Rule(
        activation=ACTIVATIONS.index(learner.module.spec.activation),
        regression=learner.regression,
        norm=learner.module.spec.layer_norm,
        step_size=step_size,
        decay=0.0 if plain else decay,
        shrink=1 - step_size * decay if plain else 1.0,
        keep=1.0 - learner.module.spec.dropout_rate,
    )
    noise = _noise(learner, net, lazy=plain and units is None)
    if units is not None:
        measure(net, units)
    online = _online(learner, net) if learner.module.spec.online_norm else None
    return Parts(net, rule, online, momentum, moments, noise, units)


def work(net: Net, batch: int) -> Work:
    """Return the memory of updates of at most `batch` examples."""
    layers, widest, dtype = len(net.sizes), net.sizes.max() + 1, net.weights.dtype
    shape = (layers, batch, widest)
    return Work(
        values=np.ones(shape, dtype),
        slopes=np.zeros(shape, dtype),
        errors=np.zeros(shape, dtype),
        normal=np.zeros(shape, dtype),
        roots=np.zeros(shape, dtype),
        spread=np.zeros((layers, batch), dtype),
        listed=np.zeros(shape, np.int64),
        lengths=np.zeros((layers, batch), np.int64),
        row=np.zeros((4, widest), dtype),
        draws=np.zeros(widest + 1, np.float32),
        sums=np.zeros(np.diff(net.starts).max(), dtype),
        touched=np.zeros(net.rows.max(), np.bool_),
    )


def write_back(net: Net, online: Online | None, learner: NetworkLearner) -> None:
    """Write the parameters of `net` and running statistics to the learner's module."""
    module = _mlp(learner)
    with torch.no_grad():
        for layer, stored in enumerate(matrices(net, net.weights)):
            values = torch.from_numpy(stored * net.weights.dtype.type(net.scale[0]))
            inputs = int(net.sizes[layer])
            module.linears[layer].weight.copy_(values[:inputs].T)
            module.linears[layer].bias.copy_(values[inputs])
            if len(values) > inputs + 1:
                module.norms[layer].weight.copy_(values[inputs + 1])
                module.norms[layer].bias.copy_(values[inputs + 2])
            if online is not None and layer < len(module.norms):
                for name in RUNNING:
                    buffer = module.norms[layer].get_buffer(name)
                    running = getattr(online, name)[layer + 1, : len(buffer)]
                    buffer.copy_(torch.from_numpy(running))


def matrices(net: Net, flat: Array) -> list[Array]:
    """Return the matrices of an array laid out like the weights, as views."""
    return [
        flat[net.starts[layer] : net.starts[layer + 1]].reshape(rows, -1)
        for layer, rows in enumerate(net.rows)
    ]


def _net(learner: NetworkLearner, clock: int) -> Net:
    spec = learner.module.spec
    sizes = np.array([spec.inputs, *spec.hidden, spec.outputs])
    rows = sizes[:-1] + 1
    rows[: len(spec.hidden)] += 2 * spec.normed
    flat = _gather(learner, lambda parameter: parameter.detach())
    return Net(
        sizes=sizes,
        rows=rows,
        starts=np.concatenate([[0], np.cumsum(rows * sizes[1:])]),
        weights=flat,
        scale=np.ones(1),
        clock=np.array([clock]),
    )


def _online(learner: NetworkLearner, net: Net) -> Online:
    norms = _mlp(learner).norms
    forward, backward = learner.module.spec.online_norm or (0.0, 0.0)

    def read(name: str) -> Array:
        layers = {depth: norm.get_buffer(name).numpy() for depth, norm in enumerate(norms, start=1)}
        return _of_units(net, net.weights.dtype, layers)

    return Online(forward, backward, *map(read, RUNNING))


def _momentum(learner: NetworkLearner, net: Net, decay: float) -> Momentum:
    momentum = float(learner.optimizer.param_groups[0]["momentum"])
    return Momentum(
        momentum=momentum,
        patience=_patience(momentum, net.weights.dtype, decay),
        steps=np.zeros(1, np.int64),
        buffer=_slot(learner, "momentum_buffer"),
        last=_of_rows(net, 0),
    )


def _moments(learner: NetworkLearner, net: Net, decay: float) -> Adam:
    first, second = map(float, learner.optimizer.param_groups[0]["betas"])
    elementwise = isinstance(learner.optimizer, ElementwiseAdam)
    state = learner.optimizer.state
    ages = []
    for linear in _mlp(learner).linears:
        own = state.get(linear.bias, {})
        steps = own.get("steps", own.get("step", torch.zeros(())))
        ages.append(steps.expand(linear.out_features).numpy())
    total = int(ages[-1][0])  # an output is never replaced, nor is an input or the bias row
    age = _of_units(net, np.float64, dict(enumerate(ages, start=1)), total)
    return Adam(
        first=first,
        second=second,
        elementwise=elementwise,
        patience=_patience(first / math.sqrt(second) if second else 1.0, net.weights.dtype, decay),
        steps=np.array([total]),
        mean=_slot(learner, "exp_avg"),
        square=_slot(learner, "exp_avg_sq"),
        last=_of_rows(net, total),
        fade_first=first**age,
        fade_second=second**age,
        correct_mean=np.zeros(age.shape, net.weights.dtype),
        correct_root=np.zeros(age.shape, net.weights.dtype),
    )


def _noise(learner: NetworkLearner, net: Net, lazy: bool) -> Noise | None:
    method = method_of(learner, ShrinkPerturb)
    if method is None or not method.noise_std:
        return None
    kinds = [type(other) for other in learner.methods]
    replaces = ContinualBackprop in kinds
    return Noise(
        std=float(method.noise_std),
        lazy=lazy,
        first=replaces and kinds.index(ShrinkPerturb) < kinds.index(ContinualBackprop),
        key=_key(learner),
        paid=_of_rows(net, int(net.clock[0])),
    )


def _units(learner: NetworkLearner, net: Net) -> Units | None:
    method = method_of(learner, ContinualBackprop)
    spec = learner.module.spec
    if method is None or not method.replacement_rate or not spec.hidden:
        return None

    def read(name: str, kind: Any) -> Array:
        hidden = [getattr(state, name).numpy() for state in method._units]
        return _of_units(net, kind, dict(enumerate(hidden, start=1)))

    age, dtype = read("age", np.int64), net.weights.dtype
    return Units(
        kind=UTILITIES.index(method.utility),
        centred=method._centred,
        decay=float(method.utility_decay),
        rate=float(method.replacement_rate),
        maturity=method.maturity,
        counter=method.replacement == "counter",
        transfer=method.transfer_bias,
        code=method.profile == "code",
        key=_key(learner),
        bounds=np.array([init_bound(spec.activation, fan_in) for fan_in in net.sizes[:-2]]),
        age=age,
        fade=float(method.utility_decay) ** age,
        utility=read("utility", dtype),
        mean=read("mean_feature", dtype),
        eligible=np.array([int(state.eligible) for state in method._units]),
        replaced=np.array([int(state.replaced) for state in method._units]),
        row_sums=_of_rows(net, 0).astype(np.float64),
        column_sums=_of_units(net, np.float64, {}),
        taken=_of_units(net, np.bool_, {}),
    )


def _gather(learner: NetworkLearner, read: Any) -> Array:
    """Return what `read` says of each parameter, in the kernel's layout."""
    module, pieces = _mlp(learner), []
    for layer, linear in enumerate(module.linears):
        norm = module.norms[layer] if layer < len(module.norms) else None
        pieces.append(read(linear.weight).T)
        for vector in (linear.bias, *((norm.weight, norm.bias) if norm else ())):
            pieces.append(read(vector)[None])
    return np.concatenate([piece.reshape(-1).numpy() for piece in pieces])


def _of_rows(net: Net, value: int) -> Array:
    """Return an array of one number for each row of each matrix."""
    return np.full((len(net.rows), net.rows.max()), value)


def _of_units(net: Net, kind: Any, layers: dict[int, Array], other: float = 0) -> Array:
    """Return an array of one number a unit: those of some layers, and `other` elsewhere."""
    array = np.full((len(net.sizes), net.sizes.max() + 1), other, kind)
    for layer, values in layers.items():
        array[layer, : len(values)] = values
    return array


def _slot(learner: NetworkLearner, name: str) -> Array:
    """Return a slot of the optimizer's state, zeros where there is none yet."""

    def read(parameter: Tensor) -> Tensor:
        slot = learner.optimizer.state.get(parameter, {}).get(name)
        return torch.zeros_like(parameter).detach() if slot is None else slot

    return _gather(learner, read)


def _patience(ratio: float, dtype: Any, decay: float) -> int:
    """Return after how many steps without a gradient the ratio's power is below rounding."""
    if decay or ratio >= 1:
        return NEVER
    return math.ceil(math.log(np.finfo(dtype).eps) / math.log(ratio)) if ratio else 1


def _mlp(learner: NetworkLearner) -> MLP:
    """Return the network, which is of the only kind that the engine supports."""
    assert isinstance(learner.module, MLP)
    return learner.module


def _key(learner: NetworkLearner) -> np.uint64:
    key = seeding.key(learner._seed, seeding.Purpose.METHOD)
    return np.uint64(int(key) & 0xFFFFFFFFFFFFFFFF)

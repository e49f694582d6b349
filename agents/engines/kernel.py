"""The compiled loop of the fused engine; every jitted function is in this file.

(numba's cache does not notice an edit in another file.) A part of the update is on when its state
is given and pruned at compile time when it is `None`; what can change without recompiling is a
number in `Rule`. How things lie is described in `agents.engines.layout`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import extending, types

from agents.engines.layout import (
    Adam,
    Array,
    Data,
    Momentum,
    Net,
    Noise,
    Online,
    Rule,
    Units,
    Work,
)

Function = TypeVar("Function", bound=Callable[..., Any])

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "elu", "swish")
RELU, LEAKY_RELU, TANH, SIGMOID, ELU, SWISH = range(6)
UTILITIES = (
    "contribution",
    "adaptable_contribution",
    "zero_contribution",
    "adaptation",
    "weight",
    "feature_by_input",
    "random",
)
CONTRIBUTION, ADAPTABLE, ZERO_CONTRIBUTION, ADAPTATION, WEIGHT, FEATURE_BY_INPUT, RANDOM = range(7)
FRESH, CHANCE, RANDOM_UTILITY, NOISE = range(4)  # what a draw is for
LEAK, NORM_EPSILON, ADAM_EPSILON = 0.01, 1e-5, 1e-8
SMALLEST_SCALE = 0.25
SUM_AGAIN = 1024  # updates after which sums of magnitudes are taken anew
COMPILE: dict[str, Any] = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "forceinline": True,
    "nogil": True,
    # Nothing here allocates, and the caller holds every array: counting references, which took
    # two thirds of the update of a small network, is off.
    "_nrt": False,
}


def entry(function: Function) -> Function:
    """Compile for callers in Python."""
    return cast(Function, numba.njit(**COMPILE)(function))


def jit(function: Function) -> Function:
    """Compile for callers in this file, where it is inlined: a call costs as much as a row.

    It gets no way in from Python, which would take a fifth of the time to compile: a call from
    there ends the process.
    """
    inner: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(Function, numba.njit(**COMPILE, **inner)(function))


@numba.njit(inline="always")  # a function that counts no references may not return a new array
def matrix(flat: Array, net: Net, layer: int) -> Array:
    """Return matrix `layer` of an array laid out like the weights."""
    return flat[net.starts[layer] : net.starts[layer + 1]].reshape(
        net.rows[layer], net.sizes[layer + 1]
    )


@jit
def examples(size: int | None) -> int:
    """Return the number of examples of a batch; None is 1, known at compile time."""
    if size is None:
        return 1
    return size


def at_most(size: int | None, left: int) -> int | None:
    """Return the smaller number of examples; None, a batch of 1, stays None."""
    return None if size is None else min(size, left)


@extending.overload(at_most)  # type: ignore[untyped-decorator]
def _at_most(size, left):  # type: ignore[no-untyped-def]
    if isinstance(size, types.NoneType):
        return lambda size, left: None
    return lambda size, left: min(size, left)


# --- random numbers: functions of a key and counters, as in agents.seeding


@jit
def mix(x: Any) -> Any:
    """Return the splitmix64 output of state x."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@jit
def keyed(key: Any, a: int, b: int, c: int) -> Any:
    """Return the state whose positions are draws of (key, counters a, b, c)."""
    state = mix(key + np.uint64(a))
    state = mix(state + np.uint64(b))
    return mix(mix(state + np.uint64(c)))


@jit
def uniform(state: Any, position: int) -> float:
    """Return a float64 draw from [0, 1)."""
    return float(mix(state + np.uint64(position)) >> np.uint64(11)) * 2.0**-53


@jit
def normals(state: Any, out: Array, n: int) -> None:
    """Fill out[:n] (and one place more if n is odd) with float32 normal draws.

    Box-Muller on the halves of one word a pair; logarithm, sine and cosine are polynomials, exact
    to float32 rounding, so that the loop runs in vector registers. The largest draw is 6.8.
    """
    half = (n + 1) // 2
    for p in range(half):
        word = mix(state + np.uint64(p))
        low = np.int32(np.uint32(word))
        u = (np.float32(np.uint32(word >> np.uint64(32))) + np.float32(0.5)) * np.float32(2.0**-32)
        # log u = exponent * log 2 + log(1 + m) with 1 + m in [sqrt(1/2), sqrt(2))
        pattern = np.int32(np.float32(u).view(np.int32) - np.int32(0x3F3504F3))
        exponent = np.float32(np.int32(pattern >> np.int32(23)))
        mantissa = np.int32((pattern & np.int32(0x007FFFFF)) + np.int32(0x3F3504F3))
        m = mantissa.view(np.float32) - np.float32(1)
        q = np.float32(7.0376836292e-2)
        q = q * m + np.float32(-1.1514610310e-1)
        q = q * m + np.float32(1.1676998740e-1)
        q = q * m + np.float32(-1.2420140846e-1)
        q = q * m + np.float32(1.4249322787e-1)
        q = q * m + np.float32(-1.6668057665e-1)
        q = q * m + np.float32(2.0000714765e-1)
        q = q * m + np.float32(-2.4999993993e-1)
        q = q * m + np.float32(3.3333331174e-1)
        logarithm = m + m * m * (m * q - np.float32(0.5)) + exponent * np.float32(math.log(2))
        radius = math.sqrt(max(np.float32(0), np.float32(-2) * logarithm))
        # sine and cosine of pi * y by their Taylor series, y in [-1/2, 1/2); one bit is a sign
        y = np.float32(np.int32(low >> np.int32(1))) * np.float32(2.0**-31)
        square = y * y
        sine = np.float32(4.6630280577e-4)
        sine = sine * square + np.float32(-7.3704309457e-3)
        sine = sine * square + np.float32(8.2145886611e-2)
        sine = sine * square + np.float32(-5.9926452932e-1)
        sine = sine * square + np.float32(2.5501640399)
        sine = sine * square + np.float32(-5.1677127801)
        sine = (sine * square + np.float32(math.pi)) * y
        cosine = np.float32(1.9295743094e-3)
        cosine = cosine * square + np.float32(-2.5806891390e-2)
        cosine = cosine * square + np.float32(2.3533063036e-1)
        cosine = cosine * square + np.float32(-1.3352627689)
        cosine = cosine * square + np.float32(4.0587121264)
        cosine = cosine * square + np.float32(-4.9348022005)
        cosine = cosine * square + np.float32(1)
        out[p] = radius * sine
        out[half + p] = radius * (cosine if low & np.int32(1) else -cosine)


# --- one row of a matrix


@jit
def dot(V: Array, i: int, g: Array, layer: int, e: int) -> Any:
    """Return the product of row i of V and g[layer, e]."""
    total = V.dtype.type(0)
    for j in range(V.shape[1]):
        total += V[i, j] * g[layer, e, j]
    return total


@jit
def add(V: Array, i: int, g: Array, k: int, c: Any) -> None:
    """Add c times row k of g to row i of V."""
    for j in range(V.shape[1]):
        V[i, j] += c * g[k, j]


@jit
def dot_and_add(V: Array, i: int, g: Array, c: Any) -> Any:
    """Return the product of row i of V and row 0 of g, then add c times the latter to it."""
    total = V.dtype.type(0)
    for j in range(V.shape[1]):
        old = V[i, j]
        total += old * g[0, j]
        V[i, j] = old + c * g[0, j]
    return total


@jit
def add_measured(V: Array, i: int, g: Array, k: int, c: Any, change: Array, at: int) -> Any:
    """Add as `add`; return the row's new sum of |V| and add the changes of |V| to row `at`."""
    total = V.dtype.type(0)
    for j in range(V.shape[1]):
        old = V[i, j]
        new = old + c * g[k, j]
        V[i, j] = new
        total += abs(new)
        change[at, j] += abs(new) - abs(old)
    return total


@jit
def momentum_row(
    V: Array, i: int, g: Array, k: int, c: Any, decay: Any, rate: Any, momentum: Any, buffer: Array
) -> None:
    """Take a step of momentum along c times row k of g."""
    for j in range(V.shape[1]):
        moved = momentum * buffer[i, j] + (c * g[k, j] + decay * V[i, j])
        buffer[i, j] = moved
        V[i, j] -= rate * moved


@jit
def adam_row(
    V: Array,
    i: int,
    g: Array,
    k: int,
    c: Any,
    decay: Any,
    rate: Any,
    first: Any,
    second: Any,
    mean: Array,
    square: Array,
    means: Array,
    roots: Array,
    layer: int,
    unit: int,
) -> None:
    """Take a step of Adam; `means` and `roots` correct for the age of the younger of two units."""
    one, epsilon = V.dtype.type(1), V.dtype.type(ADAM_EPSILON)
    for j in range(V.shape[1]):
        gradient = c * g[k, j] + decay * V[i, j]
        m = mean[i, j] + (one - first) * (gradient - mean[i, j])
        s = second * square[i, j] + (one - second) * gradient * gradient
        mean[i, j] = m
        square[i, j] = s
        root = math.sqrt(s) * max(roots[layer, unit], roots[layer + 1, j])
        V[i, j] -= rate * m * max(means[layer, unit], means[layer + 1, j]) / (root + epsilon)


# --- forward


@jit
def load(data: Data, levels: Array | None, t: int, work: Work, e: int, places: int) -> None:
    """Show example t as example e of the batch."""
    shown, drawn, count = data.rows[t], data.which[t], 0
    for j in range(places):
        if levels is not None:
            value = levels[data.inputs[shown, data.columns[drawn, j]]]
        else:
            value = data.inputs[shown, data.columns[drawn, j]]
        work.values[0, e, j] = value
        work.listed[0, e, count] = j
        count += value != 0
    work.listed[0, e, count] = places
    work.lengths[0, e] = count + 1


@jit
def multiply(
    V: Array, values: Array, layer: int, e: int, index: Array, count: int, scale: Any
) -> None:
    """Compute the pre-activations of the layer above, over the rows that matter, four at a time."""
    places, z, k = V.shape[1], layer + 1, 0
    for j in range(places):
        values[z, e, j] = 0
    while k + 4 <= count:
        a, b, c, d = (
            index[layer, e, k],
            index[layer, e, k + 1],
            index[layer, e, k + 2],
            index[layer, e, k + 3],
        )
        xa, xb, xc, xd = (
            values[layer, e, a],
            values[layer, e, b],
            values[layer, e, c],
            values[layer, e, d],
        )
        for j in range(places):
            values[z, e, j] += xa * V[a, j] + xb * V[b, j] + xc * V[c, j] + xd * V[d, j]
        k += 4
    while k < count:
        i = index[layer, e, k]
        xi = values[layer, e, i]
        for j in range(places):
            values[z, e, j] += xi * V[i, j]
        k += 1
    for j in range(places):
        values[z, e, j] *= scale


@jit
def normalise(V: Array, scale: Any, work: Work, layer: int, e: int) -> None:
    """Normalise the pre-activations of a layer in place; V leads to it."""
    places, gain, kind = V.shape[1], V.shape[0] - 2, V.dtype.type
    mean, variance = kind(0), kind(0)
    for j in range(places):
        mean += work.values[layer, e, j]
    mean /= kind(places)
    for j in range(places):
        variance += (work.values[layer, e, j] - mean) ** 2
    spread = kind(1) / math.sqrt(variance / kind(places) + kind(NORM_EPSILON))
    for j in range(places):
        normal = (work.values[layer, e, j] - mean) * spread
        work.normal[layer, e, j] = normal
        work.values[layer, e, j] = scale * (V[gain, j] * normal + V[gain + 1, j])
    work.spread[layer, e] = spread


@jit
def normalise_online(
    V: Array, scale: Any, work: Work, online: Online, layer: int, e: int, moving: bool
) -> None:
    """Normalise as `normalise`, by running statistics, which move if `moving`."""
    places, gain, kind = V.shape[1], V.shape[0] - 2, V.dtype.type
    fade, share = kind(online.forward), kind(1 - online.forward)
    epsilon, square = kind(NORM_EPSILON), kind(0)
    for j in range(places):
        root = math.sqrt(online.variance[layer, j] + epsilon)
        centred = work.values[layer, e, j] - online.mean[layer, j]
        work.roots[layer, e, j] = root
        work.normal[layer, e, j] = centred / root
        if moving:
            variance = online.variance[layer, j] + share * centred * centred
            online.variance[layer, j] = fade * variance
            online.mean[layer, j] += share * centred
        scaled = scale * (V[gain, j] * work.normal[layer, e, j] + V[gain + 1, j])
        work.values[layer, e, j] = scaled
        square += scaled * scaled
    work.spread[layer, e] = kind(1) / math.sqrt(square / kind(places) + epsilon)
    for j in range(places):
        work.values[layer, e, j] *= work.spread[layer, e]


@jit
def activate(kind: int, h: Array, slope: Array, layer: int, e: int, places: int) -> None:
    """Apply the activation to h[layer, e] in place and set its derivative."""
    one, nil, leak = h.dtype.type(1), h.dtype.type(0), h.dtype.type(LEAK)
    for j in range(places):
        z = h[layer, e, j]
        if kind == RELU:
            slope[layer, e, j] = nil if z <= nil else one
            h[layer, e, j] = nil if z <= nil else z
        elif kind == LEAKY_RELU:
            slope[layer, e, j] = one if z > nil else leak
            h[layer, e, j] = z if z > nil else leak * z
        elif kind == TANH:
            h[layer, e, j] = math.tanh(z)
            slope[layer, e, j] = one - h[layer, e, j] * h[layer, e, j]
        elif kind == SIGMOID:
            h[layer, e, j] = one / (one + math.exp(-z))
            slope[layer, e, j] = h[layer, e, j] * (one - h[layer, e, j])
        elif kind == ELU:
            slope[layer, e, j] = one if z > nil else math.exp(z)
            h[layer, e, j] = z if z > nil else math.expm1(z)
        else:
            s = one / (one + math.exp(-z))
            slope[layer, e, j] = s * (one + z * (one - s))
            h[layer, e, j] = z * s


@jit
def drop(work: Work, layer: int, e: int, places: int, keep: float, draws: Array, at: int) -> None:
    """Zero the units of layer `layer` whose draw is not below `keep` and scale the others up."""
    for j in range(places):
        kept = work.values.dtype.type((draws[at + j] < np.float32(keep)) / keep)
        work.values[layer, e, j] *= kept
        work.slopes[layer, e, j] *= kept


@jit
def list_rows(h: Array, slope: Array, index: Array, layer: int, e: int, places: int) -> int:
    """List the units of a layer whose value or slope is not 0, and the bias; return how many."""
    count = 0
    for j in range(places):
        index[layer, e, count] = j
        count += h[layer, e, j] != 0 or slope[layer, e, j] != 0
    index[layer, e, count] = places
    return count + 1


@jit
def forward(
    net: Net,
    rule: Rule,
    work: Work,
    noise: Noise | None,
    online: Online | None,
    size: int | None,
    draws: Array | None,
    at: int,
    dropping: bool,
    moving: bool,
) -> int:
    """Compute the activations of the examples loaded; drop units by `draws` if `dropping`.

    Running statistics follow the examples if `moving`.

    Returns:
        The place in `draws`, which starts as `at`, after what was used.
    """
    layers, scale = len(net.rows), net.weights.dtype.type(net.scale[0])
    for layer in range(layers):
        V, places = matrix(net.weights, net, layer), net.sizes[layer + 1]
        if noise is not None:
            if noise.lazy:
                pay_what_is_read(net, rule, noise, work, layer, size)
        for e in range(examples(size)):
            multiply(V, work.values, layer, e, work.listed, work.lengths[layer, e], scale)
            if layer + 1 == layers:
                continue
            if online is not None:
                normalise_online(V, scale, work, online, layer + 1, e, moving)
            elif rule.norm:
                normalise(V, scale, work, layer + 1, e)
            activate(rule.activation, work.values, work.slopes, layer + 1, e, places)
            if draws is not None:
                if dropping:
                    drop(work, layer + 1, e, places, rule.keep, draws, at)
                    at += places
            work.lengths[layer + 1, e] = list_rows(
                work.values, work.slopes, work.listed, layer + 1, e, places
            )
    return at


# --- backward


@jit
def loss_gradient(
    rule: Rule, work: Work, layer: int, places: int, targets: Array, t: int, size: int | None
) -> None:
    """Set the derivative by the outputs of the mean loss of the examples from t on."""
    outputs, g, kind = work.values, work.errors, work.values.dtype.type
    share = kind(1) / kind(examples(size))
    for e in range(examples(size)):
        if rule.regression:
            g[layer, e, 0] = kind(2) * (outputs[layer, e, 0] - targets[t + e]) * share
            continue
        highest, total = outputs[layer, e, 0], kind(0)
        for j in range(places):
            highest = max(highest, outputs[layer, e, j])
        for j in range(places):
            g[layer, e, j] = math.exp(outputs[layer, e, j] - highest)
            total += g[layer, e, j]
        for j in range(places):
            g[layer, e, j] *= share / total
        g[layer, e, int(targets[t + e])] -= share


@jit
def normalise_backward(V: Array, scale: Any, work: Work, layer: int, size: int | None) -> None:
    """Turn a layer's errors from the derivative after normalisation to that before it.

    V leads to the layer. The derivatives by gains and offsets go to `work.row`.
    """
    places, gain, kind = V.shape[1], V.shape[0] - 2, V.dtype.type
    g, normal, row = work.errors, work.normal, work.row
    for j in range(places):
        row[1, j] = 0
        row[2, j] = 0
    for e in range(examples(size)):
        mean, product = kind(0), kind(0)
        for j in range(places):
            row[1, j] += g[layer, e, j] * normal[layer, e, j]
            row[2, j] += g[layer, e, j]
            g[layer, e, j] *= scale * V[gain, j]
            mean += g[layer, e, j]
            product += g[layer, e, j] * normal[layer, e, j]
        mean /= kind(places)
        product /= kind(places)
        for j in range(places):
            g[layer, e, j] = work.spread[layer, e] * (
                g[layer, e, j] - mean - normal[layer, e, j] * product
            )


@jit
def online_backward(
    V: Array, scale: Any, work: Work, online: Online, layer: int, size: int | None
) -> None:
    """Do as `normalise_backward`, by the controls, which move."""
    places, gain, kind = V.shape[1], V.shape[0] - 2, V.dtype.type
    g, normal, row, share = work.errors, work.normal, work.row, kind(1 - online.backward)
    for j in range(places):
        row[1, j] = 0
        row[2, j] = 0
    for e in range(examples(size)):
        spread, product = work.spread[layer, e], kind(0)
        factor = spread * scale
        for j in range(places):
            scaled = factor * (V[gain, j] * normal[layer, e, j] + V[gain + 1, j])
            product += g[layer, e, j] * scaled
        product /= kind(places)
        for j in range(places):
            scaled = factor * (V[gain, j] * normal[layer, e, j] + V[gain + 1, j])
            error = spread * (g[layer, e, j] - scaled * product)
            row[1, j] += error * normal[layer, e, j]
            row[2, j] += error
            error = error * scale * V[gain, j]
            error -= share * online.product[layer, j] * normal[layer, e, j]
            online.product[layer, j] += error * normal[layer, e, j]
            error = error / work.roots[layer, e, j] - share * online.shift[layer, j]
            online.shift[layer, j] += error
            g[layer, e, j] = error


@jit
def pull_back(V: Array, inputs: int, work: Work, layer: int, size: int | None, scale: Any) -> None:
    """Set the derivative of the loss by the pre-activations of layer `layer`, which V leads from.

    Nothing reads those of the inputs, layer 0, so that they are left out.
    """
    if layer == 0:
        return
    slopes, errors = work.slopes, work.errors
    for e in range(examples(size)):
        for j in range(inputs):
            errors[layer, e, j] = 0
        for k in range(work.lengths[layer, e] - 1):  # the last row is the biases
            i = work.listed[layer, e, k]
            errors[layer, e, i] = slopes[layer, e, i] * scale * dot(V, i, errors, layer + 1, e)


@jit
def sum_up(work: Work, sums: Array, layer: int, size: int) -> None:
    """Sum the gradient of matrix `layer` over a batch, by the rows of one example at a time."""
    above = work.errors[layer + 1]
    for e in range(size):
        for k in range(work.lengths[layer, e]):
            i = work.listed[layer, e, k]
            x = work.values[layer, e, i]
            if x != 0:
                add(sums, i, above, e, x)
                work.touched[i] = True


@jit
def gradient(work: Work, sums: Array, layer: int, i: int, size: int | None) -> Any:
    """Return c such that the gradient of row i of matrix `layer` is c times row 0 of `work.row`.

    For a batch of one that is what the loss's derivative is; else the sum is moved there.
    """
    one, nil = work.row.dtype.type(1), work.row.dtype.type(0)
    if size is None:
        return work.values[layer, 0, i]
    if not work.touched[i]:
        return nil
    work.touched[i] = False
    for j in range(sums.shape[1]):
        work.row[0, j] = sums[i, j]
        sums[i, j] = nil
    return one


@jit
def sgd(
    V: Array, inputs: int, work: Work, layer: int, scale: Any, rate: Any, units: Units | None
) -> None:
    """Pull the derivative back through V and take a step of plain SGD on the rows that matter.

    For a batch of one, whose derivative is in row 0 of `work.row`.
    """
    values, slopes, errors, row = work.values, work.slopes, work.errors, work.row
    for j in range(inputs):
        errors[layer, 0, j] = 0
    for k in range(work.lengths[layer, 0]):
        i = work.listed[layer, 0, k]
        x, slope = values[layer, 0, i], slopes[layer, 0, i]
        if units is None:
            if slope != 0:
                errors[layer, 0, i] = scale * slope * dot_and_add(V, i, row, -rate * x)
            else:
                add(V, i, row, 0, -rate * x)
            continue
        if slope != 0:
            errors[layer, 0, i] = scale * slope * dot(V, i, errors, layer + 1, 0)
        if x != 0 and i < inputs:  # biases are no part of the magnitudes
            units.row_sums[layer, i] = add_measured(V, i, row, 0, -rate * x, row, 3)
        elif x != 0:
            add(V, i, row, 0, -rate * x)
    if units is not None:
        for j in range(V.shape[1]):
            units.column_sums[layer + 1, j] += row[3, j]
            row[3, j] = 0


@jit
def sgd_batch(
    V: Array, inputs: int, work: Work, layer: int, size: int, scale: Any, rate: Any
) -> None:
    """Do as `sgd` for a batch, by the rows of one example at a time."""
    pull_back(V, inputs, work, layer, size, scale)
    above = work.errors[layer + 1]
    for e in range(size):
        for k in range(work.lengths[layer, e]):
            i = work.listed[layer, e, k]
            add(V, i, above, e, -rate * work.values[layer, e, i])


@jit
def stale(c: Any, last: Array, layer: int, i: int, step: int, patience: int, decay: Any) -> int:
    """Return how many steps a row missed before this one, or -1 if it is to miss this one too.

    After `patience` steps without a gradient what is left of a row's first moment is below the
    rounding of one step, so the row is left alone until there is a gradient again.
    """
    missed = max(step - 1 - last[layer, i] - patience, 0) if decay == 0 else 0
    if c != 0:
        last[layer, i] = step
        return missed
    return -1 if decay == 0 and step - last[layer, i] > patience else 0


@jit
def sgd_momentum(
    V: Array,
    inputs: int,
    work: Work,
    layer: int,
    size: int | None,
    rate: Any,
    decay: Any,
    part: Momentum,
    buffer: Array,
) -> None:
    """As `sgd`, with momentum, which moves every row."""
    one, factor, row = V.dtype.type(1), V.dtype.type(part.momentum), work.row
    last, step = part.last, part.steps[0]
    pull_back(V, inputs, work, layer, size, one)
    sums = work.sums[: V.size].reshape(V.shape)
    if size is not None:
        sum_up(work, sums, layer, size)
    for i in range(inputs + 1):
        c = gradient(work, sums, layer, i, size)
        missed = stale(c, last, layer, i, step, part.patience, decay)
        if missed < 0:
            continue
        if missed > 0:
            for j in range(V.shape[1]):
                buffer[i, j] = 0
        momentum_row(V, i, row, 0, c, decay, rate, factor, buffer)
    for k in range(inputs + 1, V.shape[0]):
        momentum_row(V, k, row, k - inputs, one, decay, rate, factor, buffer)


@jit
def adam(
    V: Array,
    inputs: int,
    work: Work,
    layer: int,
    size: int | None,
    rate: Any,
    decay: Any,
    part: Adam,
    mean: Array,
    square: Array,
) -> None:
    """As `sgd`, with Adam, which moves every row."""
    one, first, second = V.dtype.type(1), V.dtype.type(part.first), V.dtype.type(part.second)
    last, step, row = part.last, part.steps[0], work.row
    means, roots = part.correct_mean, part.correct_root
    pull_back(V, inputs, work, layer, size, one)
    sums = work.sums[: V.size].reshape(V.shape)
    if size is not None:
        sum_up(work, sums, layer, size)
    for i in range(inputs + 1):
        c = gradient(work, sums, layer, i, size)
        missed = stale(c, last, layer, i, step, part.patience, decay)
        if missed < 0:
            continue
        if missed > 0:
            decayed = V.dtype.type(part.second**missed)
            for j in range(V.shape[1]):
                mean[i, j] = 0
                square[i, j] *= decayed
        adam_row(V, i, row, 0, c, decay, rate, first, second, mean, square, means, roots, layer, i)
    for k in range(inputs + 1, V.shape[0]):
        g = k - inputs
        adam_row(
            V, k, row, g, one, decay, rate, first, second, mean, square, means, roots, layer, inputs
        )


@jit
def age_moments(part: Adam) -> None:
    """Age every unit by one step of Adam."""
    for layer in range(part.fade_first.shape[0]):
        for j in range(part.fade_first.shape[1]):
            part.fade_first[layer, j] *= part.first
            part.fade_second[layer, j] *= part.second
            part.correct_mean[layer, j] = 1 / (1 - part.fade_first[layer, j])
            part.correct_root[layer, j] = 1 / math.sqrt(1 - part.fade_second[layer, j])


@jit
def backward(
    net: Net,
    rule: Rule,
    work: Work,
    online: Online | None,
    momentum: Momentum | None,
    moments: Adam | None,
    units: Units | None,
    size: int | None,
) -> None:
    """Pull the derivative of the loss back through the network and take the optimizer's step."""
    kind, row = net.weights.dtype.type, work.row
    scale = kind(net.scale[0])
    net.scale[0] *= rule.shrink
    rate, decay = kind(rule.step_size / net.scale[0]), kind(rule.decay)
    if momentum is not None:
        momentum.steps[0] += 1
    if moments is not None:
        moments.steps[0] += 1
        age_moments(moments)
    for layer in range(len(net.rows) - 1, -1, -1):
        V, inputs = matrix(net.weights, net, layer), net.sizes[layer]
        if net.rows[layer] > inputs + 1:
            if online is not None:
                online_backward(V, scale, work, online, layer + 1, size)
            else:
                normalise_backward(V, scale, work, layer + 1, size)
        if size is None:
            for j in range(V.shape[1]):
                row[0, j] = work.errors[layer + 1, 0, j]
        if moments is not None:
            mean, square = matrix(moments.mean, net, layer), matrix(moments.square, net, layer)
            adam(V, inputs, work, layer, size, rate, decay, moments, mean, square)
        elif momentum is not None:
            buffer = matrix(momentum.buffer, net, layer)
            sgd_momentum(V, inputs, work, layer, size, rate, decay, momentum, buffer)
        else:
            if size is not None:
                sgd_batch(V, inputs, work, layer, size, scale, rate)
            else:
                sgd(V, inputs, work, layer, scale, rate, units)
            for k in range(inputs + 1, V.shape[0]):
                add(V, k, row, k - inputs, -rate)


# --- noise


@jit
def pay(V: Array, net: Net, rule: Rule, noise: Noise, draws: Array, layer: int, i: int) -> None:
    """Add to row i of a matrix the noise of the steps it is owed, each shrunk by those after it."""
    owed = net.clock[0] - noise.paid[layer, i]
    if owed <= 0:
        return
    noise.paid[layer, i] = net.clock[0]
    total = 1.0 * owed
    if owed > 1 and rule.shrink < 1:
        log = 2 * math.log(rule.shrink)
        total = math.expm1(owed * log) / math.expm1(log)
    normals(keyed(noise.key, NOISE + layer, i, net.clock[0]), draws, V.shape[1])
    c = V.dtype.type(noise.std * math.sqrt(total) / net.scale[0])
    for j in range(V.shape[1]):
        V[i, j] += c * V.dtype.type(draws[j])


@jit
def pay_what_is_read(
    net: Net, rule: Rule, noise: Noise, work: Work, layer: int, size: int | None
) -> None:
    """Pay the rows of matrix `layer` that matter to the present examples."""
    V = matrix(net.weights, net, layer)
    for e in range(examples(size)):
        for k in range(work.lengths[layer, e]):
            pay(V, net, rule, noise, work.draws, layer, work.listed[layer, e, k])
    for i in range(net.sizes[layer] + 1, net.rows[layer]):
        pay(V, net, rule, noise, work.draws, layer, i)


@entry
def pay_all(net: Net, rule: Rule, noise: Noise, work: Work) -> None:
    """Pay every row."""
    for layer in range(len(net.rows)):
        V = matrix(net.weights, net, layer)
        for i in range(net.rows[layer]):
            pay(V, net, rule, noise, work.draws, layer, i)


# --- continual backprop


@entry
def measure(net: Net, units: Units) -> None:
    """Take the sums of stored magnitudes anew."""
    for layer in range(len(net.rows)):
        V, columns = matrix(net.weights, net, layer), units.column_sums[layer + 1]
        for j in range(V.shape[1]):
            columns[j] = 0
        for i in range(net.sizes[layer]):
            total = V.dtype.type(0)
            for j in range(V.shape[1]):
                total += abs(V[i, j])
                columns[j] += abs(V[i, j])
            units.row_sums[layer, i] = total


@jit
def lerp(start: Any, end: Any, share: float) -> Any:
    """Return start + share * (end - start), which is `end` exactly if share is 1."""
    return start + share * (end - start) if share < 0.5 else end - (end - start) * (1 - share)


@jit
def judge(net: Net, work: Work, units: Units, layer: int, size: int | None) -> None:
    """Update age, mean activation and utility of hidden layer `layer`."""
    h, share = work.values[layer], 1 - units.decay
    scale_in = net.scale[0] / net.sizes[layer - 1]
    scale_out = net.scale[0] / net.sizes[layer + 1]
    for j in range(net.sizes[layer]):
        units.age[layer, j] += 1
        units.fade[layer, j] *= units.decay
        magnitude, centred = 0.0, 0.0
        for e in range(examples(size)):
            magnitude += abs(h[e, j])
        magnitude /= examples(size)
        if units.centred:
            mean = 0.0
            for e in range(examples(size)):
                mean += h[e, j]
            units.mean[layer, j] = lerp(units.mean[layer, j], mean / examples(size), share)
            centre = units.mean[layer, j] / (1 - units.fade[layer, j])
            for e in range(examples(size)):
                centred += abs(h[e, j] - centre)
            centred /= examples(size)
        incoming, outgoing = (
            scale_in * units.column_sums[layer, j],
            scale_out * units.row_sums[layer, j],
        )
        value = outgoing  # WEIGHT
        if units.kind == CONTRIBUTION:
            value = outgoing * magnitude
        elif units.kind == ADAPTABLE:
            value = outgoing * centred / incoming
        elif units.kind == ZERO_CONTRIBUTION:
            value = outgoing * centred
        elif units.kind == ADAPTATION:
            value = 1 / incoming
        elif units.kind == FEATURE_BY_INPUT:
            value = centred / incoming
        if units.kind != RANDOM:
            units.utility[layer, j] = lerp(units.utility[layer, j], value, share)


@jit
def due_now(units: Units, layer: int, mature: int, clock: int) -> int:
    """Return how many units of hidden layer `layer` are due; advance the quota."""
    if units.counter:
        units.eligible[layer - 1] += mature
        due = int(math.floor(units.eligible[layer - 1] * units.rate)) - units.replaced[layer - 1]
    else:
        expected = units.rate * mature
        chance = uniform(keyed(units.key, CHANCE, layer - 1, clock), 0)
        due = int(chance < expected) if expected < 1 else int(math.floor(expected))
    return due if units.code else min(due, 1)


@jit
def least(net: Net, units: Units, layer: int, clock: int) -> int:
    """Return the least useful unit that is not taken; immature ones come last."""
    best, lowest = -1, math.inf
    state = keyed(units.key, RANDOM_UTILITY, layer - 1, clock)
    for j in range(net.sizes[layer]):
        if units.taken[layer, j]:
            continue
        score = math.inf
        if units.age[layer, j] > units.maturity:
            score = uniform(state, j) if units.kind == RANDOM else units.utility[layer, j]
            if units.code and units.kind != RANDOM:
                score /= 1 - units.fade[layer, j]
        if best < 0 or score < lowest:
            best, lowest = j, score
    return best


@jit
def replace(
    net: Net,
    online: Online | None,
    momentum: Momentum | None,
    moments: Adam | None,
    units: Units,
    layer: int,
    clock: int,
) -> None:
    """Replace the units of hidden layer `layer` that are due."""
    places, mature = net.sizes[layer], 0
    for j in range(places):
        mature += units.age[layer, j] > units.maturity
        units.taken[layer, j] = False
    due = due_now(units, layer, mature, clock)
    fresh = keyed(units.key, FRESH, layer - 1, clock)
    for place in range(min(due, min(places, int(units.rate * places) + 1))):
        r = least(net, units, layer, clock)
        units.taken[layer, r] = True
        if units.age[layer, r] <= units.maturity:
            continue
        reset_incoming(net, units, layer, r, fresh, place)
        if online is not None:
            online.mean[layer, r] = 0
            online.variance[layer, r] = 1
            online.product[layer, r] = 0
            online.shift[layer, r] = 0
        reset_outgoing(net, units, layer, r)
        if momentum is not None:
            clear(net, momentum.buffer, layer, r)
        if moments is not None:
            clear(net, moments.mean, layer, r)
            clear(net, moments.square, layer, r)
            if moments.elementwise:
                moments.fade_first[layer, r] = 1
                moments.fade_second[layer, r] = 1
        units.age[layer, r] = 0
        units.fade[layer, r] = 1
        units.utility[layer, r] = 0
        units.mean[layer, r] = 0
        units.replaced[layer - 1] += 1


@jit
def reset_incoming(net: Net, units: Units, layer: int, r: int, fresh: Any, place: int) -> None:
    """Draw the incoming weights of unit r of hidden layer `layer` anew."""
    V, fan_in = matrix(net.weights, net, layer - 1), net.sizes[layer - 1]
    sums, columns = units.row_sums[layer - 1], units.column_sums[layer]
    columns[r] = 0
    for i in range(fan_in):
        draw = (2 * uniform(fresh, place * fan_in + i) - 1) * units.bounds[layer - 1] / net.scale[0]
        sums[i] -= abs(V[i, r])
        V[i, r] = draw
        sums[i] += abs(V[i, r])
        columns[r] += abs(V[i, r])
    V[fan_in, r] = 0
    if V.shape[0] > fan_in + 1:
        V[fan_in + 1, r] = 1 / net.scale[0]
        V[fan_in + 2, r] = 0


@jit
def reset_outgoing(net: Net, units: Units, layer: int, r: int) -> None:
    """Zero the outgoing weights of unit r of hidden layer `layer`."""
    V, bias, columns = (
        matrix(net.weights, net, layer),
        net.sizes[layer],
        units.column_sums[layer + 1],
    )
    centre = units.mean[layer, r] / (1 - units.fade[layer, r])
    for j in range(V.shape[1]):
        if units.transfer:
            V[bias, j] += V[r, j] * centre
        columns[j] -= abs(V[r, j])
        V[r, j] = 0
    units.row_sums[layer, r] = 0


@jit
def clear(net: Net, flat: Array, layer: int, r: int) -> None:
    """Zero what an optimizer remembers of unit r of hidden layer `layer`."""
    incoming, outgoing = matrix(flat, net, layer - 1), matrix(flat, net, layer)
    for i in range(incoming.shape[0]):
        incoming[i, r] = 0
    for j in range(outgoing.shape[1]):
        outgoing[r, j] = 0


# --- the loop


@jit
def absorb(net: Net) -> None:
    """Multiply the stored weights by the scale."""
    scale = net.weights.dtype.type(net.scale[0])
    for p in range(len(net.weights)):
        net.weights[p] *= scale
    net.scale[0] = 1


@jit
def after_step(
    net: Net,
    rule: Rule,
    work: Work,
    online: Online | None,
    momentum: Momentum | None,
    moments: Adam | None,
    noise: Noise | None,
    units: Units | None,
    size: int | None,
) -> None:
    """Do what follows the optimizer's step: noise, and unit replacement."""
    clock = net.clock[0]
    net.clock[0] += 1
    absorbed = net.scale[0] < SMALLEST_SCALE
    if absorbed:
        absorb(net)
    if noise is not None:
        if noise.first and not noise.lazy:
            pay_all(net, rule, noise, work)
    if units is not None:
        others = momentum is not None or moments is not None or noise is not None
        if others or size is not None or absorbed or net.clock[0] % SUM_AGAIN == 0:
            measure(net, units)
        for layer in range(1, len(net.rows)):
            judge(net, work, units, layer, size)
        for layer in range(1, len(net.rows)):
            replace(net, online, momentum, moments, units, layer, clock)
    if noise is not None:
        if not noise.first and not noise.lazy:
            pay_all(net, rule, noise, work)


@jit
def say(net: Net, work: Work, size: int | None, out: Array, t: int) -> None:
    """Write the outputs of the present examples to out[t:]."""
    for e in range(examples(size)):
        for j in range(out.shape[1]):
            out[t + e, j] = work.values[len(net.rows), e, j]


@entry
def run(
    learning: bool,
    net: Net,
    rule: Rule,
    work: Work,
    online: Online | None,
    momentum: Momentum | None,
    moments: Adam | None,
    noise: Noise | None,
    units: Units | None,
    draws: Array | None,
    data: Data,
    levels: Array | None,
    targets: Array,
    batch: int | None,
    out: Array,
) -> None:
    """Update on the examples in batches; write the outputs before each update to `out`.

    Args:
        learning: whether to update; else only the outputs are written. Reading the weights pays
            lazy noise even then, so give copies.
        net: the network.
        rule: numbers.
        work: memory for batches of at least `batch`.
        online: part, or None; likewise the next four.
        momentum: see `online`.
        moments: see `online`.
        noise: see `online`.
        units: see `online`.
        draws: of dropout, uniform, one for each hidden unit of each example in the order of use.
        data: the examples.
        levels: value of each grey level if inputs are uint8, else None.
        targets: labels or values in the network's type, (n,).
        batch: examples of an update, of which the last may have fewer; None is 1.
        out: (n, outputs).
    """
    n, layers, inputs, outputs = len(targets), len(net.rows), net.sizes[0], net.sizes[-1]
    at = int(np.int64(0))  # not the constant 0, for which `forward` would be compiled once more
    # What is said is of the network as it is; dropout and moving statistics want a second look.
    again = draws is not None or (online is not None and batch is not None)
    turns = 2 if learning and again else 1
    for t in range(0, n, examples(batch)):
        size = at_most(batch, n - t)
        for e in range(examples(size)):
            load(data, levels, t + e, work, e, inputs)
        for turn in range(turns):  # one call, so that it is compiled once
            moving = learning and turn == turns - 1
            at = forward(net, rule, work, noise, online, size, draws, at, turn > 0, moving)
            if turn == 0:
                say(net, work, size, out, t)
        if not learning:
            continue
        loss_gradient(rule, work, layers, outputs, targets, t, size)
        backward(net, rule, work, online, momentum, moments, units, size)
        after_step(net, rule, work, online, momentum, moments, noise, units, size)

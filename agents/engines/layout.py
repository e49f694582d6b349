"""How the compiled loop sees a learner: named tuples of arrays that it reads and writes.

Layouts, for a network of L matrices and a batch of B examples:

- A *matrix* holds the incoming weights of one layer as (inputs + 1, outputs): a row an input, then
  the biases as a row whose input is always 1, and under a normalisation two rows more, the
  gains and offsets. An input that is exactly 0 thus costs nothing. All matrices lie in one array.
- Numbers of units lie in arrays (L + 1, ..., widest + 1), from the inputs (layer 0) to the outputs
  (layer L); the place after a layer's units is the input of the bias row, 1. Numbers of rows lie in
  arrays (L, most rows). Matrix l leads from layer l to layer l + 1.
- The network's weights are `scale` times what is stored, so that weight decay costs nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Net(NamedTuple):
    """Shapes and parameters.

    Attributes:
        sizes: units of each layer, inputs and outputs included, (L + 1,).
        rows: rows of each matrix, (L,).
        starts: where each matrix starts, (L + 1,).
        weights: all matrices.
        scale: what they are to be multiplied by, (1,), float64.
        clock: updates ever made, (1,), int64.
    """

    sizes: Array
    rows: Array
    starts: Array
    weights: Array
    scale: Array
    clock: Array


class Rule(NamedTuple):
    """Numbers that need no recompilation.

    Attributes:
        activation: RELU, ...
        regression: squared error instead of cross-entropy.
        norm: layer normalisation.
        step_size: of the optimizer.
        decay: weight decay in the gradient (momentum and Adam).
        shrink: what plain SGD multiplies the weights by in a step, 1 - step_size * decay.
        keep: probability of keeping a unit, under dropout.
    """

    activation: int
    regression: bool
    norm: bool
    step_size: float
    decay: float
    shrink: float
    keep: float


class Work(NamedTuple):
    """Memory of one update; nothing in it outlives the update.

    Attributes:
        values: activations, (L + 1, B, widest + 1).
        slopes: derivative of the activation, likewise.
        errors: derivative of the loss by pre-activations, likewise.
        normal: normalised pre-activations, likewise.
        roots: standard deviations of the units that normalised them online, likewise.
        spread: reciprocal of the standard deviation, or magnitude, of a whole layer, (L + 1, B).
        listed: the rows of matrix l that matter to each example, int64, like `values`.
        lengths: how many these are, (L + 1, B).
        row: (4, widest + 1): a gradient, those of gains and offsets, changes of |weight|.
        draws: normal draws, float32 (widest + 1,).
        sums: a matrix's gradient summed over a batch, as long as the largest; 0 between updates.
        touched: which of its rows are not 0, bool (most rows,).
    """

    values: Array
    slopes: Array
    errors: Array
    normal: Array
    roots: Array
    spread: Array
    listed: Array
    lengths: Array
    row: Array
    draws: Array
    sums: Array
    touched: Array


class Online(NamedTuple):
    """Online Normalization: running statistics and controls of units, see its module.

    Attributes:
        forward: decay of the statistics.
        backward: of the control.
        mean: running mean.
        variance: running variance.
        product: control of the product with the normalised value.
        shift: control of the mean.
    """

    forward: float
    backward: float
    mean: Array
    variance: Array
    product: Array
    shift: Array


class Momentum(NamedTuple):
    """SGD with momentum; `last` is the step of a row's latest gradient; `patience` see `stale`."""

    momentum: float
    patience: int
    steps: Array
    buffer: Array
    last: Array


class Adam(NamedTuple):
    """Adam.

    `fade_*` is beta to the power of a unit's age in steps; with `elementwise` a replaced unit's age
    starts anew. `correct_*` is what the moment, or the root of it, is to be multiplied by.
    """

    first: float
    second: float
    elementwise: bool
    patience: int
    steps: Array
    mean: Array
    square: Array
    last: Array
    fade_first: Array
    fade_second: Array
    correct_mean: Array
    correct_root: Array


class Noise(NamedTuple):
    """Gaussian noise on every parameter after every step.

    A row that nothing reads need not be told at once: the sum of the steps it is owed is one normal
    draw of known variance, paid when it is next read. `paid` is the clock up to which a row has its
    noise. With `lazy` off every row is paid after every step, before units are replaced if `first`.
    """

    std: float
    lazy: bool
    first: bool
    key: np.uint64
    paid: Array


class Units(NamedTuple):
    """Continual backprop.

    Attributes:
        kind: CONTRIBUTION, ...
        centred: whether mean activations are needed.
        decay: of the running averages.
        rate: replacement rate.
        maturity: age above which a unit is mature.
        counter: the quota accumulates; else it is a chance.
        transfer: move a replaced unit's mean contribution to the biases.
        code: the profile "code".
        key: of the draws.
        bounds: of fresh weights, one a hidden layer.
        age: updates since birth.
        fade: decay to the power of age.
        utility: running average.
        mean: running average of the activation.
        eligible: sum of mature units over updates, one a hidden layer.
        replaced: units replaced, one a hidden layer.
        row_sums: sum of stored |weight| of each row.
        column_sums: sum of stored |weight| of each unit's incoming weights.
        taken: scratch.
    """

    kind: int
    centred: bool
    decay: float
    rate: float
    maturity: int
    counter: bool
    transfer: bool
    code: bool
    key: np.uint64
    bounds: Array
    age: Array
    fade: Array
    utility: Array
    mean: Array
    eligible: Array
    replaced: Array
    row_sums: Array
    column_sums: Array
    taken: Array


class Data(NamedTuple):
    """Examples by index: example t is inputs[rows[t], columns[which[t]]]."""

    inputs: Array
    rows: Array
    columns: Array
    which: Array

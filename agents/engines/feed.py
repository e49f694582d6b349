"""Chunks of examples in device memory that never moves, read batch by batch by a device counter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.base import Array
from continual_envs.core import Chunk
from continual_envs.transforms import Identity, Pixels, Scale

CAPACITY = 8192  # examples of one member on the device at a time


@dataclass(frozen=True)
class Shown:
    """Examples as the device reads them: inputs[rows, columns[which]] / divisor.

    Attributes:
        inputs: stored values, (N, *d), of D numbers each; grey levels stay bytes.
        rows: (n,).
        columns: (T, d).
        which: (n,).
        divisor: what values are divided by.
        targets: (n,).
    """

    inputs: Array
    rows: Array
    columns: Array
    which: Array
    divisor: float
    targets: Array


def shown(chunk: Chunk, places: int) -> Shown:
    """Return a chunk by reference where its transforms are known, else its examples themselves."""
    inputs, kinds = chunk.inputs, {type(transform) for transform in chunk.transforms}
    if inputs.ndim == 2 and kinds == {Pixels} and inputs.dtype == np.uint8:
        pixels = [transform for transform in chunk.transforms if isinstance(transform, Pixels)]
        columns, divisors = [t.columns for t in pixels], {t.divisor for t in pixels}
        if len(divisors) == 1:
            table = np.stack(columns)
            return Shown(inputs, chunk.rows, table, chunk.which, divisors.pop(), chunk.targets)
    if kinds == {Scale} and inputs.dtype == np.uint8:
        return listed(inputs, chunk.targets, chunk.rows, 255.0)
    if kinds == {Identity} and inputs.dtype == np.float32 and inputs.shape[1:] == (places,):
        return listed(inputs, chunk.targets, chunk.rows)
    return listed(chunk.examples(), chunk.targets)


def listed(inputs: Array, targets: Array, rows: Array | None = None, divisor: float = 1.0) -> Shown:
    """Return examples that are rows of `inputs`, (N, *d); by default all of them in turn."""
    rows = np.arange(len(inputs)) if rows is None else rows
    columns = np.arange(math.prod(inputs.shape[1:]))[None]
    return Shown(inputs, rows, columns, 0 * rows, divisor, targets)


class Feed:
    """The examples of P members in memory that never moves, read by a counter that lies there too.

    Args:
        members: P.
        outputs: k, of the network.
        batch: examples an update.
        targets: their dtype.
        dtype: of the network.
        device: a torch device.

    Attributes:
        capacity: examples of a member that it holds at a time, a whole number of batches.
    """

    def __init__(
        self,
        members: int,
        outputs: int,
        batch: int,
        targets: torch.dtype,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.capacity = max(CAPACITY // batch, 1) * batch
        self._dtype, shape = dtype, (members, self.capacity)
        self._rows = torch.zeros(shape, dtype=torch.int64, device=device)
        self._which = torch.zeros_like(self._rows)
        self._targets = torch.zeros(shape, dtype=targets, device=device)
        self._outputs = torch.zeros((*shape, outputs), dtype=dtype, device=device)
        self._divisors = torch.ones((members, 1, 1), device=device)
        self._position = torch.zeros((), dtype=torch.int64, device=device)
        self._count = torch.arange(self.capacity, device=device)
        self._inputs = torch.zeros((0, 0), device=device)
        self._columns = torch.zeros((0, 0), dtype=torch.int64, device=device)
        self._held: list[Array] = []  # what `_inputs` is a copy of

    def load(self, members: Sequence[Shown]) -> bool:
        """Take the next examples of every member, equally many and at most `capacity`.

        Returns:
            Whether something had to move: a step that was captured before reads the old places.
        """
        n = len(members[0].rows)
        if n > self.capacity:
            raise ValueError(
                f"inputs: {n} examples at once is not allowed; at most {self.capacity}"
            )
        inputs, columns = self._inputs, self._columns
        starts = self._load_inputs([one.inputs for one in members])
        tables = self._load_columns([one.columns for one in members])
        for own, arrays in (
            (self._rows, [one.rows + start for one, start in zip(members, starts, strict=True)]),
            (self._which, [one.which + i * tables for i, one in enumerate(members)]),
            (self._targets, [one.targets for one in members]),
        ):
            own[:, :n].copy_(torch.from_numpy(np.stack(arrays)))
        divisors = torch.tensor([one.divisor for one in members])
        self._divisors.copy_(divisors[:, None, None])
        self._position.zero_()
        return self._inputs is not inputs or self._columns is not columns

    def next(self, n: int) -> tuple[Tensor, Tensor]:
        """Return inputs (P, n, d) and targets (P, n), without moving on."""
        here = self._position + self._count[:n]
        rows, which = self._rows.index_select(1, here), self._which.index_select(1, here)
        columns = self._columns.index_select(0, which.reshape(-1)).reshape(*which.shape, -1)
        places = rows[..., None] * self._inputs.shape[1] + columns
        values = torch.take(self._inputs, places) / self._divisors
        return values.to(self._dtype), self._targets.index_select(1, here)

    def answer(self, outputs: Tensor) -> None:
        """Store what was predicted, (P, n, k), and move on by n."""
        n = outputs.shape[1]
        self._outputs.index_copy_(1, self._position + self._count[:n], outputs)
        self._position += n

    def answers(self, n: int) -> Array:
        """Return the first n outputs of every member, (P, n, k)."""
        array: Array = self._outputs[:, :n].cpu().numpy().copy()
        return array

    def _load_inputs(self, arrays: Sequence[Array]) -> list[int]:
        """Bring what is not there yet; return the row where each member's inputs start."""
        distinct = list({id(array): array for array in arrays}.values())
        if [id(array) for array in distinct] != [id(array) for array in self._held]:
            joined, self._held = torch.from_numpy(np.concatenate(distinct)).flatten(1), distinct
            old, shape = self._inputs, joined.shape
            if old.dtype != joined.dtype or old.shape[1:] != shape[1:] or len(old) < len(joined):
                self._inputs = torch.zeros_like(joined, device=old.device)
            self._inputs[: len(joined)].copy_(joined)
        ends = np.cumsum([0, *map(len, distinct)])
        starts = {id(array): int(end) for array, end in zip(distinct, ends, strict=False)}
        return [starts[id(array)] for array in arrays]

    def _load_columns(self, tables: Sequence[Array]) -> int:
        """Bring the tables of columns, one below the other; return the rows of each, all alike."""
        members, width = len(tables), tables[0].shape[1]
        most = max(len(self._columns) // members, *map(len, tables))
        joined = np.concatenate([np.resize(table, (most, width)) for table in tables])
        if self._columns.shape != joined.shape:
            self._columns = torch.zeros(
                joined.shape, dtype=torch.int64, device=self._columns.device
            )
        self._columns.copy_(torch.from_numpy(joined))
        return most

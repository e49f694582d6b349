"""What a CUDA graph does, on the CPU: operations recorded once and repeated in the same memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only


def tensors(*nests: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(nests) if isinstance(leaf, torch.Tensor))


def as_they_are(nest: Any) -> Any:
    """The same memory in the present shapes, whatever becomes of the tensors' own."""
    return tree_map_only(torch.Tensor, torch.Tensor.detach, nest)


class Tape(TorchDispatchMode):
    """Records `work`, and does it again, operation by operation, whatever Python would do now.

    Unlike a graph it does the work while it records, so the first `replay` does nothing.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.replays = 0
        with self:
            work()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = as_they_are(args), as_they_are(kwargs or {})
        result = func(*args, **(kwargs or {}))
        if torch.Tag.inplace_view not in func.tags:  # else nothing is computed
            self.operations.append((func, *given, as_they_are(result)))
        return result

    def replay(self) -> None:
        self.replays += 1
        if self.replays == 1:
            return
        for func, args, kwargs, result in self.operations:
            again = func(*args, **kwargs)
            for old, new in zip(tensors(result), tensors(again), strict=True):
                if old.data_ptr() != new.data_ptr():  # else a view, or done in place
                    old.copy_(new)


class OneDevice(TorchDispatchMode):
    """Complains of an operation that another device has a part in."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        others = {t.device.type for t in tensors(args, kwargs, result)} - {self.device}
        if others:
            raise AssertionError(f"{func} works on {others}")
        return result

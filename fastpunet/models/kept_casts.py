"""Weights in lower precision, made by one kernel a pass in place of one for each weight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_LOWER = (torch.bfloat16, torch.float16)


class KeptCasts:
    """Autocast's copies of weights, which are kept from one pass to the next.

    The first pass notes which weights are cast. Every later one casts all of them together, before it begins, into the
    same memory; so changes of the weights take effect, however they were made.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._weights: dict[int, Tensor] = {}
        self._copies: dict[tuple[int, torch.dtype], Tensor] = {}

    @contextmanager
    def used(self) -> Iterator[None]:
        """A context for one pass."""
        if not self._weights:
            self._weights = {id(weight): weight for weight in self._model.parameters()}
        if self._copies:
            originals = [self._weights[place].detach() for place, _ in self._copies]
            torch._foreach_copy_(list(self._copies.values()), originals)
        with _Keeping(self._weights, self._copies):
            yield


class _Keeping(TorchDispatchMode):
    def __init__(self, weights: dict[int, Tensor], copies: dict[tuple[int, torch.dtype], Tensor]) -> None:
        super().__init__()
        self._weights, self._copies = weights, copies

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        is_cast = func is torch.ops.aten._to_copy.default and kwargs.keys() == {"dtype"}
        if not is_cast or kwargs["dtype"] not in _LOWER or id(args[0]) not in self._weights:
            return func(*args, **kwargs)
        key = id(args[0]), kwargs["dtype"]
        if key not in self._copies:
            self._copies[key] = func(*args, **kwargs)
        return self._copies[key]

"""Weights in lower precision, made by three kernels a pass in place of one for each weight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_LOWER = (torch.bfloat16, torch.float16)
_Key = tuple[int, torch.dtype]  # the id of a weight, and what it is cast to


class KeptCasts:
    """Autocast's copies of weights, which are kept from one pass to the next.

    The first pass notes which weights are cast. Every later one casts all of them together, before it begins, into the
    same memory; so changes of the weights take effect, however they were made. The copies have their channels last in
    memory, as convolutions on tensor cores want them, which otherwise would convert each of them.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._weights: dict[int, Tensor] = {}
        self._copies: dict[_Key, Tensor] = {}
        self._together: list[_Together] = []

    @contextmanager
    def used(self) -> Iterator[None]:
        """A context for one pass."""
        if not self._weights:
            self._weights = {id(weight): weight for weight in self._model.parameters()}
        if self._copies and not self._together:
            for dtype in {dtype for _, dtype in self._copies}:
                keys = [key for key in self._copies if key[1] is dtype]
                self._together.append(_Together([self._weights[place].detach() for place, _ in keys], dtype))
                self._copies.update(zip(keys, self._together[-1].copies, strict=True))
        for together in self._together:
            together.cast()
        with _Keeping(self._weights, self._copies):
            yield


class _Together:
    """Copies of weights in one piece of memory, in the order of the weights' own memory and then with channels last."""

    def __init__(self, weights: list[Tensor], dtype: torch.dtype) -> None:
        sizes = [weight.numel() for weight in weights]
        starts = [0, *accumulate(sizes)]
        own, self._flat = weights[0].new_empty(2, starts[-1], dtype=dtype)
        places = torch.arange(starts[-1], dtype=torch.int32, device=own.device)
        strides = [torch.empty_like(weight, device="meta").stride() for weight in weights]
        where = list(zip((weight.shape for weight in weights), strides, starts, strict=False))
        self._weights, self._own = weights, own
        # PyTorch casts many tensors by one kernel only if the copies have the strides of the tensors.
        self._cast = [own.as_strided(*one) for one in where]
        self._order = torch.cat([_channels_last(places.as_strided(*one)).flatten() for one in where])
        self.copies = [
            part.view(_channels_last(weight).shape).movedim(-1, 1) if _has_places(weight) else part.view(weight.shape)
            for part, weight in zip(self._flat.split(sizes), weights, strict=True)
        ]

    def cast(self) -> None:
        torch._foreach_copy_(self._cast, self._weights)
        torch.index_select(self._own, 0, self._order, out=self._flat)


def _channels_last(weight: Tensor) -> Tensor:
    return weight.movedim(1, -1) if _has_places(weight) else weight


def _has_places(weight: Tensor) -> bool:
    """Whether it is a convolution's, with kernels of more than one place: the order matters to no others."""
    return weight.ndim > 2 and weight[0, 0].numel() > 1


class _Keeping(TorchDispatchMode):
    def __init__(self, weights: dict[int, Tensor], copies: dict[_Key, Tensor]) -> None:
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

"""Checks of the values of tensors, for which the host waits at most once, when the GPU has got all its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

import torch
from torch import Tensor

Check: TypeAlias = Callable[[Sequence[float]], None]  # raises ValueError for numbers that are not as expected

_postponed: ContextVar[list[tuple[Tensor, Check]] | None] = ContextVar("postponed", default=None)


def check_values(values: Sequence[Tensor], check: Check) -> None:
    """Call `check` with the numbers in tensors without axes: now, or, on a GPU, at the end of `checking_last`."""
    postponed = _postponed.get()
    if postponed is None or _at_hand(values[0]):
        check([value.item() for value in values])
    else:
        postponed.append((torch.stack([value.double() for value in values]), check))


@contextmanager
def checking_last() -> Iterator[None]:
    """A context, or decorator, at whose end all values on a GPU are read at once and checked, in the order of calls.

    What is computed inside has to bear values that are not as expected.
    """
    postponed: list[tuple[Tensor, Check]] = []
    token = _postponed.set(postponed)
    try:
        yield
    finally:
        _postponed.reset(token)
    if postponed:
        numbers = iter(_read(torch.cat([values for values, _ in postponed])))
        for values, check in postponed:
            check([next(numbers) for _ in range(len(values))])


def _at_hand(value: Tensor) -> bool:
    return value.device.type == "cpu"


def _read(numbers: Tensor) -> list[float]:
    """The numbers of a tensor, for which the host waits."""
    return [float(number) for number in numbers.tolist()]

"""Where the host must not wait for the device: a CUDA graph holds launches alone, and no decisions of the host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.utils._python_dispatch import TorchDispatchMode

_may_wait: ContextVar[bool] = ContextVar("may_wait", default=True)

# The operators whose result the host has to know: a number, or how many elements there are.
_READ_BY_THE_HOST = frozenset(("_local_scalar_dense", "equal", "masked_select", "nonzero", "unique_dim", "_unique2"))


def may_wait() -> bool:
    """Whether the values of tensors may be looked at here, for example to name NaN."""
    return _may_wait.get()


@contextmanager
def without_waiting() -> Iterator[None]:
    """A context for code that is captured: `may_wait` is False, and torch.distributions do not look at parameters.

    The latter is a switch of the whole process, so this is for one thread at a time, and short.
    """
    token, validates = _may_wait.set(False), Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(validates)
        _may_wait.reset(token)


class HostWaitsError(Exception):
    """Something cannot be captured. No RuntimeError, which code that tries one way after another would catch."""


class RefuseWaits(TorchDispatchMode):
    """A context in which HostWaitsError is raised where the host would wait for that device, which may be a CPU.

    A capture that CUDA itself refuses would leave memory behind.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if (name in _READ_BY_THE_HOST or _selects_by_mask(name, args)) and args[0].device == self._device:
            raise HostWaitsError(f"{name} makes the host wait for the device")
        result = func(*args, **(kwargs or {}))
        if (
            name in ("_to_copy", "copy_")
            and len({result.device, *(v.device for v in args if isinstance(v, Tensor))}) > 1
        ):
            raise HostWaitsError(f"{name} between devices makes the host wait")
        return result


def _selects_by_mask(name: str, args: Any) -> bool:
    """Whether this is tensor[mask], whose length is not known before the mask has been counted."""
    masks = (torch.bool, torch.uint8)
    return name == "index" and any(index is not None and index.dtype in masks for index in args[1])

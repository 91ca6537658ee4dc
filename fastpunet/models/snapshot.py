"""What the computation of a model depends on besides the values of its weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn

_COMPARED = (  # kinds of attributes that a computation may depend on and that can be compared
    bool, int, float, complex, str, bytes, type(None), type, torch.dtype, torch.device, torch.Size,
    FunctionType, BuiltinFunctionType, MethodType, partial,
)  # fmt: skip
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_HELD = ("_modules", "_parameters", "_buffers", *_HOOKS)


class Snapshot:
    """A model's modules, hooks and attributes, and where its tensors are, as they were when the snapshot was taken.

    It keeps the memory of these tensors, so that nobody else is given it. Attributes that are tensors or other objects
    are not compared, because many models leave such results on themselves.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = list(model.modules())
        held = [vars(module)[name] for module in modules for name in _HELD]
        self._dicts = [*map(vars, modules), *held]
        self._held = [entries for entries in held if entries]
        self._attributes = [_attributes(module) for module in modules]
        self._tensors = [*model.parameters(), *model.buffers()]
        self._memory = [tensor.detach() for tensor in self._tensors]
        self._then = self._read()

    def holds(self) -> bool:
        """Whether nothing of this has changed."""
        try:
            return self._read() == self._then
        except KeyError:  # an attribute is gone
            return False

    def _read(self) -> tuple[list[Any], ...]:
        return (
            [read() for read in self._attributes],
            [len(entries) for entries in self._dicts],
            [tuple(map(id, entries.values())) for entries in self._held],
            [(tensor.data_ptr(), tensor.stride()) for tensor in self._tensors],
        )


def _attributes(module: nn.Module) -> Callable[[], Any]:
    """A function that gives the attributes to compare; the mode is none of them, for it is always evaluation."""
    names = [name for name, value in vars(module).items() if name != "training" and _compared(value)]
    return partial(itemgetter(*names), vars(module)) if names else tuple


def _compared(value: object) -> bool:
    return isinstance(value, _COMPARED) or (type(value) is tuple and all(map(_compared, value)))

"""All that a combiner's own forward pass computes with besides its arguments, to be compared by its values."""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fastpunet.models.affine import leaves
from fastpunet.models.snapshot import Snapshot

_PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size))
_SEQUENCES, _MAPPINGS = (list, tuple, deque), (dict, OrderedDict, defaultdict)
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


class State:
    """What a combiner computes with, as it was when this was made: weights, buffers, structure, modes and attributes.

    Weights on a CPU are compared by their values. Others are compared by PyTorch's counts of their changes, for which
    the host need not wait. Attributes of modules and of their classes are compared by value, inside containers too.
    Raises TypeError for attributes that cannot be compared, and for tensors on other devices outside the layers.
    """

    def __init__(self, combiner: nn.Module) -> None:
        self._modules = list(combiner.modules())
        self._snapshot = Snapshot(combiner)
        self._classes = [vars(kind) for kind in {kind: None for m in self._modules for kind in _classes(m)}]
        self._places = [*_places(combiner), *((held, name) for held in self._classes for name in _data(held))]
        self._weights = [*combiner.parameters(), *combiner.buffers()]
        inside = {id(weight) for leaf in leaves(combiner) for weight in (*leaf.parameters(), *leaf.buffers())}
        if not all(weight.is_cpu or id(weight) in inside for weight in self._weights):
            raise TypeError("a weight outside the layers, whose values only the device knows")
        self._memory = [memory_of(w) if w.is_cpu and w.is_contiguous() else None for w in self._weights]
        self._then = self._read()

    def holds(self) -> bool:
        """Whether nothing of this has changed."""
        try:
            return self._snapshot.holds() and self._read() == self._then
        except (KeyError, TypeError, RuntimeError):  # an attribute is gone, or another thread is changing it
            return False

    def _read(self) -> tuple[Any, ...]:
        return (
            [(type(module), module.training) for module in self._modules],
            [len(held) for held in self._classes],
            [frozen(held[name], self._modules) for held, name in self._places],
            [w._version for w in self._weights if not w.is_cpu],
            b"".join(
                [
                    (memory_of(w) if memory is None else memory).tobytes()
                    for w, memory in zip(self._weights, self._memory, strict=True)
                    if w.is_cpu
                ]
            ),
        )


def frozen(value: Any, modules: list[nn.Module]) -> Any:
    """What is equal for equal values, and stays as it is when the value is changed in place.

    modules: those that are compared elsewhere. Raises TypeError for values that cannot be compared, or RuntimeError.
    """
    kind = type(value)
    if kind in _PLAIN or isinstance(value, (type, Enum, ModuleType, np.generic)):
        return kind, value
    if kind in _SEQUENCES:
        return kind, [frozen(item, modules) for item in value]
    if kind in _MAPPINGS:
        return kind, [(frozen(key, modules), frozen(item, modules)) for key, item in value.items()]
    if kind in (set, frozenset) and all(type(item) in _PLAIN for item in value):
        return kind, frozenset(value)
    if kind in (Tensor, nn.Parameter) and value.is_cpu:
        return kind, value.dtype, value.shape, memory_of(value).tobytes()
    if kind is np.ndarray and not value.dtype.hasobject:
        return kind, value.dtype, value.shape, value.tobytes()
    if kind in (Namespace, SimpleNamespace) or (is_dataclass(value) and hasattr(value, "__dict__")):
        return kind, frozen(vars(value), modules)
    if kind.__module__.startswith("torch.nn.utils.") or any(value is module for module in modules):
        return kind, id(value)
    return kind, _frozen_call(value, modules)


def memory_of(values: Tensor) -> Any:
    """The memory of a contiguous tensor on a CPU, or of a copy; in words where they fit, for these compare faster."""
    plain = values.detach().flatten().view(torch.uint8).numpy()
    return plain.view(np.int64) if plain.nbytes % 8 == 0 else plain


def _frozen_call(value: Any, modules: list[nn.Module]) -> Any:
    """A function, a method or a partial function, with the values that it holds."""
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return value, frozen([cells, value.__defaults__, value.__kwdefaults__, vars(value)], modules)
    if isinstance(value, MethodType):
        return frozen(value.__func__, modules), frozen(value.__self__, modules)
    if isinstance(value, BuiltinFunctionType):
        return value, frozen(value.__self__, modules)
    if type(value) is partial:
        return frozen([value.func, value.args, value.keywords], modules)
    raise TypeError(f"an attribute of {type(value)}")


def _places(combiner: nn.Module) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Where attributes and hooks are whose values a `Snapshot` does not compare."""
    for module in combiner.modules():
        held = vars(module)
        for name, value in held.items():
            known = name in _OF_EVERY_MODULE or (module is combiner and name == "forward")
            if not known and not (type(value) in _PLAIN or _is_plain_tuple(value)):
                yield held, name
        if module is not combiner and module._forward_pre_hooks:
            yield held, "_forward_pre_hooks"


def _is_plain_tuple(value: Any) -> bool:
    return type(value) is tuple and all(type(item) in _PLAIN for item in value)


def _classes(module: nn.Module) -> Iterator[type]:
    """The classes of a module that others have written."""
    return (kind for kind in type(module).__mro__ if kind is not object and not kind.__module__.startswith("torch."))


def _data(held: Mapping[str, Any]) -> Iterator[str]:
    """The names of a class's attributes that are neither methods nor Python's own."""
    return (name for name, value in held.items() if not name.startswith("__") and not hasattr(value, "__get__"))

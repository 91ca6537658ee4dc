"""Values that are compared by what they hold, also after somebody has changed them in place."""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size))
_SEQUENCES, _MAPPINGS = (list, tuple, deque), (dict, OrderedDict, defaultdict)
OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def frozen(value: Any, modules: Sequence[nn.Module]) -> Any:
    """What is equal for equal values, and stays as it is when the value is changed in place.

    modules: those that are compared elsewhere. Raises TypeError for values that cannot be compared, or RuntimeError.
    """
    kind = type(value)
    if kind in PLAIN or isinstance(value, (type, Enum, ModuleType, np.generic)):
        return kind, value
    if kind in _SEQUENCES:
        return kind, [frozen(item, modules) for item in value]
    if kind in _MAPPINGS:
        return kind, [(frozen(key, modules), frozen(item, modules)) for key, item in value.items()]
    if kind in (set, frozenset) and all(type(item) in PLAIN for item in value):
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


def _frozen_call(value: Any, modules: Sequence[nn.Module]) -> Any:
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


def classes_of(module: nn.Module) -> Iterator[type]:
    """The classes of a module that others have written."""
    return (kind for kind in type(module).__mro__ if kind is not object and not kind.__module__.startswith("torch."))


def data_of(held: Mapping[str, Any]) -> Iterator[str]:
    """The names of a class's attributes that are neither methods nor Python's own."""
    return (name for name, value in held.items() if not name.startswith("__") and not hasattr(value, "__get__"))

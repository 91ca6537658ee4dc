"""Copies of a model that share its weights and nothing else, so that running a copy leaves nothing on the model."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from copy import copy
from functools import partial
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, TypeVar
from weakref import ProxyTypes

import torch
from torch import Tensor, nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)

_AS_IT_IS = frozenset(
    (
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        type,
        torch.dtype,
        torch.device,
        torch.Size,
        Tensor,
        nn.Parameter,
        *ProxyTypes,  # as all weak references are shared; a dead one cannot even be looked at
    )
)
_FORWARD_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)
_LEFT_ALONE = frozenset(  # attributes that a pass does not call, or that are copied elsewhere in this file
    (
        *_FORWARD_HOOKS,
        "_parameters",
        "_buffers",
        "_non_persistent_buffers_set",
        "_backward_hooks",
        "_backward_pre_hooks",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
    )
)


def evaluation_twin(model: AnyModule) -> AnyModule:
    """Return a module that computes what `model.eval()` would compute now, and shares only its weights with it.

    Every module inside is a new object in evaluation mode with the model's own parameters, copies of its buffers, and
    copies of its containers. Bound methods, partial functions, hooks, functions, and objects of any class that have
    modules among their attributes refer to their twins instead, and modules wrapped by torch.compile are taken out of
    their wrappers. A pass of the twin therefore leaves nothing on the model (neither attributes, nor running means,
    nor a mode), and may run while other threads train or use the model. Building a twin takes about as long as a few
    layers take to start.

    The twin shares objects that hold no modules, neither as attributes nor in containers there, with the model.
    Raises ValueError for a TorchScript module in training mode, which cannot be copied without its weights.

    >>> model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Dropout(0.5)).train()
    >>> twin = evaluation_twin(model)
    >>> twin.training, model.training, twin[0].weight is model[0].weight
    (False, True, True)
    """
    twin: AnyModule = _Twins().of(model)
    return twin


class _Twins:
    """Remembers the twins made so far, so that every object has one twin, also in circular references."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        """The twin of a module, or of a value that may refer to modules; other values unchanged."""
        if type(value) in _AS_IT_IS:
            return value
        known = self._made.get(id(value))
        if known is not None:
            return known
        if isinstance(value, nn.Module):
            return self._module(value)
        if isinstance(value, (dict, list, deque, set)):
            return self._container(value)
        if isinstance(value, tuple):
            return self._tuple(value)
        if isinstance(value, MethodType):
            return MethodType(self.of(value.__func__), self.of(value.__self__))
        if isinstance(value, partial):
            return type(value)(self.of(value.func), *map(self.of, value.args), **self._items(value.keywords))
        if isinstance(value, FunctionType):
            return self._function(value)
        return self._object(value)

    def _module(self, module: nn.Module) -> nn.Module:
        if "_orig_mod" in module._modules:  # torch.compile's wrapper
            return self._keep(module, self.of(module._modules["_orig_mod"]))
        if isinstance(module, torch.jit.ScriptModule):
            if module.training:
                raise ValueError("model: it holds a TorchScript module in training mode; call model.eval() first")
            return module
        twin = self._keep(module, object.__new__(type(module)))
        attributes = vars(twin)
        attributes.update(vars(module))
        attributes["_parameters"] = module._parameters.copy()
        attributes["_buffers"] = {name: _copy(buffer) for name, buffer in module._buffers.items()}
        for name in _FORWARD_HOOKS:
            attributes[name] = self.of(attributes[name]) if attributes[name] else OrderedDict()
        for name, value in vars(module).copy().items():
            if type(value) not in _AS_IT_IS and name not in _LEFT_ALONE:
                attributes[name] = self.of(value)
        attributes["training"] = False
        attributes["_compiled_call_impl"] = None
        return twin

    def _container(self, value: Any) -> Any:
        twin = self._keep(value, copy(value))
        if isinstance(twin, dict):
            for key, item in list(twin.items()):
                twin[key] = self.of(item)
        elif isinstance(twin, set):
            items = list(map(self.of, twin))
            twin.clear()
            twin.update(items)
        else:
            for i, item in enumerate(list(twin)):
                twin[i] = self.of(item)
        return twin

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if _AS_IT_IS.issuperset(map(type, value)):  # as most are, sizes and strides
            return value
        items = [self.of(item) for item in value]
        if all(item is own for item, own in zip(items, value, strict=True)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)

    def _function(self, function: FunctionType) -> FunctionType:
        """The function itself, or its twin if its closure, defaults or global names refer to something with a twin."""
        modules = {
            name: function.__globals__[name]
            for name in _global_names(function.__code__)
            if isinstance(function.__globals__.get(name), nn.Module)
        }
        if not (function.__closure__ or function.__defaults__ or function.__kwdefaults__ or modules):
            return function
        cells = tuple(CellType() for _ in function.__closure__ or ())
        names = {**function.__globals__, **self._items(modules)} if modules else function.__globals__
        twin = FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells)
        self._keep(function, twin)
        vars(twin).update(vars(function))
        changed = bool(modules)
        for cell, own in zip(cells, function.__closure__ or (), strict=True):
            try:
                content = own.cell_contents
            except ValueError:  # not assigned yet
                continue
            cell.cell_contents = self.of(content)
            changed |= cell.cell_contents is not content
        twin.__defaults__ = function.__defaults__ and self._tuple(function.__defaults__)
        twin.__kwdefaults__ = function.__kwdefaults__ and self._items(function.__kwdefaults__)
        changed |= twin.__defaults__ is not function.__defaults__ or bool(twin.__kwdefaults__)
        return twin if changed else self._keep(function, function)

    def _object(self, value: Any) -> Any:
        """The object itself unless it has modules among its attributes, or in containers there."""
        if isinstance(value, type) or not type(value).__dictoffset__:  # 0: no attributes, or a weak proxy's
            return value
        attributes = vars(value)
        if not any(map(_holds_modules, attributes.values())):
            return value
        twin = self._keep(value, copy(value))
        vars(twin).update(self._items(attributes))
        return twin

    def _items(self, named: dict[str, Any]) -> dict[str, Any]:
        return {name: self.of(value) for name, value in named.items()}

    def _keep(self, value: Any, twin: Any) -> Any:
        self._made[id(value)] = twin
        return twin


def _holds_modules(value: Any, depth: int = 3) -> bool:
    if type(value) in _AS_IT_IS:
        return False
    if isinstance(value, MethodType):
        value = value.__self__
    if isinstance(value, (dict, list, tuple, set, deque)) and depth:
        return any(_holds_modules(item, depth - 1) for item in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, nn.Module)


def _global_names(code: CodeType) -> Iterator[str]:
    """Names that a function and the functions inside it may look up among their globals."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


def _copy(buffer: Tensor | None) -> Tensor | None:
    return None if buffer is None else buffer.detach().clone()

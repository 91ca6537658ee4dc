"""What can be seen of a module besides the values of its weights: its layers, their code, and their settings."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from torch import nn

from fastpunet.models.comparable import OF_EVERY_MODULE, classes_of, data_of, frozen

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def structure_of(module: nn.Module) -> Any:
    """A value that differs as soon as anything but the weights of a module or its submodules is seen to change.

    It covers which modules there are, the code and the data of their classes outside of PyTorch, their attributes, and
    the shapes and dtypes of parameters and buffers. It does not cover global variables. The result is None where that
    cannot be compared: where a module has hooks, or an attribute of an unknown type.
    """
    modules = list(module.modules())
    try:
        return [(name, _settings(part, modules)) for name, part in module.named_modules()]
    except (TypeError, RuntimeError):  # an attribute that cannot be compared
        return None


def _settings(module: nn.Module, modules: list[nn.Module]) -> Any:
    if any(getattr(module, name) for name in _HOOKS):
        raise TypeError("hooks, which may do anything")
    tensors = (*module._parameters.items(), *module._buffers.items())
    return (
        type(module),
        [_class(kind, modules) for kind in classes_of(module)],
        [(name, frozen(value, modules)) for name, value in vars(module).items() if name not in OF_EVERY_MODULE],
        [(name, None if value is None else (value.shape, value.dtype, value.device)) for name, value in tensors],
    )


def _class(kind: type, modules: list[nn.Module]) -> Any:
    held = vars(kind)
    code = [value.__code__ for value in held.values() if isinstance(value, FunctionType)]
    return code, [(name, frozen(held[name], modules)) for name in data_of(held)]

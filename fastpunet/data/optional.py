"""Packages that only some parts need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def require(module: str, task: str, extra: str = "data") -> Any:
    """Import a module that an extra brings; ModuleNotFoundError says what it was needed for and how to get it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{task} needs {error.name}; install it with pip install 'fastpunet[{extra}]'", name=error.name
        ) from None

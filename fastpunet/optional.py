"""Packages that only some parts need, and the extra that brings each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def needed_for(task: str, extra: str = "data") -> Iterator[None]:
    """Around imports of what an extra brings: ModuleNotFoundError says what it was needed for and how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{task} needs {error.name}; install it with pip install 'fastpunet[{extra}]'", name=error.name
        ) from None


def require(module: str, task: str, extra: str = "data") -> Any:
    """Import a module that an extra brings."""
    with needed_for(task, extra):
        return import_module(module)

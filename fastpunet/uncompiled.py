"""Keeps functions out of torch.compile without loading the compiler."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def not_compiled(function: Callable[P, R], *, what_it_calls: bool = False) -> Callable[P, R]:
    """Keep torch.compile out of a function, like torch.compiler.disable, whose import would load the compiler.

    what_it_calls: whether to compile the functions that it calls, each on its own.
    """

    @wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **options)
        uncompiled: Callable[P, R] = torch.compiler.disable(function, recursive=not what_it_calls)
        return uncompiled(*args, **options)

    return call

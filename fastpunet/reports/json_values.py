"""Brings results into the form that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def json_values(value: Any) -> Any:
    """The value with text for keys, lists for arrays and tuples, and None for NaN, which JSON does not have.

    >>> json_values({1: np.array([0.5, np.nan])})
    {'1': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): json_values(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [json_values(entry) for entry in value]
    return None if isinstance(value, float) and np.isnan(value) else value

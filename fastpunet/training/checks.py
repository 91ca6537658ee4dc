"""Checks of a config's values; the messages name the key."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any


def check_count(name: str, value: object, least: int = 1) -> None:
    if type(value) is not int or value < least:
        raise ValueError(f"{name}: got {value!r}, expected a whole number of at least {least}")


def check_positive(name: str, value: object) -> None:
    if not is_number(value) or value <= 0:  # type: ignore[operator]
        raise ValueError(f"{name}: got {value!r}, expected a positive number")


def check_at_least_zero(name: str, value: object) -> None:
    if not is_number(value) or value < 0:  # type: ignore[operator]
        raise ValueError(f"{name}: got {value!r}, expected a number of at least 0")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: got {value!r}, expected one of {', '.join(choices)}")


def check_switch(name: str, value: object) -> None:
    if type(value) is not bool:
        raise ValueError(f"{name}: got {value!r}, expected true or false")


def check_range(name: str, value: object) -> None:
    """[low, high] of positive numbers."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(is_number, value)):
        raise ValueError(f"{name}: got {value!r}, expected [low, high]")
    if not 0 < value[0] <= value[1]:
        raise ValueError(f"{name}: got {value!r}, expected 0 < low <= high")


def lists_to_tuples(config: Any) -> None:
    """Of a frozen dataclass: so that what was read from YAML equals what was written."""
    for entry in fields(config):
        if isinstance(value := getattr(config, entry.name), list):
            object.__setattr__(config, entry.name, tuple(value))


def is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]

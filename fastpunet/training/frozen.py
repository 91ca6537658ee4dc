"""Helps frozen configs that are read from YAML."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def lists_to_tuples(config: Any) -> None:
    """Convert the lists of a frozen dataclass to tuples, so that a config read from YAML equals the one written."""
    for entry in fields(config):
        if isinstance(value := getattr(config, entry.name), list):
            object.__setattr__(config, entry.name, tuple(value))

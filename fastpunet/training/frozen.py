"""Frozen configs read from YAML."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def lists_to_tuples(config: Any) -> None:
    """Of a frozen dataclass: so that what was read from YAML equals what was written."""
    for entry in fields(config):
        if isinstance(value := getattr(config, entry.name), list):
            object.__setattr__(config, entry.name, tuple(value))

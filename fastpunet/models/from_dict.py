"""Reads an entry of a checkpoint's header, which anybody may have written, as one of our dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def from_dict(what: str, kind: type[Any], values: object) -> Any:
    """The dataclass `kind` with these values. Raises ValueError, naming `what`, for others than its fields."""
    known = {entry.name for entry in fields(kind)}
    if not isinstance(values, Mapping) or not set(values) <= known:
        raise ValueError(f"{what}: got {values!r:.80}, expected {', '.join(sorted(known))}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{what}: {error}") from None

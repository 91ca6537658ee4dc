"""YAML files of keys and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastpunet.optional import needed_for

with needed_for("reading YAML"):
    import yaml
    from jsonargparse import get_loader

_DEPTH = 20  # levels of nesting; a training config has three
_SIZE = 1 << 20  # bytes


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file; numbers such as 1e-4 are numbers, which YAML 1.1 takes for text.

    Raises ValueError, of one line, for a file that is not YAML, is larger than 1 MB, nests more than 20 levels, refers
    to parts of itself by aliases, or holds anything but keys and values.
    """
    try:
        if path.stat().st_size > _SIZE:
            raise ValueError(f"it has {path.stat().st_size} bytes, expected at most {_SIZE}")
        text = path.read_text(encoding="utf-8")
        _check_structure(text)
        values = get_loader("yaml")(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"config: {path} is not a YAML file of keys and values: {_reason(error)}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ValueError(f"config: {path} holds {type(values).__name__}, expected keys and values, such as steps: 5000")
    return values


def _reason(error: Exception) -> str:
    """What is wrong, on one line, and where."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return " ".join(str(error).split())


def _check_structure(text: str) -> None:
    """Refuse what would exhaust the stack (deep nesting) or the memory (aliases of aliases) when it is put together."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"it uses the alias *{event.anchor}; write out its value")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise ValueError(f"it is nested more than {_DEPTH} levels deep")

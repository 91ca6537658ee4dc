"""Finds the checkpoints for a report, and groups those that belong to one method."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from fastpunet.models.checkpoint import RUN_FILES, WEIGHTS_FILE, shipped

_SEEDED = re.compile(r"(?P<name>.+)-seed(?P<seed>\d+)")


def find_checkpoints(models: Iterable[str]) -> dict[str, dict[str, str]]:
    """Find checkpoints, by method and then by name.

    The folder of a training run is one checkpoint with the name of the folder: its model.safetensors. If that file is
    missing, `fastpunet.load` raises the error later.
    In other folders NAME-seed0.safetensors, NAME-seed1.safetensors, ... belong to one method. Anything else is a
    checkpoint with the name of its file, or the name of shipped weights. If two have the same name, the second is named
    by its path. NAME=PATH is one checkpoint, or stored hypotheses, of that name. Raises ValueError for a folder without
    any checkpoint, and for two things of one name.
    """
    found: dict[str, dict[str, str]] = {}
    for source in models:
        name, equals, named = source.partition("=")
        if equals and not Path(source).exists():
            if not name or not named or name in found:
                raise ValueError(f"models: got {source!r}, expected NAME=PATH with a NAME that no other model has")
            found[name] = {name: named}
            continue
        path = Path(source)
        if source not in shipped() and path.is_dir() and not _is_of_a_run(path):
            _add_folder(found, path)
            continue
        short = _short_name(path)
        name = source if short in found else short
        found[name] = {name: source}
    return found


def _is_of_a_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in RUN_FILES)


def _short_name(path: Path) -> str:
    if path.name == WEIGHTS_FILE:
        return path.absolute().parent.name
    return path.stem if path.is_file() else path.name


def introduction(models: Iterable[str]) -> str:
    """The text of the README.md files of the folders."""
    files = [Path(source) / "README.md" for source in models]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())


def _add_folder(found: dict[str, dict[str, str]], folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(
            f"models: {folder} holds no .safetensors file; expected a checkpoint, the folder of a training run, or a "
            "folder of checkpoints; stored hypotheses need a name, NAME=PATH"
        )
    for file in files:
        seeded = _SEEDED.fullmatch(file.stem)
        found.setdefault(seeded["name"] if seeded else file.stem, {})[file.stem] = str(file)

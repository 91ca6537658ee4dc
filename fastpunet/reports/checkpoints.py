"""Which checkpoints a report is about, and which of them are one method."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_SEEDED = re.compile(r"(?P<name>.+)-seed(?P<seed>\d+)")
_OF_A_RUN = "model.safetensors"  # what `fastpunet train` writes


def find_checkpoints(models: Iterable[str]) -> dict[str, dict[str, str]]:
    """Checkpoints by method, then by name.

    A folder with model.safetensors, as `fastpunet train` writes it, is that checkpoint, and named as the folder. In
    other folders NAME-seed0.safetensors, NAME-seed1.safetensors, ... are one method. Anything else is a checkpoint,
    named as its file, or the name of shipped weights. Two of one name keep their paths. Raises ValueError for a folder
    without any.
    """
    found: dict[str, dict[str, str]] = {}
    for source in models:
        folder = Path(source)
        if folder.is_dir() and not (folder / _OF_A_RUN).is_file():
            _add_folder(found, folder)
            continue
        short = folder.name if folder.is_dir() else folder.stem if folder.is_file() else source
        name = source if short in found else short
        found[name] = {name: str(folder / _OF_A_RUN) if folder.is_dir() else source}
    return found


def introduction(models: Iterable[str]) -> str:
    """What the folders' README.md say."""
    files = [Path(source) / "README.md" for source in models]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())


def _add_folder(found: dict[str, dict[str, str]], folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(
            f"models: {folder} holds no .safetensors file; expected a checkpoint, the folder of a training run, or a "
            "folder of checkpoints"
        )
    for file in files:
        seeded = _SEEDED.fullmatch(file.stem)
        found.setdefault(seeded["name"] if seeded else file.stem, {})[file.stem] = str(file)

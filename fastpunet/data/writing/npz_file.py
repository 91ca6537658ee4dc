"""Compressed NumPy bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpunet.data.inputs import Input
from fastpunet.data.npz import write_members
from fastpunet.data.writing.content import FloatMap, Hypotheses


def write_hypotheses(target: Path, hypotheses: Hypotheses) -> list[Path]:
    """TARGET.npz with `labels` and `titles`."""
    members = {"labels": hypotheses.labels, "titles": np.array(hypotheses.titles)}
    return _save(target, hypotheses.image, members)


def write_map(target: Path, content: FloatMap) -> list[Path]:
    """TARGET.npz with `values`."""
    return _save(target, content.image, {"values": content.values})


def _save(target: Path, image: Input, members: dict[str, NDArray[Any]]) -> list[Path]:
    """The members, and where the image lies."""
    if image.spacing is not None:
        members["spacing_mm"] = np.array(image.spacing)
    if image.grid is not None:
        members["affine"] = image.grid.affine
    path = target.with_name(f"{target.name}.npz")
    write_members(path, members)
    return [path]

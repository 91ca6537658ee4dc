"""TIFF files, with a page for each hypothesis or class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastpunet.data.writing.content import FloatMap, Hypotheses, check_flat
from fastpunet.files import replacing
from fastpunet.optional import require


def write_hypotheses(target: Path, hypotheses: Hypotheses) -> list[Path]:
    """TARGET.tif: one bit per pixel for two classes, else class indices of 8 bits."""
    check_flat(hypotheses.image, "tiff")
    labels = hypotheses.labels if hypotheses.num_classes > 2 else hypotheses.labels.astype(bool)
    return _save(target.with_name(f"{target.name}.tif"), labels)


def write_map(target: Path, content: FloatMap) -> list[Path]:
    """TARGET.tif in float32."""
    check_flat(content.image, "tiff")
    return _save(target.with_name(f"{target.name}.tif"), content.classes)


def _save(path: Path, arrays: Any) -> list[Path]:
    module = require("PIL.Image", "writing images")
    first, *rest = (module.fromarray(array) for array in arrays)
    with replacing(path) as temporary:
        first.save(temporary, save_all=True, append_images=rest, compression="tiff_adobe_deflate")
    return [path]

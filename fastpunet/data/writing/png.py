"""PNG files, one for each hypothesis."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from fastpunet.data.writing.content import FloatMap, Hypotheses, check_flat
from fastpunet.files import replacing
from fastpunet.optional import require

_DIGITS = 4


def write_hypotheses(target: Path, hypotheses: Hypotheses) -> list[Path]:
    """TARGET-0000.png, ...: one bit per pixel for two classes, else class indices of 8 bits."""
    check_flat(hypotheses.image, "png")
    module = require("PIL.Image", "writing images")
    _remove_earlier(target)
    paths = [target.with_name(f"{target.name}-{index:0{_DIGITS}}.png") for index in range(len(hypotheses.labels))]
    for path, labels in zip(paths, hypotheses.labels, strict=True):
        _save(path, module.fromarray(labels if hypotheses.num_classes > 2 else labels.astype(bool)))
    return paths


def write_map(target: Path, content: FloatMap) -> list[Path]:
    """TARGET.png, or TARGET-0.png and so on for classes: 16 bits, of which 65535 is `content.largest`."""
    check_flat(content.image, "png")
    module = require("PIL.Image", "writing images")
    several = len(content.classes) > 1
    paths = [target.with_name(f"{target.name}{f'-{k}' if several else ''}.png") for k in range(len(content.classes))]
    text = require("PIL.PngImagePlugin", "writing images").PngInfo()
    text.add_text("Description", f"value = pixel / 65535 * {content.largest:.9g}")
    for path, values in zip(paths, content.classes, strict=True):
        _save(path, module.fromarray(np.round(values / content.largest * 65535).astype(np.uint16)), pnginfo=text)
    return paths


def _remove_earlier(target: Path) -> None:
    """Remove the hypotheses of an earlier call, of which there may have been more."""
    name = re.compile(re.escape(target.name) + rf"-\d{{{_DIGITS},}}\.png")
    for path in target.parent.iterdir():
        if name.fullmatch(path.name):
            path.unlink()


def _save(path: Path, picture: Any, **options: Any) -> None:
    with replacing(path) as temporary:
        picture.save(temporary, **options)

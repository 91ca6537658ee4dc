"""The table of an archive: a row for each image, gathered from the images' own groups."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fastpunet.archive.layout import ITEMS, NODE, SCHEMA, TABLE, item_path, parse_about
from fastpunet.files import replacing
from fastpunet.optional import require

_ROWS = 1000  # of a row group, which are held in memory together, at most
_VALUES = 1 << 20  # of measures in a row group, at most, but for a row that has more
_QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}


def item_names(archive: Path) -> Iterator[str]:
    """The names of all images whose hypotheses are there, folder by folder."""
    for folder in sorted(os.scandir(archive / ITEMS), key=lambda entry: entry.name):
        if folder.is_dir():
            yield from sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())


def write_table(archive: Path, shared: Mapping[str, Any]) -> int:
    """Write the table, whole or not at all, and return how many rows it has. shared: the archive's own attributes."""
    pyarrow = require("pyarrow", "writing archives", "cluster")
    parquet = require("pyarrow.parquet", "writing archives", "cluster")
    schema = _schema(pyarrow, shared["num_classes"], shared["measures"])
    rows, count = (_row(archive, name) for name in item_names(archive)), 0
    values = shared["request"]["n"] * len(shared["measures"]) * max(1, shared["num_classes"])
    together = max(1, min(_ROWS, _VALUES // max(1, values)))
    with replacing(archive / TABLE) as temporary, parquet.ParquetWriter(temporary, schema, compression="zstd") as file:
        while some := list(islice(rows, together)):
            file.write_table(pyarrow.Table.from_pylist(some, schema))
            count += len(some)
    return count


def _schema(pyarrow: Any, num_classes: int, measures: list[str]) -> Any:
    number, text = pyarrow.float64(), pyarrow.string()
    by_class = number if num_classes <= 2 else pyarrow.list_(number)
    columns = {
        "name": text,
        "path": text,
        "id": pyarrow.int64(),
        "files": pyarrow.list_(text),
        "image_sha256": text,
        "size": pyarrow.list_(pyarrow.int64()),
        "spacing_mm": pyarrow.list_(number),
        "n": pyarrow.int64(),
        "seed": pyarrow.int64(),
        "sampler": text,
        "precision": text,
        "backend": text,
        "model_sha256": text,
        "version": text,
        "item_sha256": text,
        "warnings": pyarrow.list_(text),
        "unit": text,
        "presence": by_class,
    }
    for name in measures:
        columns |= {f"{name}_{ending}": by_class for ending in _QUANTILES}
        columns[name] = pyarrow.list_(by_class)
    return pyarrow.schema(list(columns.items()), metadata={"fastpunet.schema": str(SCHEMA)})


def row_of(name: str, document: bytes, node: Path) -> dict[str, Any]:
    """The row of an image, by the metadata of the group at `node`. Raises ValueError, KeyError or TypeError."""
    about = parse_about(document, node)
    row = {
        "name": name,
        **{key: about[key] for key in ("id", "files", "n", "seed", "sampler", "precision", "unit", "presence")},
        "path": item_path(name),
        "image_sha256": about["sha256"],
        "size": about["image"]["size"],
        "spacing_mm": about["image"]["spacing_mm"],
        "backend": about["computed"]["backend"],
        "model_sha256": about["model"]["sha256"],
        "version": about["computed"]["fastpunet"],
        "item_sha256": hashlib.sha256(document).hexdigest(),
        "warnings": about["warnings"],
    }
    for measure, values in about["measures"].items():
        row |= {f"{measure}_{ending}": _quantile(values, q) for ending, q in _QUANTILES.items()} | {measure: values}
    return row


def _row(archive: Path, name: str) -> dict[str, Any]:
    node = archive / item_path(name)
    return row_of(name, (node / NODE).read_bytes(), node)


def _quantile(values: list[Any], q: float) -> float | list[float | None] | None:
    """The quantile over hypotheses that have such a number; of several classes, a list. None where none has one."""
    numbers = np.array(values, float)  # None becomes NaN
    if numbers.ndim == 2:
        return [_quantile(column, q) for column in numbers.T.tolist()]  # type: ignore[misc]
    there = numbers[~np.isnan(numbers)]
    return float(np.quantile(there, q)) if len(there) else None

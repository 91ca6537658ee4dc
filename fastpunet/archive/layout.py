"""Where things lie in an archive: a group of a Zarr v3 store for each image, and two files that are no part of Zarr.

zarr.json             the archive's own group: model, request, number of classes
items/3f/NAME/        a group for each image, among 256 folders, so that none has too many entries
    zarr.json         what is known of the image and its hypotheses, and the SHA-256 of the files below
    masks/            int32 (n, K', words), as in `PackedMasks`, sharded along n
    mean/, entropy/   maps, if they were asked for
items.parquet         a row for each image, written last
log.jsonl             a line for each failure and warning, with the time
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

Entry = TypeVar("Entry")

SCHEMA = 1  # of all that is written here; readers refuse a later one
KEY = "fastpunet"  # under which our attributes lie among those of a Zarr node
NODE = "zarr.json"
ITEMS = "items"
MASKS, MEAN, ENTROPY = "masks", "mean", "entropy"
TABLE = "items.parquet"
LOG = "log.jsonl"
PARTIAL = ".partial"  # the folder of what is still being written


def item_path(name: str) -> str:
    """Where the hypotheses of an image lie, by its name alone.

    >>> item_path("case01")
    'items/c2/case01'
    """
    return f"{ITEMS}/{hashlib.sha256(name.encode()).hexdigest()[:2]}/{name}"


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether a Zarr v3 store lies at a path, such as an archive.

    >>> is_store(__file__)
    False
    """
    return (Path(path) / NODE).is_file()


def is_name(name: object) -> TypeGuard[str]:
    """Whether something in a table, or asked for, is a name of an image, and not perhaps of a place elsewhere.

    >>> is_name("case01"), is_name("../case01"), is_name(None)
    (True, False, False)
    """
    return isinstance(name, str) and Path(name).name == name and "\0" not in name


def group_document(about: Mapping[str, Any] | None = None) -> bytes:
    """The metadata of a group, with attributes of ours."""
    attributes = {} if about is None else {KEY: about}
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_about(node: Path) -> dict[str, Any]:
    """Our attributes of a group. Raises FileNotFoundError, and ValueError for what is none, or of a later version."""
    return parse_about((node / NODE).read_bytes(), node)


def parse_about(document: bytes, node: Path) -> dict[str, Any]:
    """Our attributes in the metadata of the group at `node`. Raises ValueError."""
    try:
        about = json.loads(document)["attributes"][KEY]
        schema = about["schema"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(
            f"archive: {node} was not written by fastpunet sample; name an archive that it wrote"
        ) from None
    if schema != SCHEMA:
        raise ValueError(
            f"archive: {node} has schema {schema}, expected {SCHEMA}; install the version of fastpunet that wrote it"
        )
    return dict(about)


def known(node: Path, about: Mapping[str, Any], key: str, kind: type[Entry]) -> Entry:
    """An entry of our attributes of the group at `node`. Raises ValueError if it is missing or of another type."""
    value = about.get(key)
    if not isinstance(value, kind):
        raise ValueError(f"archive: {node} is damaged: its {key} is {value!r:.80}, expected {kind.__name__}")
    return value

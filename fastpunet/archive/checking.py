"""Recomputes the hashes of an archive, and names what is missing, damaged, or not as its table says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fastpunet.archive.layout import NODE, SCHEMA, item_path, parse_about
from fastpunet.archive.samples import StoredSamples
from fastpunet.archive.table import item_names
from fastpunet.files import sha256


class Fault(NamedTuple):
    """What is wrong with an image's hypotheses, in a sentence."""

    name: str
    message: str


def check_items(samples: StoredSamples) -> Iterator[tuple[str, list[Fault]]]:
    """Yield the name of every image, of the table or in the folders, with its faults. Raises ValueError without one.

    Every file of an image is compared with the SHA-256 in its group's metadata, and that with the one in the table.
    """
    seen = set()
    for row in _rows(samples):
        seen.add(row["name"])
        yield row["name"], [Fault(row["name"], text) for text in _faults(samples, row)]
    for name in item_names(samples.path):
        if name not in seen:
            yield name, [Fault(name, "is not in the table; run fastpunet sample again with --skip-existing")]


def _rows(samples: StoredSamples) -> Iterator[dict[str, Any]]:
    for batch in samples.batches(["name", "item_sha256"]):
        yield from batch.to_pylist()


def _faults(samples: StoredSamples, row: dict[str, Any]) -> Iterator[str]:
    node = samples.path / item_path(row["name"])
    if not node.is_dir():
        yield "is in the table, and its folder is missing"
        return
    try:
        found = sha256(node / NODE)
    except OSError as error:
        yield f"{NODE} cannot be read ({error.strerror})"
        return
    if found != row["item_sha256"]:
        yield f"{NODE} is not the one that the table was made of"
        return
    about = parse_about((node / NODE).read_bytes(), node)
    if about["model"]["sha256"] != samples.about["model"]["sha256"]:
        yield "was drawn from another model"
    yield from file_faults(node, about["contents"])


def file_faults(node: Path, contents: dict[str, str]) -> Iterator[str]:
    files = {str(path.relative_to(node)) for path in node.rglob("*") if path.is_file()} - {NODE}
    for path in sorted(files | set(contents)):
        if path not in contents:
            yield f"{path} does not belong to it"
        elif path not in files:
            yield f"{path} is missing"
        else:
            try:
                if sha256(node / path) != contents[path]:
                    yield f"{path} has another SHA-256 than when it was written"
            except OSError as error:
                yield f"{path} cannot be read ({error.strerror})"


def faults_json(checked: int, faults: list[Fault]) -> str:
    """The result of a check for machines."""
    content = {"schema": SCHEMA, "images": checked, "faults": [fault._asdict() for fault in faults]}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

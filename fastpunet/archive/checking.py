"""Recomputes the hashes of an archive, and names what is missing, damaged, or not as its table says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fastpunet.archive.layout import NODE, SCHEMA, is_name, item_path, parse_about
from fastpunet.archive.samples import StoredSamples
from fastpunet.archive.table import item_names, row_of
from fastpunet.data.reading import one_line
from fastpunet.files import sha256

_ROWS = 50  # of the table, which are held in memory together
_ASKED = ("n", "seed", "sampler", "precision")  # of every image as of the archive


class Fault(NamedTuple):
    """What is wrong with an image's hypotheses, in a sentence."""

    name: str
    message: str


def check_items(samples: StoredSamples) -> Iterator[tuple[str, list[Fault]]]:
    """Yield the name of every image, of the table or in the folders, with its faults. Raises ValueError without one.

    Every file of an image is compared with the SHA-256 in its group's metadata, that with the one in the table, the
    rest of its row with the metadata, and these with the archive's own.
    """
    seen = set()
    for row in _rows(samples):
        name = row.get("name")
        if not is_name(name):
            yield repr(name), [Fault(repr(name), "is in the table, but is not a valid name of an image")]
        elif name in seen:
            yield name, [Fault(name, "is in the table twice")]
        else:
            seen.add(name)
            yield name, [Fault(name, text) for text in _faults(samples, row)]
    for name in item_names(samples.path):
        if name not in seen:
            yield name, [Fault(name, "is not in the table; run fastpunet sample again with --skip-existing")]


def _rows(samples: StoredSamples) -> Iterator[dict[str, Any]]:
    for batch in samples.batches(rows=_ROWS):
        yield from batch.to_pylist()


def _faults(samples: StoredSamples, row: dict[str, Any]) -> Iterator[str]:
    name = row["name"]
    node = samples.path / item_path(name)
    if not node.is_dir():
        yield "is in the table, but its folder is missing"
        return
    if node.resolve() != samples.path.resolve() / item_path(name):
        yield "its folder is a link, which may lead out of the archive"
        return
    try:
        document = (node / NODE).read_bytes()
    except OSError as error:
        yield f"{NODE} cannot be read ({error.strerror})"
        return
    if hashlib.sha256(document).hexdigest() != row.get("item_sha256"):
        yield f"{NODE} is not the one from which the table was made"
        return
    try:
        expected = row_of(name, document, node)
        about = parse_about(document, node)
        contents = dict(about["contents"])
    except Exception as error:  # damage may fail in any way
        yield f"{NODE} is damaged ({one_line(error)})"
        return
    if changed := [key for key in {**row, **expected} if row.get(key) != expected.get(key)]:
        yield f"{NODE} does not say what the table says: {', '.join(changed)}"
    if expected["model_sha256"] != samples.about["model"].get("sha256"):
        yield "was drawn from another model"
    for key in _ASKED:
        if about[key] != samples.about["request"].get(key):
            yield f"was drawn with {key} {about[key]}, not {samples.about['request'].get(key)} as the archive says"
    yield from file_faults(node, contents)


def file_faults(node: Path, contents: dict[str, str]) -> Iterator[str]:
    files = {str(path.relative_to(node)) for path in node.rglob("*") if path.is_file()} - {NODE}
    for path in sorted(files | set(contents)):
        if path not in contents:
            yield f"{path} does not belong to the archive"
        elif path not in files:
            yield f"{path} is missing"
        else:
            try:
                if sha256(node / path) != contents[path]:
                    yield f"{path} has changed since it was written (its SHA-256 differs)"
            except OSError as error:
                yield f"{path} cannot be read ({error.strerror})"


def faults_json(checked: int, faults: list[Fault]) -> str:
    """The result of a check for machines."""
    content = {"schema": SCHEMA, "images": checked, "faults": [fault._asdict() for fault in faults]}
    return json.dumps(content, indent=1)

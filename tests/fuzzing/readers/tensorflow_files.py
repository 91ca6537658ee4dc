"""Checkpoints of TensorFlow: whole indices, and entries in a table whose checksums are right."""

from pathlib import Path

from helpers.tensorflow_tables import table

from fastpunet import load
from fastpunet.models.tensorflow.table import entries
from fuzzing.target import Target

_RELEASE = Path(__file__).parents[2] / "data" / "tensorflow_release" / "model.ckpt-1.index"
_DATA = bytes(4096)


def _read(path):
    path.with_suffix(".data-00000-of-00001").write_bytes(_DATA)
    load(path)


def _indices():
    release = _RELEASE.read_bytes()
    return [release, table(dict(entries(release)), compress=True), table({b"": b"", b"a/w": b"\x08\x01"})]


def _packed(content):
    """A table whose entries are the input: a byte for the length of each key, a byte for that of its value."""
    found, at = {}, 0
    while at + 2 <= len(content):
        own, length = content[at], content[at + 1]
        key, value = content[at + 2 : at + 2 + own], content[at + 2 + own : at + 2 + own + length]
        found[key], at = value, at + 2 + own + length
    return table(found, compress=len(content) % 2 == 1)


def _entries():
    found = dict(entries(_RELEASE.read_bytes()))
    return [b"".join(bytes([len(key), len(value)]) + key + value for key, value in sorted(found.items()))]


def targets():
    yield Target("tensorflow-index", "x.index", _read, _indices)
    yield Target("tensorflow-entries", "x.index", _read, _entries, _packed)

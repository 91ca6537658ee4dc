"""Archives of hypotheses: the attributes of the archive and of an image, and the metadata and a shard of its masks."""

import json

import numpy as np

from fastpunet.archive import open_samples
from fastpunet.archive.arrays import ArrayFiles
from fastpunet.archive.layout import MASKS, NODE, SCHEMA, group_document, item_path
from fuzzing.target import Target

_GAP = b"\0"  # between the parts of an input, of which only the last one, the shard, may hold it
_ITEM = item_path("a")


def _read(path):
    archive, item, masks, shard = (path.read_bytes().split(_GAP, 3) + [b""] * 3)[:4]
    store = path.parent / "x.zarr"
    (store / _ITEM / MASKS).mkdir(parents=True, exist_ok=True)
    for place, content in ((NODE, archive), (f"{_ITEM}/{NODE}", item), (f"{_ITEM}/{MASKS}/{NODE}", masks)):
        (store / place).write_bytes(content)
    (store / _ITEM / MASKS / "c.0.0.0").write_bytes(shard)
    stored = open_samples(store)["a"]
    stored[: min(4, len(stored))]


def _seeds():
    files = ArrayFiles(MASKS, (6, 1, 3), "int32", ("hypothesis", "plane", "word"))
    shard = files.shard(0, np.arange(18, dtype=np.int32).reshape(6, 1, 3))[1]
    masks = json.dumps(json.loads(files.document()[1])).encode()
    shared = {"schema": SCHEMA, "num_classes": 1, "model": {}, "request": {}}
    about = {"schema": SCHEMA, "n": 6, "image": {"size": [9, 10]}, "name": "a"}
    return [_GAP.join((group_document(shared), group_document(about), masks, shard))]


def targets():
    yield Target("archive", "x.bin", _read, _seeds)

"""Zarr arrays of hypotheses: the metadata of the format's two versions, and a chunk."""

import json
import tempfile
from pathlib import Path

import numpy as np
import zarr

from fastpunet.data import Record
from fastpunet.scoring.stored import open_stored
from fuzzing.target import Target

_GAP = b"\0"  # between the metadata and the chunk of an input
_RECORD = Record(np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 4), np.uint8), id=0, patient="a")


def _read(path):
    metadata, _, chunk = path.read_bytes().partition(_GAP)
    store = path.parent / "x.zarr"
    files = dict.fromkeys(("0.0.0.0", "c/0/0/0/0"), chunk)
    for name, version in ((".zarray", b'"zarr_format": 2'), ("zarr.json", b'"zarr_format": 3')):
        (store / name).unlink(missing_ok=True)
        if version in metadata:
            files[name] = metadata
    (store / "c" / "0" / "0" / "0").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (store / name).write_bytes(content)
    open_stored(store, path.parent, num_classes=2).draw([_RECORD], 2)


def _seeds():
    found = []
    for version in (2, 3):
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "x.zarr"
            array = zarr.create_array(store, shape=(1, 3, 4, 4), chunks=(1, 3, 4, 4), dtype="u1", zarr_format=version)
            array[:] = 1
            metadata = json.dumps(json.loads((store / (".zarray" if version == 2 else "zarr.json")).read_bytes()))
            chunk = (store / ("0.0.0.0" if version == 2 else "c/0/0/0/0")).read_bytes()
            found.append(metadata.encode() + _GAP + chunk)
    return found


def targets():
    yield Target("zarr", "x.bin", _read, _seeds)

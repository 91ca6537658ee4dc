"""Checkpoints of torch.save: whole files, old and new, and the pickle inside a sound archive."""

import io
import os
import pickle
import zipfile

import torch

from benchmarks.port import PortModel
from fastpunet import load
from fuzzing.target import Target


class _Runs:
    def __reduce__(self):
        return os.system, ("true",)


def _contents():
    torch.manual_seed(0)
    state = PortModel(1, 1, (2, 2), 2).half().state_dict()
    yield state
    yield {"state_dict": {f"net.{name}": tensor for name, tensor in state.items()}, "epoch": 3, "betas": (0.9, 0.999)}
    yield {"a": torch.eye(3).to_sparse(), "b": torch.arange(4), "c": torch.ones(2, dtype=torch.complex64)}


def _saved(content, **options):
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _files():
    return [_saved(content, _use_new_zipfile_serialization=new) for content in _contents() for new in (True, False)] + [
        pickle.dumps(_Runs())
    ]


def _programs():
    for content in _contents():
        with zipfile.ZipFile(io.BytesIO(_saved(content))) as archive:
            yield next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
    yield pickle.dumps(_Runs(), protocol=2)


def _packed(program):
    """An archive with a pickle, and as many storages as the seeds have."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        records = {"data.pkl": program, "byteorder": b"little", "version": b"3\n"}
        for name, content in {**records, **{f"data/{k}": bytes(256) for k in range(40)}}.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def targets():
    yield Target("torch-file", "x.pt", load, _files)
    yield Target("torch-pickle", "x.pt", load, lambda: list(_programs()), _packed)

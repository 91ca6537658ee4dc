"""Checkpoints in safetensors: the header with its config, and the names and shapes of foreign state dicts."""

import json

import torch
from safetensors.torch import save as serialize

from benchmarks.port import PortModel
from fastpunet import load
from fastpunet.intensity import Intensity
from fastpunet.models import METHODS
from fastpunet.models.checkpoint_files import HEADER_KEY
from fastpunet.models.header_entries import describe
from fuzzing.target import Target

_GAP = b"\0"  # between header and tensors of an input; JSON has no such byte


def _files():
    torch.manual_seed(0)
    for name, method in METHODS.items():
        model = method(1, 1, channels=(2, 3))
        model.intensity, model.spacing, model.image_size = Intensity.range(0, 4095), (0.5, 0.5), (32, 32)
        header = {"method": name, "config": model.config, **describe(model)}
        yield serialize(
            {key: tensor.half() for key, tensor in model.state_dict().items()}, {HEADER_KEY: json.dumps(header)}
        )
    yield serialize({key: tensor.half() for key, tensor in PortModel(1, 1, (2, 3), 2).state_dict().items()})


def _seeds():
    return [part for file in _files() for part in (_unpacked(file), file)]


def _unpacked(file):
    length = int.from_bytes(file[:8], "little")
    return file[8 : 8 + length] + _GAP + file[8 + length :]


def _packed(data):
    """With the header's length in front, unless the input is a whole file."""
    if not data.startswith(b"{"):
        return data
    header, _, tensors = data.partition(_GAP)
    return len(header).to_bytes(8, "little") + header + tensors


def targets():
    yield Target("safetensors", "x.safetensors", load, _seeds, _packed)

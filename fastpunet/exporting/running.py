"""Runs exported files: by onnxruntime those of ONNX, by PyTorch those of torch.export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fastpunet.optional import require


def run(path: Path, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of a file that `export` wrote, by name, for float32 inputs by name, on the CPU."""
    if path.suffix == ".onnx":
        onnxruntime = require("onnxruntime", "running ONNX", "onnx")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        given = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        return {out.name: torch.from_numpy(array) for out, array in zip(session.get_outputs(), given, strict=True)}
    program = torch.export.load(path).module(check_guards=False)  # whose guards refuse sizes that it computes rightly
    with torch.no_grad():
        given = program(**inputs)
    return given if isinstance(given, dict) else {"logits": given}

"""Runs exported files: by onnxruntime those of ONNX, by PyTorch those of torch.export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from fastpunet.optional import require

Run = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]  # from float32 inputs by name to outputs by name


def opened(path: Path) -> Run:
    """What runs a file that `export` wrote, on the CPU."""
    if path.suffix == ".onnx":
        onnxruntime = require("onnxruntime", "running ONNX", "onnx")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]

        def run_session(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            arrays = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
            return dict(zip(names, map(torch.from_numpy, arrays), strict=True))

        return run_session
    program = torch.export.load(path).module(check_guards=False)  # whose guards refuse sizes that it computes rightly

    def run_program(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        with torch.no_grad():
            given = program(**inputs)
        return given if isinstance(given, dict) else {"logits": given}

    return run_program

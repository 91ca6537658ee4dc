"""Ways out of this library: a model's networks as files that ONNX runtimes and torch.export run."""

from fastpunet.exporting.writing import SUFFIXES, export

__all__ = ["SUFFIXES", "export"]

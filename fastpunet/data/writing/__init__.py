"""Writes hypotheses, and maps over them, so that viewers show them on top of their image.

To add a format, write a module beside `png`, `tiff`, `nifti_file`, `dicom_seg` and `npz_file`, and list it in
`writers.WRITERS`.
"""

from fastpunet.data.writing.writers import FORMATS, check_format, write_hypotheses, write_map

__all__ = ["FORMATS", "check_format", "write_hypotheses", "write_map"]

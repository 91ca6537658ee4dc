"""Reads DICOM files: one by one (`files`), and as the slices of a series (`stack`)."""

"""Reads DICOM files: one by one (`files`), as slices of a series (`stack`), or with all slices in one (`enhanced`)."""

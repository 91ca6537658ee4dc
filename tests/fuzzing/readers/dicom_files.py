"""DICOM files: slices of a series, slices of LIDC-IDRI, and volumes in one file."""

from helpers.mutated_files import as_inputs, raw, read_inputs, read_series

from fuzzing.target import Target, every

_read = every(read_inputs, read_series)


def _seeds():
    found = [content for name, _, content in as_inputs() if "DICOM" in name]
    return [*found, raw()[1][:2000]]


def targets():
    yield Target("dicom", "x.dcm", _read, _seeds)

"""NIfTI files, with and without gzip, as a data set, as images and as hypotheses."""

import gzip
from functools import partial

import nibabel
from helpers.mutated_files import read_folder, read_inputs, volume

from fastpunet.scoring.stored import files
from fuzzing.target import Target, every

_read = every(read_folder, read_inputs, partial(files.read, binary=False))


def _plain():
    return [volume(), volume(nibabel.Nifti2Image)]


def targets():
    yield Target("nifti", "x.nii", _read, _plain)
    yield Target("nifti-in-gzip", "x.nii.gz", _read, _plain, lambda data: gzip.compress(data, 1))
    yield Target("gzip", "x.nii.gz", _read, lambda: [gzip.compress(content) for content in _plain()])

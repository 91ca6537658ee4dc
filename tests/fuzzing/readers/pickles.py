"""Pickles of LIDC slices, which are read without pickle's own powers."""

import os
import pickle

import numpy as np
from helpers.mutated_files import pickled, read_all

from fastpunet.data import lidc
from fuzzing.target import Target


class _Runs:
    def __reduce__(self):
        return os.system, ("true",)


def _seeds():
    entry = {"image": np.zeros((2, 3)), "masks": [np.eye(2, 3, dtype=np.uint8)], "series_uid": "1.2"}
    small = [pickle.dumps({"a": entry}, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    return [pickled(), *small, pickle.dumps(_Runs()), pickle.dumps({"a": _Runs()}, 0)]


def targets():
    yield Target("pickle", "x.pickle", lambda path: read_all(lidc.read_pickle(path)), _seeds)

"""Bundles of arrays: whole npz files, and the first member of a sound one; as data, as images and as hypotheses."""

from functools import partial

from helpers.mutated_files import bundle, members, read_bundle, read_inputs

from fastpunet.scoring.stored import files
from fuzzing.target import Target, every

_read = every(read_bundle, read_inputs, partial(files.read, binary=True))


def _kinds():
    return [members(names) for names in ((), ("labels",))]


def _with_first_member(content):
    slices = members(())
    return bundle({**slices, "images": content, "hypotheses": content})


def targets():
    yield Target("npz", "x.npz", _read, lambda: [bundle(arrays) for arrays in _kinds()])
    yield Target(
        "npz-member",
        "x.npz",
        _read,
        lambda: [array for arrays in _kinds() for array in arrays.values()],
        _with_first_member,
    )

"""The kernels of intersection.py and overlap.py in the configurations that are worth compiling ahead of time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastpunet_kernels.triton import intersection, overlap
from fastpunet_kernels.triton.intersection import COUNTED, MULTIPLIED, MULTIPLIED_OPTIONS

_SIZES = dict.fromkeys(("count_a", "count_b", "planes", "words", "steps", "splits", "tiles", "more"), "i32")
_WORDS = _SIZES | {"parts_ptr": "*i32", "a_ptr": "*i32", "b_ptr": "*i32"}
_BYTES = _WORDS | {"a_ptr": "*i8", "b_ptr": "*i8"}
_EXPANDING = dict.fromkeys(("first", "words", "run", "count"), "i32") | {"out_ptr": "*i32", "words_ptr": "*i32"}
_COUNTS = _SIZES | dict.fromkeys(("parts_ptr", "area_a_ptr", "area_b_ptr"), "*i32") | {"empty": "fp32"}
_IOU = _COUNTS | {"out_ptr": "*fp32"}
_DISTANCES = _COUNTS | dict.fromkeys(("out_ptr", "weights_a_ptr", "weights_b_ptr"), "*fp64")


def overlap_variants() -> Iterator[tuple[str, Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """Name, kernel, types of the run-time arguments, compile-time arguments, options of the compiler."""
    tile = {"TILE": MULTIPLIED["TILE"], "BLOCK": overlap.BLOCK}
    itself: dict[str, Any] = {"SYMMETRIC": True}
    pair: dict[str, Any] = {"SYMMETRIC": False}
    no_areas = dict.fromkeys(("area_a_ptr", "area_b_ptr"))
    yield "intersection counted", intersection.count_kernel, _WORDS, pair | COUNTED, {}
    yield "intersection multiplied", intersection.multiply_kernel, _BYTES, itself | MULTIPLIED, MULTIPLIED_OPTIONS
    yield (
        "intersection expanded",
        intersection.expand_kernel,
        _EXPANDING,
        {"BLOCK": intersection.EXPANDED_BLOCK},
        {},
    )
    yield "intersection areas", overlap.area_kernel, _EXPANDING, {"AREA_BLOCK": overlap.AREA_BLOCK}, {}
    yield "intersection IoU", overlap.overlap_kernel, _IOU, itself | tile | no_areas | {"IOU": True}, {}
    yield "intersection distances", overlap.distance_kernel, _DISTANCES, pair | tile, {}

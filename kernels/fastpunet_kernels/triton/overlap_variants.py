"""The kernels of intersection.py and overlap.py in the configurations that are worth compiling ahead of time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastpunet_kernels.triton import intersection, overlap
from fastpunet_kernels.triton.intersection import COUNTED, MULTIPLIED, MULTIPLIED_OPTIONS

_COUNTED_IN = ("count_a", "count_b", "planes", "words", "steps", "splits", "tiles", "side", "symmetric", "more")
_SIZES = dict.fromkeys(_COUNTED_IN, "i32")
_WORDS = _SIZES | {"parts_ptr": "*i32", "a_ptr": "*i32", "b_ptr": "*i32"}
_BYTES = _WORDS | {"a_ptr": "*i8", "b_ptr": "*i8"}
_EXPANDING = dict.fromkeys(("first", "words", "run", "count"), "i32") | {"out_ptr": "*i32", "words_ptr": "*i32"}
_COUNTS = _SIZES | dict.fromkeys(("parts_ptr", "area_a_ptr", "area_b_ptr"), "*i32") | {"empty": "fp32"}
_IOU = _COUNTS | {"out_ptr": "*fp32"}
_DISTANCES = _COUNTS | dict.fromkeys(("out_ptr", "weights_a_ptr", "weights_b_ptr"), "*fp64")


def overlap_variants() -> Iterator[tuple[str, Any, dict[str, str], dict[str, Any], dict[str, int]]]:
    """Name, kernel, types of the run-time arguments, compile-time arguments, options of the compiler."""
    block = {"BLOCK": overlap.BLOCK}
    yield "intersection counted", intersection.count_kernel, _WORDS, COUNTED, {}
    yield "intersection multiplied", intersection.multiply_kernel, _BYTES, MULTIPLIED, MULTIPLIED_OPTIONS
    expanded = {"BLOCK": intersection.EXPANDED_BLOCK}
    yield "intersection expanded", intersection.expand_kernel, _EXPANDING, expanded, {}
    yield "intersection areas", overlap.area_kernel, _EXPANDING, {"AREA_BLOCK": overlap.AREA_BLOCK}, {}
    yield "intersection IoU", overlap.overlap_kernel, _IOU, block | {"IOU": True}, {}
    yield "intersection distances", overlap.distance_kernel, _DISTANCES, block, overlap.DISTANCE_OPTIONS

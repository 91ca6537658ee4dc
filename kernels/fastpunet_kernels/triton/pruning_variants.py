"""The configurations of the kernels of pruned decoding that aot.py compiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastpunet_kernels.triton import decode, pruning
from fastpunet_kernels.triton.tiling import by_rule

# (output, its type, precision, units of each layer, the classes last)
PROBLEMS = (
    ("bits", "*i32", "bf16", (32, 32, 32, 1)),
    ("bits", "*i32", "tf32", (32, 32, 32, 1)),
    ("labels", "*u8", "ieee", (32, 32, 32, 1)),
)


def pruning_variants(
    capability: int, amd: bool
) -> Iterator[tuple[str, Any, dict[str, Any], dict[str, Any], dict[str, int]]]:
    """Name, kernel, types of run-time arguments, compile-time arguments and options of the compiler."""
    for output, out_type, precision, widths in PROBLEMS:
        layers = len(widths) - 1
        types: dict[str, Any] = {"out_ptr": out_type, "base_ptr": "*fp32", "boxes_ptr": "*fp32", "offsets_ptr": "*fp32"}
        types |= dict.fromkeys(("open_ptr", "count_ptr", "order_ptr"), "*i32")
        types |= dict.fromkeys(("positive_ptrs", "negative_ptrs", "weight_ptrs", "bias_ptrs"), ("*fp32",) * layers)
        types |= dict.fromkeys(pruning.SIZES, "i32") | dict.fromkeys(pruning.STRIDES, "i64")
        problem = (widths, output, decode.products(precision, widths, capability), capability)
        tiling = by_rule(*problem[::2], capability)
        for name, kernel, constants, chosen in (
            ("bounds", pruning.bounds_kernel, pruning.bounds_constants, pruning.bounds_tiling(tiling)),
            ("open", pruning.open_kernel, pruning.open_constants, tiling),
        ):
            configuration = f"{name} {'-'.join(map(str, widths))} {precision} {output}"
            yield configuration, kernel, types, constants(*problem, chosen), decode.options(chosen, amd)

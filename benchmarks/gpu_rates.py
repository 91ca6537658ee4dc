# mypy: allow-untyped-defs
"""How many of the instructions that decoding is made of a multiprocessor issues, relative to float32 additions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl

# Each takes float32 values in registers to as many others, as many as `PACK` at a time, by one instruction.
INSTRUCTIONS = {
    "add float32": ("add.f32 $0, $1, 0f3F800000;", "=f,f", 1),
    "multiply-add float32": ("fma.rn.f32 $0, $1, 0f3F800000, 0f3F800000;", "=f,f", 1),
    "maximum float32": ("max.NaN.f32 $0, $1, 0f3F800000;", "=f,f", 1),
    "round two to bf16": ("cvt.rn.bf16x2.f32 $0, $1, 0f3F800000;", "=f,f", 1),
    "round to tf32": ("cvt.rn.relu.tf32.f32 $0, $1;", "=f,f", 1),
    "multiply-add two bf16": ("{.reg .b32 x; mov.b32 x, 0x3F803F80; fma.rn.relu.bf16x2 $0, $1, x, x;}", "=f,f", 1),
    "mma 16x8x16 bf16": (
        "{.reg .b32 x; mov.b32 x, 0x3F803F80; mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{$0, $1, $2, $3}, {x, x, x, x}, {x, x}, {$4, $5, $6, $7};}",
        "=f,=f,=f,=f,f,f,f,f",
        4,
    ),
    "mma 16x8x8 tf32": (
        "{.reg .b32 x; mov.b32 x, 0x3F800000; mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{$0, $1, $2, $3}, {x, x, x, x}, {x, x}, {$4, $5, $6, $7};}",
        "=f,=f,=f,=f,f,f,f,f",
        4,
    ),
}
THREADS, VALUES, TIMES = 1024, 16, 2048  # of a program, of a thread, and how often the instruction is repeated


@triton.jit
def repeat_kernel(out_ptr, times, ASM: tl.constexpr, CONSTRAINTS: tl.constexpr, PACK: tl.constexpr, SIZE: tl.constexpr):
    x = tl.arange(0, SIZE).to(tl.float32)
    for _ in range(times):
        x = tl.inline_asm_elementwise(ASM, CONSTRAINTS, [x], dtype=tl.float32, is_pure=True, pack=PACK)
    tl.store(out_ptr + tl.program_id(0) * SIZE + tl.arange(0, SIZE), x)


def rates(milliseconds: Callable[[Callable[[], Any]], float]) -> dict[str, float]:
    """Instructions of a warp that a multiprocessor issues in a microsecond, by name."""
    programs = torch.cuda.get_device_properties(0).multi_processor_count
    out = torch.empty(programs * THREADS * VALUES, device="cuda")
    found = {}
    for name, (asm, constraints, pack) in INSTRUCTIONS.items():
        options = {"ASM": asm, "CONSTRAINTS": constraints, "PACK": pack, "SIZE": THREADS * VALUES}

        def run(options: dict[str, Any] = options) -> None:
            repeat_kernel[(programs,)](out, TIMES, **options, num_warps=THREADS // 32)

        issued = THREADS // 32 * (VALUES // pack) * TIMES
        found[name] = issued / (1000 * milliseconds(run))
    return found

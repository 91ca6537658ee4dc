"""How many instructions a warp issues for a tile of pairs and a step of their pixels, counted in compiled code.

`python -m helpers.sass` in tests/ prints it for sm_90; it needs no GPU.
"""

from __future__ import annotations

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from fastpunet_kernels.triton import slots
from fastpunet_kernels.triton.overlap_variants import overlap_variants


def multiplying_loop() -> list[str]:
    """The loop of the kernel that multiplies masks, compiled for sm_90: one step of pixels of one tile of pairs."""
    _, kernel, types, constants, options = next(v for v in overlap_variants() if v[0] == "intersection multiplied")
    signature = {name: "constexpr" if name in constants else types[name] for name in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind.startswith("*")}
    source = ASTSource(kernel, signature, constants, aligned)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    code = slots.sass(compiled.asm["cubin"])
    (loop,) = (loop for loop in slots.loops(code) if any(name.startswith("IGMMA") for name in loop))
    return loop


if __name__ == "__main__":
    print(len(multiplying_loop()))

"""How many instructions a warp issues for a tile of pairs and a step of their pixels, counted in compiled code.

`python -m helpers.sass` in tests/ prints it for sm_90; it needs no GPU.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from fastpunet_kernels.triton.overlap_variants import overlap_variants


def loops(sass: str) -> list[list[str]]:
    """The instructions between each label and the branch back to it, in the text that nvdisasm prints."""
    labels: dict[str, int] = {}
    code: list[str] = []
    found = []
    for line in sass.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            labels[label[1]] = len(code)
        elif instruction := re.match(r"\s+/\*[0-9a-f]+\*/\s+(.+?);", line):
            code.append(instruction[1])
            branch = re.search(r"\bBRA\b.*(\.L_x_\d+)", instruction[1])
            if branch and branch[1] in labels:
                found.append(code[labels[branch[1]] :])
    return found


def multiplying_loop() -> list[str]:
    """The loop of the kernel that multiplies masks, compiled for sm_90: one step of pixels of one tile of pairs."""
    _, kernel, types, constants, options = next(v for v in overlap_variants() if v[0] == "intersection multiplied")
    signature = {name: "constexpr" if name in constants else types[name] for name in kernel.arg_names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, kind in enumerate(signature.values()) if kind.startswith("*")}
    source = ASTSource(kernel, signature, constants, aligned)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "kernel.cubin"
        binary.write_bytes(compiled.asm["cubin"])
        command = [knobs.nvidia.nvdisasm.path, "-c", str(binary)]
        sass = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (loop,) = (loop for loop in loops(sass) if any("IGMMA" in instruction for instruction in loop))
    return loop


if __name__ == "__main__":
    print(len(multiplying_loop()))

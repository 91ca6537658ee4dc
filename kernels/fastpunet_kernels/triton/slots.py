"""What a decoded hypothesis costs, counted in compiled code: the only measure of speed that needs no GPU.

A slot is an instruction that a scheduler issues for a warp. A multiprocessor has four schedulers, so 128 pixels of a
hypothesis, a thread each, occupy each of them for as many cycles, at least, as the loop over hypotheses has slots.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from typing import NamedTuple

from triton import knobs

_SASS = re.compile(r"^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?);", re.ASCII)
_AMDGCN = re.compile(r"^\t((?:[sv]|ds|global|flat|buffer|scratch)_\w+)\s*(.*)", re.ASCII)
_LABEL = re.compile(r"^(\.L\w+):")
_BRANCH = re.compile("BRA|branch")
_TARGET = re.compile(r"(\.L\w+)")
_PRODUCTS = ("HGMMA", "HMMA", "UTC", "v_mfma", "FFMA")  # instructions of the layers
_EXCHANGES = ("STS", "STSM", "BAR", "ds_write", "s_barrier")  # threads that pass something to others
_SPILLS = ("LDL", "STL", "scratch_")  # registers that are kept in memory


class Cost(NamedTuple):
    """Of 128 pixels of a hypothesis."""

    slots: float
    exchanges: int  # stores to shared memory and barriers between the layers
    spills: int  # loads and stores of registers between the layers


def sass(cubin: bytes) -> str:
    """The machine code of a kernel for an NVIDIA GPU, as text."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.nvdisasm.path, "-c", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def cost(code: str, pixels: int, warps: int, unroll: int, group: int, around: int = 0) -> Cost:
    """Of a decoder in SASS or AMD's assembly, whose program has so many pixels and warps.

    The inner loop decodes `unroll` hypotheses an iteration, the one around it, if there is one, a `group` of them.
    `around` loops around both are not counted.
    """
    bodies = sorted((body for body in loops(code) if _any(body, _PRODUCTS)), key=len)
    bodies = bodies[: len(bodies) - around]
    inner, outer = len(bodies[0]), len(bodies[-1])
    if inner == outer:
        unroll = group
    issued = inner / unroll + (outer - inner) / group
    exchanges, spills = (sum(name.startswith(kind) for name in bodies[0]) for kind in (_EXCHANGES, _SPILLS))
    return Cost(issued * warps / 4 * 128 / pixels, exchanges, spills)


def loops(code: str) -> list[list[str]]:
    """The names of the instructions between each label and a branch back to it, in SASS or AMD's assembly."""
    names: list[str] = []
    labels: dict[str, int] = {}
    found = []
    for line in code.splitlines():
        if label := _LABEL.match(line.strip()):
            labels[label[1]] = len(names)
        elif instruction := _SASS.match(line) or _AMDGCN.match(line):
            names.append(instruction[1])
            target = _TARGET.search(instruction[2]) if _BRANCH.search(instruction[1]) else None
            if target and target[1] in labels:
                found.append(names[labels[target[1]] :])
    return found


def _any(names: list[str], starts: tuple[str, ...]) -> bool:
    return any(name.startswith(starts) for name in names)

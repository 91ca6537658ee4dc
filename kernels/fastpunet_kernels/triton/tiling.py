"""How the decoding kernel divides its work: by a rule, or as proved fastest on this very GPU."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
import triton

from fastpunet_kernels.environment import cache_folder


class Tiling(NamedTuple):
    """What a program does, and with how many threads."""

    pixels: int  # of one image, a power of two and at least 32
    warps: int
    registers: int  # that a thread may have, at most; fewer let more programs run at a time
    unroll: int  # hypotheses in an iteration, a divisor of 8
    run: int  # hypotheses in all, a multiple of 16


def padded(width: int) -> int:
    """Units as the matrix units take them: a power of two and at least 16."""
    return max(16, triton.next_power_of_2(width))


def by_rule(widths: tuple[int, ...], precision: str, capability: int) -> Tiling:
    """What was fastest on an H200 for layers of 32 units (docs/results/kernels.md); `precision` is of the products.

    The rest has not been measured. A warp of Hopper's matrix units takes 16 or 32 pixels, and few registers let four
    programs share a multiprocessor. On other NVIDIA GPUs few warps are better: with four, those of capability 10 would
    multiply in a memory of their own, to and from which activations would have to be copied.
    """
    widest = max(32, *map(padded, widths))
    if capability == 0 or precision == "ieee":
        pixels = max(32, 4096 // widest)
        warps = 4 if widest <= 32 else 8 if widest <= 128 else 16
        return Tiling(pixels, warps, most_registers(warps), unroll=1, run=64)
    if widest > 64:
        return Tiling(max(32, 16384 // widest), 8, 255, unroll=1, run=64)
    spacious = widths[-1] > 1 or (precision == "3xtf32" and widest > 32)
    if capability == 9:
        pixels = 128 if widest <= 32 and precision != "3xtf32" else 64
        registers = 255 if spacious else 168 if precision == "tf32" or widest > 32 else 128
        return Tiling(pixels, 4, registers, unroll=2 if precision == "bf16" else 1, run=64)
    return Tiling(64, 2 if widest <= 32 else 4, 168 if precision == "bf16" else 255, unroll=1, run=64)


def most_registers(warps: int) -> int:
    """All that a thread can have where one program has a multiprocessor of an NVIDIA GPU to itself."""
    return min(255, 2048 // warps)


def candidates(widths: tuple[int, ...], precision: str, capability: int) -> list[Tiling]:
    """The rule's; more or fewer pixels and warps; more programs at a time; longer runs, which set up less often."""
    rule = by_rule(widths, precision, capability)
    halves = [(max(32, rule.pixels // 2), warps) for warps in (rule.warps, rule.warps // 2)]
    sizes = [(rule.pixels, rule.warps), *halves, (2 * rule.pixels, min(16, 2 * rule.warps))]
    compiled = [(*size, rule.registers, unroll) for size in sizes for unroll in (1, 2)]
    compiled += [(rule.pixels, rule.warps, registers, rule.unroll) for registers in (128, 168, 255)]
    others = (
        Tiling(pixels, warps, min(registers, most_registers(warps)), unroll, run)
        for pixels, warps, registers, unroll in compiled
        for run in (rule.run, 4 * rule.run)
    )
    return list(dict.fromkeys([rule, *others]))


def find_tiling(widths: tuple[int, ...], output: str, precision: str, capability: int, device: torch.device) -> Tiling:
    """The remembered one of this GPU, or the rule's."""
    if device.type == "cuda":
        found = _remembered(_file()).get(_key(widths, output, precision, device))
        if found is not None:
            return found
    return by_rule(widths, precision, capability)


def remember(tiling: Tiling, widths: tuple[int, ...], output: str, precision: str, device: torch.device) -> None:
    """Take `tiling` for such layers on GPUs of this name from now on, in later processes too."""
    path = _file()
    _remembered.cache_clear()  # another process may have added some
    known = _remembered(path)
    known[_key(widths, output, precision, device)] = tiling
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(known, file, indent=1)
    os.replace(file.name, path)


@cache
def _remembered(path: Path) -> dict[str, Tiling]:
    """Of a file that is missing or broken, nothing: it is written anew. Tilings that no kernel takes are left out."""
    try:
        stored = {key: Tiling(*value) for key, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return {key: tiling for key, tiling in stored.items() if _is_possible(tiling)}


def _is_possible(tiling: Tiling) -> bool:
    pixels, warps, registers, unroll, run = tiling
    return (
        all(type(value) is int and value > 0 for value in tiling)
        and (pixels & (pixels - 1), warps & (warps - 1)) == (0, 0)
        and pixels >= 32
        and 16 <= registers <= most_registers(warps)
        and (8 % unroll, run % 16) == (0, 0)
    )


@cache
def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else device.type


def _file() -> Path:
    return cache_folder() / "tilings.json"


def _key(widths: tuple[int, ...], output: str, precision: str, device: torch.device) -> str:
    layers = "-".join(map(str, widths))
    compiler = f"triton {triton.__version__}, kernels {_kernels()}"
    return f"{_name(device)}, {compiler}, layers {layers}, {output}, {precision}"


@cache
def _kernels() -> str:
    """What the kernels are: other kernels are fastest in other tilings."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]

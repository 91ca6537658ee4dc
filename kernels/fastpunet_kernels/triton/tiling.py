"""How the decoding kernel divides its work: by a rule, or as proved fastest on this very GPU."""

from __future__ import annotations

import json
import os
import tempfile
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
import triton

from fastpunet_kernels.environment import cache_folder


class Tiling(NamedTuple):
    """What a program does, and with how many threads."""

    pixels: int  # of one image, a power of two and at least 32
    warps: int
    run: int  # hypotheses, a multiple of 16


def padded(width: int) -> int:
    """Units as the matrix units take them: a power of two and at least 16."""
    return max(16, triton.next_power_of_2(width))


def by_rule(widths: tuple[int, ...], precision: str) -> Tiling:
    """Warps enough to hold the activations of the widest layer without spilling; not measured on any GPU yet."""
    widest = max(32, *map(padded, widths))
    pixels = max(32, 4096 // widest // (2 if precision == "ieee" else 1))
    return Tiling(pixels, 4 if widest <= 32 else 8 if widest <= 128 else 16, run=64)


def candidates(widths: tuple[int, ...], precision: str) -> list[Tiling]:
    """The rule's; more or fewer pixels, for reuse against room; more warps; longer runs, which set up less often."""
    rule = by_rule(widths, precision)
    pixels = sorted({max(32, rule.pixels // 2), rule.pixels, 2 * rule.pixels})
    warps = sorted({rule.warps, min(16, 2 * rule.warps)})
    others = [Tiling(*each) for each in product(pixels, warps, (rule.run, 4 * rule.run))]
    return [rule, *(each for each in others if each != rule)]


def find_tiling(widths: tuple[int, ...], latent: int, output: str, precision: str, device: torch.device) -> Tiling:
    """The remembered one of this GPU, or the rule's."""
    if device.type == "cuda":
        found = _remembered(_file()).get(_key(widths, latent, output, precision, device))
        if found is not None:
            return found
    return by_rule(widths, precision)


def remember(
    tiling: Tiling, widths: tuple[int, ...], latent: int, output: str, precision: str, device: torch.device
) -> None:
    """Take `tiling` for such layers on GPUs of this name from now on, in later processes too."""
    path = _file()
    _remembered.cache_clear()  # another process may have added some
    known = _remembered(path)
    known[_key(widths, latent, output, precision, device)] = tiling
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(known, file, indent=1)
    os.replace(file.name, path)


@cache
def _remembered(path: Path) -> dict[str, Tiling]:
    """Of a file that is missing or broken, nothing: it is written anew."""
    try:
        return {key: Tiling(*map(int, value)) for key, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


@cache
def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else device.type


def _file() -> Path:
    return cache_folder() / "tilings.json"


def _key(widths: tuple[int, ...], latent: int, output: str, precision: str, device: torch.device) -> str:
    layers = "-".join(map(str, widths))
    return f"{_name(device)}, triton {triton.__version__}, layers {layers}, latent {latent}, {output}, {precision}"

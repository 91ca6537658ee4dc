"""A Hopper where there is no GPU: launches of Triton's kernels note the variant that they need, and compute nothing."""

from __future__ import annotations

from typing import Any

import torch
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver

Variant = tuple[str, str]  # a kernel's name, and the key under which Triton keeps what it compiled for a launch


class Hopper:
    """What Triton asks of a GPU before it compiles."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _: int) -> int:
        return 0


def note_variants(variants: set[Variant]) -> None:
    """From now on, every launch in this process adds its variant to the set instead of compiling it."""

    def note(*, key: str, fn: Any, **_: Any) -> bool:
        variants.add((fn.name, key))
        return True  # nothing is to be compiled, and so nothing is launched

    driver.set_active(Hopper())
    torch.cuda.get_device_capability = lambda _: (9, 0)  # type: ignore[assignment]
    knobs.runtime.jit_cache_hook = note

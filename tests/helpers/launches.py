"""The decoder's kernels as launches compile them, without a GPU: how many variants for seeds, sizes and layouts.

`PYTHONPATH=..:../kernels python -m helpers.launches` prints it as JSON.
"""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.jit import JITFunction

from fastpunet_kernels import Decoder, Gaussian
from fastpunet_kernels.triton import decode, offsets

WIDTHS, LATENT = (32, 32, 32, 1), 6


class Hopper:
    """What Triton asks of a GPU before it compiles."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _: int) -> int:
        return 0


def compile_only(kernel: JITFunction[Any], grid: Any) -> Any:
    """What `kernel[grid]` is to be instead of a launch."""
    return lambda *arguments, **options: kernel.warmup(*arguments, grid=grid, **options)


def launch(pixels: int, n: int, seed: int, first: int, strided: bool) -> None:
    width, images = WIDTHS[0], 2
    base = torch.zeros(images, width, pixels).mT if strided else torch.zeros(images, pixels, width)
    columns = torch.zeros(width, 70)[:, 64:] if strided else torch.zeros(width, LATENT)
    weights = [torch.zeros(out, width) for out in WIDTHS[1:]]
    decoder = Decoder(columns, weights, [torch.zeros(out) for out in WIDTHS[1:]])
    moments = torch.zeros(images, LATENT), torch.ones(images, LATENT)
    recipe = Gaussian(*moments, torch.zeros(images, dtype=torch.int64), seed, first, n)
    around = torch.zeros(images + 1, n + 3, 2, -(-pixels // 32) + 5, dtype=torch.int32)
    out = around[1:, :n, 1:, :-5] if strided else torch.zeros(images, n, 1, -(-pixels // 32), dtype=torch.int32)
    decode.launch_decode(base, decoder, recipe, out, "bits", "bf16")


def compiled(kernel: JITFunction[Any]) -> int:
    return sum(len(caches[0]) for caches in kernel.device_caches.values())


def main() -> None:
    driver.set_active(Hopper())
    torch.cuda.get_device_capability = lambda _: (9, 0)  # type: ignore[assignment]
    JITFunction.__getitem__ = compile_only  # type: ignore[method-assign, assignment]
    for pixels, n, (seed, first), strided in product(
        (1, 1000, 1024), (1, 33, 64), ((1, 0), (2**31, 1), (2**62, 2**40)), (False, True)
    ):
        launch(pixels, n, seed, first, strided)
    print(json.dumps({"decode": compiled(decode.decode_kernel), "offsets": compiled(offsets.offsets_kernel)}))


if __name__ == "__main__":
    main()

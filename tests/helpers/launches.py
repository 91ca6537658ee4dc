"""How many variants of the decoder's kernels launches with other seeds, sizes and layouts need on a Hopper.

`PYTHONPATH=..:../kernels python -m helpers.launches` prints it as JSON; no GPU is needed.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import product

import torch

from fastpunet_kernels import Decoder, Gaussian
from fastpunet_kernels.triton import decode
from helpers.hopper import Variant, note_variants

WIDTHS, LATENT = (32, 32, 32, 1), 6


def launch(pixels: int, n: int, seed: int, first: int, strided: bool) -> None:
    width, images = WIDTHS[0], 2
    base = torch.zeros(images, width, pixels).mT if strided else torch.zeros(images, pixels, width)
    columns = torch.zeros(width, 71)[:, 65:] if strided else torch.zeros(width, LATENT)
    weights = [torch.zeros(out, width) for out in WIDTHS[1:]]
    decoder = Decoder(columns, weights, [torch.zeros(out) for out in WIDTHS[1:]])
    mu, sigma, ids = torch.zeros(3, LATENT), torch.ones(3, LATENT), torch.zeros(3, dtype=torch.int64)
    mu, sigma, ids = (part[1:] if strided else part[:2] for part in (mu, sigma, ids))
    recipe = Gaussian(mu, sigma, ids, seed, first, n)
    around = torch.zeros(images + 1, n + 3, 2, -(-pixels // 32) + 5, dtype=torch.int32)
    out = around[1:, :n, 1:, :-5] if strided else torch.zeros(images, n, 1, -(-pixels // 32), dtype=torch.int32)
    decode.launch_decode(base, decoder, recipe, out, "bits", "bf16")


def main() -> None:
    variants: set[Variant] = set()
    note_variants(variants)
    for pixels, n, (seed, first), strided in product(
        (1, 1000, 1024), (1, 33, 64), ((1, 0), (2**31, 1), (2**62, 2**40)), (False, True)
    ):
        launch(pixels, n, seed, first, strided)
    print(json.dumps(Counter(name for name, _ in variants)))


if __name__ == "__main__":
    main()

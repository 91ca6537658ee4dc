"""Whether logits of volumes change more across the borders of windows than inside them; prints a table:

OMP_NUM_THREADS=1 python -m benchmarks.volume_seams MODEL

MODEL was trained with the recipe lesions-3d. The volume, 48 x 96 x 96, is a mosaic of 64 synthetic volumes, shifted so
that their edges lie inside the windows, which are as large as they are. Jumps are those of `window_seams`; borders are
compared with the other multiples of the U-Net's pooling step.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch import Tensor

import fastpunet
from benchmarks.window_seams import jumps
from fastpunet.data.lesion_volumes import SyntheticLesionVolumes

TILES, SHIFT, N, SEED = 4, (3, 7, 5), 16, 20262
STEP = (2, 4, 4)  # by which the recipe's U-Net pools in all


def mosaic(tile: tuple[int, ...]) -> Tensor:
    """The volume (1, 1, D, H, W)."""
    records = SyntheticLesionVolumes(TILES**3, SEED, tile[-1])
    stack = np.stack([record.image[0] for record in records[:]]).reshape((TILES,) * 3 + tile)
    whole = stack.transpose(0, 3, 1, 4, 2, 5).reshape([TILES * side for side in tile])
    return torch.from_numpy(np.ascontiguousarray(whole))[None, None].roll(SHIFT, (2, 3, 4))


def tiled(model: torch.nn.Module, image: Tensor, tile: tuple[int, ...]) -> Tensor:
    """Logits (1, N, 1, D, H, W) of tiles side by side, each sampled alone with its own noise."""
    out = torch.empty(1, N, *image.shape[1:])
    for number, corner in enumerate(np.ndindex((TILES,) * 3)):
        place = (..., *(slice(at * side, (at + 1) * side) for at, side in zip(corner, tile, strict=True)))
        ids = torch.tensor([number])
        out[place] = fastpunet.sample(model, image[place], N, seed=0, ids=ids, output="logits", precision="ieee")
    return out


def row(logits: Tensor, axis: int, tile: tuple[int, ...], period: int) -> str:
    """Mean jumps at the windows' borders and at other multiples of the pooling step; values (N, D, H, W)."""
    along = jumps(logits, axis).movedim(1 + axis, 0).flatten(1).mean(1)
    side, step, edge = tile[axis], STEP[axis], SHIFT[axis]
    places = range(period, len(along) - step, step)
    near = [at for at in places if min((at - edge) % side, (edge - at) % side) < step]  # the mosaic's own edges
    border = [float(along[at]) for at in places if at % period == 0 and at not in near]
    inside = np.array([float(along[at]) for at in places if at % period and at not in near])
    low, high = np.quantile(inside, (0.025, 0.975))
    return (
        f"{np.mean(border):.3f} | {inside.mean():.3f} ({low:.3f} to {high:.3f}) | {np.mean(border) / inside.mean():.2f}"
    )


def main() -> None:
    model = fastpunet.load(sys.argv[1])
    assert model.image_size is not None
    tile = tuple(model.image_size)
    image = mosaic(tile)
    how = {"seed": 0, "output": "logits", "precision": "ieee"}
    forms = {
        "the whole volume in one pass": fastpunet.sample(model, image, N, **how),
        "windows": fastpunet.sample(fastpunet.windowed(model, tile), image, N, **how),
        "windows, slab by slab": fastpunet.sample(fastpunet.windowed(model, tile, by_slab=True), image, N, **how),
        "one latent, overlap 0": fastpunet.sample(fastpunet.windowed(model, tile, 0.0), image, N, **how),
        "tiles with their own latents": tiled(model, image, tile),
    }
    print("| | axis | jump at borders | jump inside (95 %) | times |\n| --- | --- | --- | --- | --- |")
    for name, logits in forms.items():
        half = name.startswith(("the", "windows"))
        for axis, of in enumerate(("slices", "rows", "columns")):
            print(f"| {name} | {of} | {row(logits[0, :, 0], axis, tile, tile[axis] // (2 if half else 1))} |")


if __name__ == "__main__":
    main()

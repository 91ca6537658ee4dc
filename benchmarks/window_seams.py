"""Whether logits or labels change more across the borders of windows than inside them; prints a table:

python -m benchmarks.window_seams lidc_test_128.npz [--figure docs/figures/windows.png]

The image, 1024 x 1536, is a mosaic of 96 test slices, shifted so that their edges lie inside windows of 256. The jump
at a pair of neighbours is how far the difference of their logits is from the mean difference of the pairs around it.
The U-Net pools in steps of 8 pixels, so borders are compared with the other multiples of 8.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import fastpunet

SIDE, SLICE, SHIFT, N = 256, 128, (53, 91), 16


class Profile(NamedTuple):
    """Means over an image's pairs of neighbours whose second pixel is at the border, or at another multiple of 8."""

    border: float
    inside: np.ndarray


def mosaic(path: str) -> Tensor:
    """The image (1, 1, 1024, 1536) in [0, 1]."""
    images = np.load(path)["images"]
    chosen = images[np.linspace(0, len(images) - 1, 96).round().astype(int)].astype(np.float32) / 255
    whole = torch.tensor(chosen).unflatten(0, (8, 12)).permute(0, 2, 1, 3).reshape(1, 1, 8 * SLICE, 12 * SLICE)
    return whole.roll(SHIFT, (2, 3)).contiguous()


def tiled(model: torch.nn.Module, image: Tensor, *, independent: bool) -> Tensor:
    """Logits (1, N, 1, H, W) of tiles side by side, each sampled alone, with its own noise or all with the same."""
    out = torch.empty(1, N, *image.shape[1:])
    for tile, (row, column) in enumerate(np.ndindex(image.shape[2] // SIDE, image.shape[3] // SIDE)):
        place = (..., slice(row * SIDE, (row + 1) * SIDE), slice(column * SIDE, (column + 1) * SIDE))
        ids = torch.tensor([1 + tile if independent else 0])
        out[place] = fastpunet.sample(model, image[place], N, seed=0, ids=ids, output="logits", precision="ieee")
    return out


def profile(values: Tensor, axis: int, period: int) -> Profile:
    """values (N, H, W) belong to pairs along the axis, 0 or 1 of the image, each at its second pixel."""
    along = values.movedim(1 + axis, -1).flatten(0, 1).mean(0)
    at = {o: float(along[o::period].mean()) for o in range(0, period, 8)}
    edge = SHIFT[axis] % SLICE
    near = [o for o in at if min((o - edge) % SLICE, (edge - o) % SLICE) < 8]  # the mosaic's own edges
    return Profile(float(along[period::period].mean()), np.array([at[o] for o in at if o % SLICE and o not in near]))


def jumps(logits: Tensor, axis: int) -> Tensor:
    """The jump at each pair along the axis, at its second pixel; 0 at the ends of the image."""
    steps = logits.movedim(1 + axis, -1).diff()
    jump = torch.zeros_like(logits.movedim(1 + axis, -1))
    jump[..., 2:-1] = (steps[..., 1:-1] - (steps[..., 2:] + steps[..., :-2]) / 2).abs()
    return jump.movedim(-1, 1 + axis)


def changes(logits: Tensor, axis: int) -> Tensor:
    """1 where the label changes along the axis, at the second pixel of the pair."""
    labels = (logits > 0).float().movedim(1 + axis, -1)
    changed = torch.zeros_like(labels)
    changed[..., 1:] = labels.diff().abs()
    return changed.movedim(-1, 1 + axis)


def described(found: Profile) -> str:
    low, high = np.quantile(found.inside, (0.025, 0.975))
    times = found.border / found.inside.mean()
    return f"{found.border:.4f} | {found.inside.mean():.4f} ({low:.4f} to {high:.4f}) | {times:.2f}"


def draw(forms: dict[str, Tensor], image: Tensor, path: str) -> None:
    """A part of the image with the logits of one hypothesis in three ways; of the hypotheses, one that draws much."""
    from matplotlib.figure import Figure

    k = int(((forms["windows"] > 0).float().mean((1, 2)) - 0.25).abs().argmin())
    part = (slice(128, 640), slice(384, 896))
    shown = {
        "image": image[0, 0][part],
        "tiles, each with its own z": forms["tiles, independent z"][k][part],
        "tiles, one z": forms["tiles, one z: windows with overlap 0"][k][part],
        "fastpunet.windowed(model, 256)": forms["windows"][k][part],
    }
    figure = Figure(figsize=(16, 4.5), layout="constrained")
    panels = figure.subplots(1, 4)
    for axes, (title, values) in zip(panels, shown.items(), strict=True):
        if title == "image":
            axes.imshow(values, cmap="gray", vmin=0, vmax=1)
        else:
            drawn = axes.imshow(values, cmap="RdBu_r", vmin=-15, vmax=15)
            axes.contour(values, levels=[0.0], colors="black", linewidths=0.8)
        axes.set(title=title, xticks=[], yticks=[])
    figure.colorbar(drawn, ax=panels, label="logit; black: outline of the mask", shrink=0.8)
    figure.savefig(path, dpi=70)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--figure")
    arguments = parser.parse_args()
    image, model = mosaic(arguments.data), fastpunet.load("lidc-tiny")
    windows = fastpunet.windowed(model, SIDE)
    how = {"seed": 0, "output": "logits", "precision": "ieee"}
    forms = {
        "whole image in one pass": fastpunet.sample(model, image, N, **how),
        "windows": fastpunet.sample(windows, image, N, **how),
        "tiles, one z: windows with overlap 0": fastpunet.sample(fastpunet.windowed(model, SIDE, 0.0), image, N, **how),
        "tiles, independent z": tiled(model, image, independent=True),
    }
    forms = {name: logits[0, :, 0] for name, logits in forms.items()}
    print("| | axis | measure | at borders | inside (95 %) | times |\n| --- | --- | --- | --- | --- | --- |")
    for name, logits in forms.items():
        period = SIDE if name.startswith("tiles") else SIDE // 2
        for axis, of in enumerate(("rows", "columns")):
            for measure, function in (("jump of logits", jumps), ("labels change", changes)):
                print(f"| {name} | {of} | {measure} | {described(profile(function(logits, axis), axis, period))} |")
    plain = fastpunet.Sampler(model, precision="ieee")
    whole, parts = plain.encode(image), fastpunet.Sampler(windows, precision="ieee").encode(image)
    z = whole.prior.latents(fastpunet.latents.Noise(0, torch.arange(1), 0, N, sampler="sobol"))
    ours, theirs = (plain.decode(encoding, z, output="logits")[0, :, 0] for encoding in (parts, whole))
    print("\nJumps of windows over those of the whole image in one pass, with the same latents:")
    for axis, of in enumerate(("rows", "columns")):
        both = [profile(jumps(logits, axis), axis, SIDE // 2) for logits in (ours, theirs)]
        print(of, described(Profile(both[0].border / both[1].border, both[0].inside / both[1].inside)))
    if arguments.figure:
        draw(forms, image, arguments.figure)


if __name__ == "__main__":
    main()

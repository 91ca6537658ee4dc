"""How far estimates from few hypotheses lie from those of very many, for each sampler; prints a table:

python -m benchmarks.sampler_error lidc_tiny_test_64.npz [--images 200] [--seeds 50] [--reference 20000]

The root mean square is over images, seeds and, for the mean map, pixels. Its interval is a bootstrap over images.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor

import fastpunet

ROWS = [(name, n) for n in (64, 256) for name in ("random", "antithetic", "sobol")] + [("random", 1000)]
MEASURES = (
    "mean map",
    "presence",
    "median volume, pixels",
    "energy distance, unbiased",
    "energy distance, V-statistic",
)
REFERENCE_SEED = 10**6
TOGETHER = 10  # images


def estimates(sampler: fastpunet.Sampler, encoding: Any, masks: Tensor, n: int, seed: int, ids: Tensor) -> list[Tensor]:
    """The measures of n hypotheses of every image: the mean map (B, P), and (B, 1) each."""
    mean, volumes, words = torch.zeros(()), [], []
    for probs in sampler.stream(encoding, n, seed=seed, ids=ids, output="probs", chunk=1000):
        labels = probs[:, :, 0] > 0.5
        mean = mean + probs.flatten(3).sum((1, 2), dtype=torch.float64) / n
        volumes.append(labels.flatten(2).sum(2))
        words.append(fastpunet.PackedMasks.pack(labels).words)
    volume = torch.cat(volumes, 1).double()
    distance = fastpunet.energy_distance(fastpunet.PackedMasks(torch.cat(words, 1), tuple(masks.shape[2:])), masks)
    numbers = ((volume > 0).double().mean(1), volume.quantile(0.5, dim=1), distance.unbiased, distance.value)
    return [mean, *(number.double()[:, None] for number in numbers)]


def squared_errors(
    model: Any, images: Tensor, masks: Tensor, ids: Tensor, seeds: int, reference: int
) -> dict[tuple[str, int], list[Tensor]]:
    """For each row and measure the mean squared error of every image, over seeds and pixels.

    The reference's own variance is known from the scatter of 1000 random draws, and subtracted.
    """
    plain = fastpunet.Sampler(model, precision="ieee")
    encoding = plain.encode(images)
    truth = estimates(plain, encoding, masks, reference, REFERENCE_SEED, ids)
    errors = {}
    for name, n in ROWS:
        sampler = fastpunet.Sampler(model, precision="ieee", sampler=name)
        found = [estimates(sampler, encoding, masks, n, seed, ids) for seed in range(seeds)]
        errors[name, n] = [
            torch.stack([(ours - true).square().mean(1) for ours in values]).mean(0)
            for values, true in zip(zip(*found, strict=True), truth, strict=True)
        ]
    scatter = [torch.stack(values).var(0).mean(1) * 1000 / reference for values in zip(*found, strict=True)]
    corrected = {row: [e - own for e, own in zip(values, scatter, strict=True)] for row, values in errors.items()}
    return {("reference itself", reference): scatter, **corrected}


def interval(errors: np.ndarray) -> str:
    """The root mean square of squared errors (images,), with a 95 % interval by 2000 resamples of the images."""
    picks = np.random.default_rng(0).integers(len(errors), size=(2000, len(errors)))
    low, high = np.sqrt(np.quantile(errors[picks].mean(1), (0.025, 0.975)).clip(0))
    return f"{np.sqrt(errors.mean().clip(0)):.3g} [{low:.3g}, {high:.3g}]"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--reference", type=int, default=20_000)
    arguments = parser.parse_args()
    held = np.load(arguments.data)
    images = torch.tensor(held["images"][: arguments.images, None].astype(np.float32) / 255)
    masks = torch.tensor(np.unpackbits(held["masks_packed"][: arguments.images], axis=-1))
    model, ids = fastpunet.load("lidc-tiny"), torch.arange(len(images))
    parts = [
        squared_errors(model, *group, arguments.seeds, arguments.reference)
        for group in zip(*(values.split(TOGETHER) for values in (images, masks, ids)), strict=True)
    ]
    collected = {
        row: [torch.cat([part[row][m] for part in parts]).numpy() for m in range(len(MEASURES))] for row in parts[0]
    }
    print("| sampler, n | " + " | ".join(MEASURES) + " |\n|" + " --- |" * (len(MEASURES) + 1))
    for (name, n), errors in collected.items():
        print(f"| {name}, {n} | " + " | ".join(map(interval, errors)) + " |")
    print("\nShare of images in which it errs less than random draws of the same n; how many of those err as much:\n")
    own = collected["reference itself", arguments.reference]
    for (name, n), errors in collected.items():
        if name in ("antithetic", "sobol"):
            cells = []
            for ours, theirs, least in zip(errors, collected["random", n], own, strict=True):
                draws = n * theirs.mean() / max(ours.mean(), least.mean())
                more = "more than " if ours.mean() < least.mean() else ""
                cells.append(f"{(ours < theirs).mean():.0%}; {more}{draws:,.0f}")
            print(f"| {name}, {n} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

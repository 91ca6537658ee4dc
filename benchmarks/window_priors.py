"""How windows' priors may become one, compared by the energy distance of the hypotheses to the graders:

python -m benchmarks.window_priors lidc_test_128.npz [--images 300] [--window 64]

The slices are 128 x 128, with the lesion in the middle. Features are the same for all priors but in the first row.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

import fastpunet
from fastpunet.models.latent_method import LatentEncoding
from fastpunet.models.priors import AxisAligned
from fastpunet.windows.grid import windows_over

N = 200


def candidates(model: Any, images: Tensor, window: int, whole: LatentEncoding, ours: LatentEncoding) -> dict[str, Any]:
    """An encoding for each way to make one prior."""
    windows = list(windows_over(ours.size, (window, window), 0.5))
    priors = [model.features_and_prior(images[own.place])[1] for own in windows]
    mu, sigma = torch.stack([prior.mu for prior in priors]), torch.stack([prior.sigma for prior in priors])
    shares = torch.tensor([own.share for own in windows])

    def mean(values: Tensor, weights: Tensor = shares) -> Tensor:
        return torch.tensordot(weights, values, 1)

    bound, log_sigma = model.prior.log_sigma_bound, sigma.log()
    raw = mean(log_sigma / (1 - log_sigma.abs() / bound))
    spread = mean((mu - mean(mu)).square())
    precision = mean(sigma**-2)
    equal = torch.full_like(shares, 1 / len(windows))
    own_means = torch.zeros(len(images), mu.shape[-1], *ours.size)
    for own, prior in zip(windows, priors, strict=True):
        own_means[own.place] += prior.mu[:, :, None, None] * own.weights
    shifts = (own_means - ours.prior.mu[:, :, None, None]).flatten(2).transpose(1, 2)  # type: ignore[attr-defined]
    return {
        "the whole image in one pass": whole,
        "prior of the whole image": replace(ours, prior=whole.prior),
        "mean of mu and of log sigma, by share of the image (ours)": ours,
        "the same, all windows alike": replace(ours, prior=AxisAligned(mean(mu, equal), mean(log_sigma, equal).exp())),
        "the same, log sigma before its bound": replace(
            ours, prior=AxisAligned(mean(mu), (raw / (1 + raw.abs() / bound)).exp())
        ),
        "mean and variance of the mixture": replace(
            ours, prior=AxisAligned(mean(mu), (mean(sigma.square()) + spread).sqrt())
        ),
        "product": replace(ours, prior=AxisAligned(mean(mu * sigma**-2) / precision, precision**-0.5)),
        "the middle window's": replace(ours, prior=priors[len(priors) // 2]),
        "sigma as ours, each place's own mean": replace(ours, base=ours.base + shifts @ ours.decoder.z_weight.T),
    }


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--window", type=int, default=64)
    arguments = parser.parse_args()
    held = np.load(arguments.data)
    chosen = np.linspace(0, len(held["images"]) - 1, arguments.images).round().astype(int)
    images = torch.tensor(held["images"][chosen, None].astype(np.float32) / 255)
    masks = torch.tensor(np.unpackbits(held["masks_packed"][chosen], axis=-1))
    model = fastpunet.load("lidc-tiny")
    plain = fastpunet.Sampler(model, precision="ieee")
    parts = fastpunet.Sampler(fastpunet.windowed(model, arguments.window), precision="ieee")
    found: dict[str, list[Tensor]] = {}
    for some, theirs, ids in zip(*(v.split(10) for v in (images, masks, torch.arange(len(images)))), strict=True):
        encodings = plain.encode(some), parts.encode(some)
        for name, encoding in candidates(model, some, arguments.window, *encodings).items():
            drawn = plain.draw(encoding, N, seed=0, ids=ids, output="bits")
            found.setdefault(name, []).append(fastpunet.energy_distance(drawn, theirs).unbiased)
    values = {name: torch.cat(parts) for name, parts in found.items()}
    reference = values["mean of mu and of log sigma, by share of the image (ours)"]
    print("| one prior from those of the windows | GED^2 (U) | more than ours, with its standard error |")
    print("| --- | --- | --- |")
    for name, value in values.items():
        more = value - reference
        print(f"| {name} | {value.mean():.3f} | {more.mean():+.3f} +- {more.std() / len(more) ** 0.5:.3f} |")


if __name__ == "__main__":
    main()

"""log p(y | x) by importance sampling against brute-force integration over latents of one and of two dimensions.

python -m benchmarks.log_evidence [--seeds 100]

prints a table of docs/results/assessment.md. The networks have random weights, so that nothing is Gaussian.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from torch import Tensor

from fastpunet import ProbabilisticUNet, Sampler
from fastpunet.hypotheses import assess
from fastpunet.hypotheses.fits.evidence import label_log_probs
from fastpunet.reports.tables import markdown

SIZE = (16, 16)
END = 9  # standard deviations of the prior at which the integral ends
POINTS = {1: 20_001, 2: 401}  # along each axis


def make_model(latent_dim: int) -> ProbabilisticUNet:
    torch.manual_seed(1)
    model = ProbabilisticUNet(1, 1, channels=(8, 8), latent_dim=latent_dim, convs_per_block=1)
    with torch.no_grad():
        model.fcomb.last_layer.weight.mul_(3)
        for net in (model.prior, model.posterior):
            net.conv_layer.bias.uniform_(-0.7, 0.7)
        model.fcomb.last_layer.bias.sub_(model(torch.rand(8, 1, *SIZE)).mean())
    return model


def make_masks(model: ProbabilisticUNet, image: Tensor) -> Tensor:
    """Two hypotheses, the second with a tenth of its pixels changed, and noise: from likely to unheard of."""
    rng = torch.Generator().manual_seed(5)
    likely, changed = Sampler(model).sample(image[None], 2, seed=11)[0]
    flipped = torch.rand(SIZE, generator=rng) < 0.1
    return torch.stack([likely, changed ^ flipped, (torch.rand(SIZE, generator=rng) < 0.5).byte()])


def integral(model: ProbabilisticUNet, image: Tensor, masks: Tensor, latent_dim: int) -> Tensor:
    """log p(y | x) of every mask, float64 (M,), by the trapezoid rule."""
    encoding = (sampler := Sampler(model, precision="ieee")).encode(image[None])
    axis = torch.linspace(-END, END, POINTS[latent_dim], dtype=torch.float64)
    u = torch.cartesian_prod(*[axis] * latent_dim).view(-1, latent_dim)
    z = encoding.prior.mu.double() + encoding.prior.sigma.double() * u
    likelihoods = []
    for some in z.split(2000):
        log_probs = label_log_probs(sampler.method.differentiable_logits(encoding, some[None])[0].flatten(2))
        planes = torch.stack([1 - masks, masks], 1).flatten(1).double()
        likelihoods.append(log_probs.flatten(1) @ planes.T)
    density = -(u**2).sum(1, keepdim=True) / 2 - latent_dim / 2 * math.log(2 * math.pi)
    return (torch.cat(likelihoods) + density).logsumexp(0) + latent_dim * math.log(float(axis[1] - axis[0]))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=100)
    seeds = options.parse_args().seeds
    image = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(1))
    header = [
        "latent",
        "mask",
        "exact log p",
        "n",
        "RMSE of p",
        "mean standard error",
        "covered by 1.96 errors",
        "draws",
    ]
    rows = [header]
    for latent_dim in POINTS:
        model = make_model(latent_dim)
        masks = make_masks(model, image)
        exact = integral(model, image, masks, latent_dim)
        for n in (100, 1000, 10_000):
            runs = [assess(model, image, masks, n, seed=seed) for seed in range(seeds if n < 10_000 else seeds // 5)]
            error = torch.stack([run.log_evidence for run in runs]) - exact
            claimed = torch.stack([run.standard_error for run in runs])
            covered = (error.abs() < 1.96 * claimed).double().mean(0)
            draws = torch.stack([run.effective for run in runs]).mean(0)
            for m, name in enumerate(("likely", "changed", "noise")):
                rmse = float(error[:, m].exp().sub(1).square().mean().sqrt())
                numbers = [f"{rmse:.2%}", f"{float(claimed[:, m].mean()):.2%}", f"{float(covered[m]):.0%}"]
                rows.append(
                    [f"{latent_dim}-D", name, f"{float(exact[m]):.3f}", str(n), *numbers, f"{float(draws[m]):.0f}"]
                )
    print(markdown(rows))
    print(f"torch {torch.__version__}, NumPy {np.__version__}, {seeds} seeds ({seeds // 5} for n = 10000)")


if __name__ == "__main__":
    main()

"""Segmentations over a grid of latents, and the graders' positions among them (Kohl et al. 2018, latent space)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.hypotheses.latent_space.latent_plane import LatentPlane, principal_axes, sensitivity
from fastpunet.hypotheses.one_image import check_segmentations, encode_one
from fastpunet.latents import check_seed
from fastpunet.models.priors import AxisAligned
from fastpunet.sampler import Sampler
from fastpunet_kernels import fixed_precision

_PRECISION = "ieee"  # rounding would drown the small differences that make the axes


@dataclass(frozen=True, eq=False)
class LatentGrid:
    """One image's hypotheses over a plane of its latent space. Positions are in standard deviations of the prior.

    plane               the plane, with the prior's mean and standard deviation
    shares              float32 (2,), the share of the maps' change with the latent that lies along each axis
    steps               float32 (size,), positions of the grid along either axis, -span to span
    z                   float32 (size, size, latent_dim), [i, j] at position (steps[i], steps[j])
    hypotheses          uint8 (size, size, H, W), or (size, size, D, H, W) of a volume, the label maps decoded from z
    grader_positions    float32 (M, 2), the posterior's mean for each grader's segmentation, projected on the plane
    grader_covariances  float32 (M, 2, 2), the posterior's covariance in the plane
    """

    plane: LatentPlane
    shares: Tensor
    steps: Tensor
    z: Tensor
    hypotheses: Tensor
    grader_positions: Tensor
    grader_covariances: Tensor


@torch.no_grad()
def decode_grid(
    model: nn.Module,
    image: Tensor,
    labels: Tensor | None = None,
    *,
    axes: str | Sequence[int] = "principal",
    size: int = 9,
    span: float = 3.0,
    seed: int = 0,
    ignore_index: int | None = None,
) -> LatentGrid:
    """Decode a grid of latents around the prior's mean, in one U-Net pass.

    Args:
        model: a ProbabilisticUNet; without labels, any Probabilistic U-Net that `fastpunet.sample` takes.
        image: float (C, H, W), or (C, D, H, W) for a model of volumes, scaled as in training, on the model's device.
        labels: int (M, H, W) or (M, D, H, W), the graders' segmentations, on the image's device; or None.
        axes: two latent dimensions, counted from 0, or "principal": the two orthogonal directions along which the
            probability maps change most (see `latent_plane.sensitivity`), the stronger first.
        size: positions along either axis; with an odd number the prior's mean is one of them.
        span: the grid's ends, in standard deviations of the prior. Other dimensions stay at the prior's mean.
        seed: seed of the draws from the prior at which the sensitivity is computed.
        ignore_index: label of pixels that nobody annotated.

    `LatentGrid.plane.positions` gives the positions of other latents, such as those of hypotheses.
    Raises ValueError or TypeError, naming the argument, for input that does not fit.

    >>> import fastpunet
    >>> grid = decode_grid(fastpunet.load("lesions"), torch.zeros(1, 64, 64), size=5, span=2.0)
    >>> grid.steps.tolist(), tuple(grid.hypotheses.shape)
    ([-2.0, -1.0, 0.0, 1.0, 2.0], (5, 5, 64, 64))
    """
    check_grid(axes, size, span)
    check_seed(seed)
    sampler = Sampler(model, precision=_PRECISION)
    encoding = encode_one(sampler, image)
    if labels is not None:
        check_segmentations("labels", labels, sampler, encoding.size)
    prior = _axis_aligned_prior(sampler, encoding)
    _check_dimensions(axes, prior.latent_dim)
    means, deviations = _posterior(sampler, image, labels, prior, ignore_index)
    change = sensitivity(sampler, encoding, prior, seed)
    if isinstance(axes, str):
        directions = principal_axes(change)
    else:
        directions = torch.eye(len(change), dtype=torch.float32, device=image.device)[list(axes)]
    plane = LatentPlane(prior.mu[0], prior.sigma[0], directions)
    steps = torch.linspace(-span, span, size, dtype=torch.float32, device=image.device)
    z = plane.latents(torch.cartesian_prod(steps, steps))
    along = torch.einsum("ad,de,ae->a", directions.double(), change, directions.double())
    return LatentGrid(
        plane=plane,
        shares=(along / change.trace().clamp(min=torch.finfo(change.dtype).tiny)).float(),
        steps=steps,
        z=z.unflatten(0, (size, size)),
        hypotheses=sampler.decode(encoding, z[None])[0].unflatten(0, (size, size)),
        grader_positions=plane.positions(means),
        grader_covariances=plane.covariances(deviations),
    )


def check_grid(axes: object, size: object, span: object) -> None:
    """Raise ValueError, naming the argument, unless `decode_grid` can take these for some model."""
    named = isinstance(axes, Sequence) and len(axes) == 2 and all(type(axis) is int for axis in axes)
    if axes != "principal" and not (named and axes[0] != axes[1] and min(axes) >= 0):  # type: ignore[index, call-overload]
        raise ValueError(f'axes: got {axes!r}, expected "principal" or two different latent dimensions, such as (0, 1)')
    if type(size) is not int or size < 2:
        raise ValueError(f"size: got {size!r}, expected a whole number of at least 2 positions along either axis")
    if not isinstance(span, int | float) or not 0 < span < math.inf:
        raise ValueError(
            f"span: got {span!r}, expected a positive number of the prior's standard deviations, such as 3"
        )


def _check_dimensions(axes: str | Sequence[int], latent_dim: int) -> None:
    if latent_dim < 2:
        raise ValueError(f"model: its latent has {latent_dim} dimension, expected at least 2 for a plane")
    if not isinstance(axes, str) and max(axes) >= latent_dim:
        raise ValueError(f"axes: got {axes!r}, expected latent dimensions of 0 .. {latent_dim - 1}")


def _axis_aligned_prior(sampler: Sampler, encoding: Any) -> AxisAligned:
    prior = getattr(encoding, "prior", None)
    if not isinstance(prior, AxisAligned):
        raise TypeError(
            f"model: got {sampler.method.name}, expected a Probabilistic U-Net whose prior is a Gaussian with "
            "independent dimensions, because the grid is measured in the prior's standard deviations"
        )
    return prior


def _posterior(
    sampler: Sampler, image: Tensor, labels: Tensor | None, prior: AxisAligned, ignore_index: int | None
) -> tuple[Tensor, Tensor]:
    """Means and standard deviations (M, latent_dim) of the posteriors of the graders' segmentations."""
    if labels is None:
        return prior.mu[:0], prior.sigma[:0]
    model: Any = sampler.method
    if not hasattr(model, "posterior_of"):
        raise TypeError(
            f"model: got {model.name}, expected a ProbabilisticUNet, whose posterior net is needed to place the "
            "graders; load the state dict with fastpunet.load, or leave out labels"
        )
    with fixed_precision(_PRECISION, sampler.device):
        images = image.to(model.dtype).expand(len(labels), *image.shape)
        posterior = model.posterior_of(images, labels, ignore_index)
    return posterior.mean, posterior.stddev

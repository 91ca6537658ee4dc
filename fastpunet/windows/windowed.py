"""`windowed`: a model as a method that takes images of any size by overlapping windows."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from fastpunet.arguments import check_count, check_switch, is_number
from fastpunet.models.adapters import adapt
from fastpunet.models.latent_method import LatentMethod
from fastpunet.models.method import Method
from fastpunet.models.ssn import SSN
from fastpunet.windows.features import WindowedFeatures
from fastpunet.windows.methods import Windowed, WindowedLogits
from fastpunet.windows.normals import WindowedNormal


def windowed(
    model: nn.Module, size: int | Sequence[int], overlap: float = 0.5, *, by_slab: bool | None = None
) -> Method:
    """A model as a method that takes images larger than `size` by overlapping windows, without seams.

    The result is used like any model, by `sample`, `Sampler`, `summarize` and all that is built on them. Images that
    are no larger than a window give exactly what the model gives.

    model    any model that `sample` takes
    size     of a window in pixels: one number for all axes, or (H, W), or (D, H, W). Take the size of the images that
             the model was trained on
    overlap  the share of a window that the next one along an axis covers, 0 <= overlap < 1; at 0 seams show
    by_slab  for Probabilistic U-Nets: True does not keep the features, but computes them slab by slab along the first
             axis, each slab as thick as a window, whenever hypotheses are drawn; all hypotheses of a slab are decoded
             before the next one. False keeps them. None: True if the features would take more than half of the free
             memory

    A Probabilistic U-Net, of any make, passes the windows through its U-Net a few at a time and blends their features.
    The windows' priors become one prior, whose mean and log sigma are the means of theirs, and each hypothesis has one
    latent for the whole image. The cells of latent maps are blended as features are, and their features always kept. A
    stochastic segmentation network blends mean, factors and standard deviation of its logits. Other methods blend the
    windows' logits, which they compute with the same noise in each window. Beyond the blended features or logits,
    memory does not grow with the number of windows (docs/sampling.md).

    Raises ValueError or TypeError for another size or overlap, and for a model that is windowed already; and when
    images are encoded, ValueError for a prior that is not one Gaussian, and for a model with latent maps whose features
    do not fit in memory.

    >>> import fastpunet, torch
    >>> model = fastpunet.windowed(fastpunet.load("lesions"), 64)
    >>> fastpunet.sample(model, torch.zeros(1, 1, 100, 150), n=4, seed=0).shape
    torch.Size([1, 4, 100, 150])
    """
    method = adapt(model)
    if isinstance(method, Windowed):
        raise ValueError("model: it is windowed already; pass the model itself")
    sides = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else (size,) * method.dims
    window = tuple(check_count("size", side) for side in sides)
    if len(window) != method.dims:
        raise ValueError(f"size: got {size!r}, expected one number or {method.dims}, for images of {method.name}")
    if not is_number(overlap) or not 0 <= overlap < 1:
        raise ValueError(f"overlap: got {overlap!r}, expected a share of a window, at least 0 and below 1, such as 0.5")
    if by_slab is not None:
        check_switch("by_slab", by_slab)
    if isinstance(method, LatentMethod):
        return WindowedFeatures(method, window, float(overlap), by_slab)
    kind: type[Windowed] = WindowedNormal if isinstance(method, SSN) else WindowedLogits
    return kind(method, window, float(overlap))

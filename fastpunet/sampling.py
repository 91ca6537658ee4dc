"""Images in, hypotheses out, in one call for any method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.chunks import assemble
from fastpunet.masks import PackedMasks
from fastpunet.models import foreign
from fastpunet.models.method import Baseline, finished
from fastpunet.sampler import Sampler, check_output, check_precision
from fastpunet_kernels import automatic_precision, fixed_precision


def sample(
    model: nn.Module,
    images: Tensor,
    n: int = 1000,
    *,
    seed: int | None = None,
    ids: Tensor | None = None,
    output: str = "labels",
    precision: str = "auto",
    backend: str = "auto",
    chunk: int | None = None,
) -> Any:
    """Draw n segmentation hypotheses for every image, in one U-Net pass (Kohl et al. 2018, section 2, "Sampling").

    Args:
        model: a fastpunet model, or any module with the PyTorch port's `unet`, `prior` and `fcomb`. A U-Net
            Ensemble and M-Heads have no more hypotheses than members or heads.
        images: float (B, C, H, W), scaled as in training, on the model's device; any H, W >= 1.
        seed: 0 <= seed < 2**63. Hypothesis k of the image with id i is a function of (seed, i, k) alone.
            None takes a fresh seed from torch's global generator.
        ids: int64 (B,), default 0 .. B-1. Sampling a data set in batches, pass each image's own id.
        output: "labels" uint8 (B, n, H, W), class index (binary: logit > 0); "logits" or "probs" float32
            (B, n, K, H, W), probs by sigmoid (K = 1) or softmax; "bits" PackedMasks, one bit a pixel and class.
        precision: "ieee" float32-accurate, "tf32" (GPU), "bf16", "auto" what PyTorch itself would use here.
        backend: "auto", "triton" (GPU), "native" (CPU) or "reference" (PyTorch, which runs all of a baseline).
        chunk: hypotheses decoded at a time, which bounds temporary memory; default from the free memory.

    Raises ValueError or TypeError, naming the argument, for input that does not fit, and RuntimeError for a backend
    that cannot run here.
    """
    if isinstance(baseline := foreign.uncompiled(model), Baseline):
        return _sample_baseline(baseline, images, n, seed, ids, output, precision, backend, chunk)
    sampler = Sampler(model, precision=precision, backend=backend)

    def once(group: Tensor, ids: Tensor, seed: int) -> Any:
        return sampler.draw(sampler._encode(group), n, seed=seed, ids=ids, output=output, chunk=chunk)

    return sampler.in_groups(once, images, seed, ids)


def _sample_baseline(
    model: Baseline,
    images: Tensor,
    n: int,
    seed: int | None,
    ids: Tensor | None,
    output: str,
    precision: str,
    backend: str,
    chunk: int | None,
) -> Any:
    """As `sample`, through PyTorch."""
    if backend not in ("auto", "reference"):
        raise ValueError(f'backend: got {backend!r}, expected "auto" or "reference": {type(model).__name__} is PyTorch')
    check_output(output)
    check_precision(precision, model.device)
    precision = automatic_precision(model.device) if precision == "auto" else precision
    bf16 = torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)
    with torch.no_grad(), fixed_precision(precision, model.device), bf16:
        hypotheses = model.hypotheses(images, n, seed=seed, ids=ids, chunk=chunk)
        parts: Iterator[Any] = (finished(logits, output) for logits in hypotheses)
        if output == "bits":
            parts = (PackedMasks(words, tuple(images.shape[2:])) for words in parts)
        return assemble(parts, n, dim=1)

"""Hypotheses of one image with the log-probability of every label, a chunk at a time, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fastpunet.hypotheses.evidence import label_log_probs
from fastpunet.latents import Noise
from fastpunet.memory import how_many
from fastpunet.sampler import Sampler

_LEAST = 6e-8  # probability: float32 cannot tell 1 minus less from 1


def latents_of(sampler: Sampler, encoding: Any, n: int, seed: int, id: int) -> Tensor | None:
    """The latents float32 (n, latent_dim) of hypotheses 0 .. n - 1 of one image; None for a model without a latent."""
    prior = sampler.method.prior_of(encoding)
    ids = torch.tensor([id], device=sampler.device)
    return None if prior is None else prior.draw(Noise(seed, ids, 0, n, sampler.backend))[0]


def drawn_log_probs(
    sampler: Sampler, encoding: Any, n: int, seed: int, id: int, pixels: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Masks uint8 (k, *size) and `label_log_probs` (k, K', p) of hypotheses 0 .. n - 1 of one image, some at a time.

    pixels: int64 (p,), the flattened pixels to return; None: all.
    """
    ids = torch.tensor([id], device=sampler.device)
    output, chunk = _output(encoding), _chunk(sampler, encoding)
    for part in sampler.stream(encoding, n, seed=seed, ids=ids, output=output, chunk=chunk):
        yield _read(part[0], output, pixels)


def decoded_log_probs(
    sampler: Sampler, encoding: Any, z: Tensor, pixels: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """As `drawn_log_probs`, of given latents z float (n, latent_dim)."""
    output = _output(encoding)
    for some in z.split(_chunk(sampler, encoding)):
        yield _read(sampler.decode(encoding, some[None], output=output)[0], output, pixels)


def _output(encoding: Any) -> str:
    """Logits; of models whose combiner ends in probabilities, these."""
    return "probs" if getattr(encoding, "last_activation", None) in ("sigmoid", "softmax") else "logits"


def _chunk(sampler: Sampler, encoding: Any) -> int:
    """As many hypotheses as fit in memory with their log-probabilities, of which there are a few copies."""
    bytes_each = 4 * 8 * max(2, sampler.num_classes) * encoding.pixels
    return how_many(bytes_each + sampler.method.scratch_bytes(encoding), sampler.device)


def _read(values: Tensor, output: str, pixels: Tensor | None) -> tuple[Tensor, Tensor]:
    """values (k, K, *size)"""
    if output == "probs":
        values = values.logit(_LEAST) if values.shape[1] == 1 else values.clamp(min=_LEAST).log()
    masks = (values[:, 0] > 0).to(torch.uint8) if values.shape[1] == 1 else values.argmax(1).to(torch.uint8)
    flat = values.flatten(2)
    return masks, label_log_probs(flat if pixels is None else flat[..., pixels])

"""Hypotheses of one image with the log-probability of every label, a chunk at a time, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fastpunet.hypotheses.fits.evidence import label_log_probs
from fastpunet.latents import Noise
from fastpunet.memory import how_many
from fastpunet.models.priors import Prior
from fastpunet.sampler import Sampler

_LEAST = 6e-8  # probability: float32 cannot tell 1 minus less from 1


@dataclass(frozen=True, eq=False)
class Latents:
    """The latents of hypotheses 0 .. n - 1 of one image.

    prior      the distribution they are drawn from; None for a model without a latent
    z          float32 (n, latent_dim); None without a latent
    log_prior  float64 (n,), log p(z | image) in nats; None without a latent, and where the density is unknown
    """

    prior: Prior | None
    z: Tensor | None
    log_prior: Tensor | None

    @staticmethod
    def of(sampler: Sampler, encoding: Any, n: int, seed: int, id: int) -> Latents:
        prior = sampler.method.prior_of(encoding)
        if prior is None:
            return Latents(None, None, None)
        z = prior.draw(Noise(seed, torch.tensor([id], device=sampler.device), 0, n, sampler.backend))[0]
        try:
            return Latents(prior, z, prior.log_density(z[None])[0])
        except TypeError:
            return Latents(prior, z, None)

    def why_no_gradient(self, sampler: Sampler) -> str:
        """Why no latent can be found by gradients, in a sentence; empty if one can."""
        name = sampler.method.name
        if self.prior is None:
            return f"{name} has no latent."
        if not sampler.method.has_gradients:
            return f"Hypotheses of {name} have no gradient with respect to the latent."
        return "" if self.log_prior is not None else f"The density of the prior of {name} is unknown."


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

"""Summarises any number of hypotheses in a few maps and numbers per image."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from fastpunet.latents import check_seed
from fastpunet.models.method import Encoding
from fastpunet.sampler import Sampler


@dataclass(frozen=True, eq=False)
class Summary:
    """A summary of each image's n hypotheses. K' is 1 (the foreground) for a binary model, else the classes' number."""

    mean: Tensor  # float32 (B, K', *size), mean probability
    entropy: Tensor  # float32 (B, *size), nats: entropy of the mean probability (total uncertainty)
    mutual_information: Tensor  # float32 (B, *size), nats: entropy minus the hypotheses' mean entropy (disagreement)
    volume: Tensor  # int64 (B, n, K'), pixels of each class in each hypothesis
    presence: Tensor  # float32 (B, K'), share of hypotheses in which the class occurs at all


@torch.no_grad()
def summarize(
    model: nn.Module,
    images: Tensor,
    n: int = 1000,
    *,
    seed: int | None = None,
    ids: Tensor | None = None,
    precision: str = "auto",
    backend: str = "auto",
    chunk: int | None = None,
) -> Summary:
    """Summarise n hypotheses of every image without holding them: apart from `volume`, memory does not grow with n.

    Arguments and errors are those of `fastpunet.sample`, and the hypotheses are the same, for every method. Entropy and
    mutual information are defined in Gal 2016, section 3.3, and Depeweg et al. 2018, equation 2.

    >>> import fastpunet, torch
    >>> summary = fastpunet.summarize(fastpunet.load("lesions"), torch.zeros(1, 1, 64, 64), n=100, seed=0)
    >>> summary.mean.shape, summary.volume.shape
    (torch.Size([1, 1, 64, 64]), torch.Size([1, 100, 1]))
    """
    sampler = Sampler(model, precision=precision, backend=backend)
    seed = check_seed(seed)
    groups = [
        _summarize(sampler, encoding, n, seed, its, chunk) for encoding, its in sampler.encode_groups(images, ids)
    ]
    names = [field.name for field in fields(Summary)]
    return Summary(**{name: torch.cat([getattr(group, name) for group in groups]) for name in names})


def _summarize(sampler: Sampler, encoding: Encoding, n: int, seed: int, ids: Tensor, chunk: int | None) -> Summary:
    parts = sampler.stream_sums(encoding, n, seed=seed, ids=ids, chunk=chunk)
    probability, entropies, volumes = next(parts)
    collected = [volumes]
    for part in parts:
        probability += part.probability
        entropies += part.entropy
        collected.append(part.volume)
    mean = (probability / n).float().unflatten(-1, encoding.size)
    entropy = _entropy(mean)
    volume = torch.cat(collected, dim=1)
    return Summary(
        mean=mean,
        entropy=entropy,
        mutual_information=(entropy - (entropies / n).float().unflatten(-1, encoding.size)).clamp_(min=0),
        volume=volume,
        presence=(volume > 0).float().mean(1),
    )


def _entropy(probs: Tensor) -> Tensor:
    """Entropy in nats over the classes of (B, K, *size); K = 1 is the probability of the foreground alone."""
    entropy = torch.special.entr(probs).sum(1)
    return entropy + torch.special.entr(1 - probs)[:, 0] if probs.shape[1] == 1 else entropy

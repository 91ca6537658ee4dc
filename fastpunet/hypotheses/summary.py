"""A thousand hypotheses, or a million, as a handful of maps and numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fastpunet.latents import check_ids, check_seed
from fastpunet.sampler import Sampler

_CHUNK = 8192  # hypotheses at a time: what they need besides their volumes takes a few MB, whatever their number


@dataclass(frozen=True, eq=False)
class Summary:
    """Per image, over its n hypotheses. K' is 1 for a binary model (the foreground) and the number of classes else."""

    mean: Tensor  # float32 (B, K', H, W), mean probability
    entropy: Tensor  # float32 (B, H, W), nats: entropy of the mean probability (total uncertainty)
    mutual_information: Tensor  # float32 (B, H, W), nats: entropy minus the hypotheses' mean entropy (disagreement)
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
    """Summarise n hypotheses of every image without holding them: memory is independent of n, but for `volume`.

    Arguments and errors as in `fastpunet.sample`, of which these are the same hypotheses. Entropy and mutual
    information: Gal 2016, section 3.3; Depeweg et al. 2018, equation 2.
    """
    sampler = Sampler(model, precision=precision, backend=backend)
    sampler.check_images(images)
    seed, image_ids = check_seed(seed), check_ids(ids, images.shape[0], images.device)
    rows = [
        _summarize_one(sampler, images[i : i + 1], n, seed, image_ids[i : i + 1], chunk) for i in range(len(images))
    ]
    return Summary(
        mean=torch.cat([row.mean for row in rows]),
        entropy=torch.cat([row.entropy for row in rows]),
        mutual_information=torch.cat([row.mutual_information for row in rows]),
        volume=torch.cat([row.volume for row in rows]),
        presence=torch.cat([row.presence for row in rows]),
    )


def _summarize_one(sampler: Sampler, image: Tensor, n: int, seed: int, ids: Tensor, chunk: int | None) -> Summary:
    encoding = sampler.encode(image)
    size = (image.shape[-2], image.shape[-1])
    parts = sampler.stream_sums(encoding, n, seed=seed, ids=ids, chunk=_CHUNK if chunk is None else chunk)
    probability, entropies, volumes = next(parts)
    collected = [volumes]
    for part in parts:
        probability += part.probability
        entropies += part.entropy
        collected.append(part.volume)
    mean = (probability / n).float().unflatten(-1, size)
    entropy = _entropy(mean)
    volume = torch.cat(collected, dim=1)
    return Summary(
        mean=mean,
        entropy=entropy,
        mutual_information=(entropy - (entropies / n).float().unflatten(-1, size)).clamp_(min=0),
        volume=volume,
        presence=(volume > 0).float().mean(1),
    )


def _entropy(probs: Tensor) -> Tensor:
    """Entropy in nats over the classes of (B, K, H, W); one class stands for itself and its complement."""
    entropy = torch.special.entr(probs).sum(1)
    return entropy + torch.special.entr(1 - probs)[:, 0] if probs.shape[1] == 1 else entropy

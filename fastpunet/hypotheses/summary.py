"""A thousand hypotheses, or a million, as a handful of maps and numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fastpunet.latents import check_ids, check_seed
from fastpunet.sampling import Sampler, free_memory

_MEMORY_SHARE = 16
_MOST_BYTES = 32 << 20  # larger chunks are not faster, only larger


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
    classes = int(sampler.model.fcomb.last_layer.out_channels)  # type: ignore[union-attr,arg-type]
    pixels = image.shape[-2] * image.shape[-1]
    if chunk is None:
        budget = min(_MOST_BYTES, free_memory(image.device) // _MEMORY_SHARE)
        chunk = max(1, budget // (4 * pixels * classes))
    probability_sum = image.new_zeros((1, classes, *image.shape[-2:]), dtype=torch.float64)
    entropy_sum = image.new_zeros((1, *image.shape[-2:]), dtype=torch.float64)
    volumes = []
    for logits in sampler.stream(encoding, n, seed=seed, ids=ids, output="logits", chunk=chunk):
        probs = logits.sigmoid() if classes == 1 else logits.softmax(2)
        probability_sum += probs.sum(1, dtype=torch.float64)
        entropy_sum += _entropy(probs, 2).sum(1, dtype=torch.float64)
        volumes.append(_volumes(logits))
    mean = (probability_sum / n).float()
    entropy = _entropy(mean, 1)
    volume = torch.cat(volumes, dim=1)
    return Summary(
        mean=mean,
        entropy=entropy,
        mutual_information=(entropy - (entropy_sum / n).float()).clamp_(min=0),
        volume=volume,
        presence=(volume > 0).float().mean(1),
    )


def _entropy(probs: Tensor, dim: int) -> Tensor:
    """Entropy in nats over the class axis; one class stands for itself and its complement."""
    entropy = torch.special.entr(probs).sum(dim)
    return entropy + torch.special.entr(1 - probs).sum(dim) if probs.shape[dim] == 1 else entropy


def _volumes(logits: Tensor) -> Tensor:
    """Pixels decided for each class: logits (B, n, K, H, W) to int64 (B, n, K')."""
    if logits.shape[2] == 1:
        return (logits > 0).sum((3, 4))
    labels = logits.argmax(2).flatten(2)
    counts = labels.new_zeros((*labels.shape[:2], logits.shape[2]))
    return counts.scatter_add_(2, labels, torch.ones_like(labels))

"""The pixels' cross-entropy, summed over an image. With a mean instead, the KL term would dominate the loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fastpunet.arguments import check_labels
from fastpunet_kernels import fixed_precision


def cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int | None, weights: Tensor | None) -> Tensor:
    """Cross-entropy (N,) in nats of logits (N, K, *size) and labels int (N, *size), without the ignored pixels.

    K = 1 means binary. weights: float (K,), or (2,) if binary, one for each class.
    """
    logits, labels = logits.float(), labels.long()
    if logits.shape[1] > 1:
        ignored = -100 if ignore_index is None else ignore_index
        return F.cross_entropy(logits, labels, weights, ignore_index=ignored, reduction="none").flatten(1).sum(1)
    counted = torch.ones_like(logits[:, 0]) if ignore_index is None else (labels != ignore_index).float()
    targets = labels * counted
    if weights is not None:
        counted = counted * weights[targets.long()]
    return F.binary_cross_entropy_with_logits(logits[:, 0], targets, counted, reduction="none").flatten(1).sum(1)


def cross_entropy_of_each(logits: Tensor, labels: Tensor, ignore_index: int | None, weights: Tensor | None) -> Tensor:
    """Cross-entropy (B, M, G) of every one of M logits (B, M, K, *size) with every one of G labels (B, G, *size).

    Raises ValueError for labels out of range.
    """
    check_labels(labels, logits.shape[2], ignore_index)
    flat, classes = logits.float().flatten(3), max(2, logits.shape[2])
    binary = logits.shape[2] == 1
    log_probs = torch.cat((F.logsigmoid(-flat), F.logsigmoid(flat)), 2) if binary else flat.log_softmax(2)
    counted = labels.flatten(2)[:, :, None] == torch.arange(classes, device=labels.device)[:, None]  # (B, G, K, P)
    if ignore_index is not None:
        counted &= (labels != ignore_index).flatten(2)[:, :, None]
    weighted = counted.float() if weights is None else counted * weights[:, None].float()
    with fixed_precision("ieee", logits.device):
        return -(log_probs.flatten(2) @ weighted.flatten(2).mT)

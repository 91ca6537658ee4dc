"""Groups of similar hypotheses of an image, made on a GPU without a wait, for `pruning.py` to bound together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

FEWEST = 64  # hypotheses of a group, to which its bounds cost about as much as five
ROUNDS = 3  # of the power iteration


class Groups(NamedTuple):
    """The hypotheses of B images in G groups of M each; copies of the last one fill them up."""

    order: Tensor  # int32 (B, G, M): the hypotheses; n and more for copies
    offsets: Tensor  # float32 (B, G, M, h): what each adds to the first layer
    boxes: Tensor  # float32 (B, G, 2, h): the lower and the upper bound of the offsets of a group


def similar_groups(offsets: Tensor, columns: int) -> Groups:
    """Divide the hypotheses of offsets (B, n, h) into groups of a multiple of `columns` each, at least about FEWEST.

    All hypotheses are halved again and again, along the leading principal direction of each part.
    """
    images, n, _ = offsets.shape
    groups = 1 << max(0, (n // FEWEST).bit_length() - 1)
    members = -(-n // (groups * columns)) * columns
    order = torch.arange(groups * members, device=offsets.device).expand(images, 1, -1)
    while order.shape[1] < groups:
        parts = _of(offsets, order)
        along = (parts @ _principal_direction(parts)).squeeze(-1)
        order = order.gather(2, along.argsort(2)).unflatten(2, (2, -1)).flatten(1, 2)
    grouped = _of(offsets, order)
    return Groups(order.int(), grouped, torch.stack([grouped.amin(2), grouped.amax(2)], dim=2))


def _of(offsets: Tensor, order: Tensor) -> Tensor:
    """Offsets (B, G, M, h) of hypotheses in groups (B, G, M)."""
    places = order.clamp(max=offsets.shape[1] - 1).flatten(1)
    return offsets.gather(1, places[..., None].expand(-1, -1, offsets.shape[2])).unflatten(1, order.shape[1:])


def _principal_direction(parts: Tensor) -> Tensor:
    """The leading principal direction (B, G, h, 1) of offsets (B, G, M, h), roughly: any would do.

    The power iteration begins with the offset that is furthest from the mean.
    """
    centred = parts - parts.mean(2, keepdim=True)
    furthest = centred.abs().sum(3, keepdim=True).argmax(2, keepdim=True)
    direction = centred.gather(2, furthest.expand(-1, -1, 1, parts.shape[3])).mT
    for _ in range(ROUNDS):
        direction = centred.mT @ (centred @ direction)
        direction = direction / direction.abs().amax(2, keepdim=True)
    return direction

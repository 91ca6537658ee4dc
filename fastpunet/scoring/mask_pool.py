"""Masks of random images as hypotheses, like those of a model that ignores the image and only knows masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastpunet.data import Record, Records
from fastpunet.masks import PackedMasks
from fastpunet.scoring.references import References

_IMAGES, _BYTES = 1000, 1 << 28  # of the pool, packed


class MaskPool:
    """Draws masks of random images from a pool: all images are equally likely, and all masks of the image drawn.

    If the pool has images of the size of the record, only their masks are drawn; otherwise masks of all images are
    resized to that size by nearest neighbours. The pool has at most 1000 images, chosen at random by the seed. apart:
    whether the pool shares no patient with the images that are scored. If it does, an image gets only masks of other
    patients, or of other images if patients are unknown. Hypotheses are a function of the seed and the record's id.
    """

    max_hypotheses: int | None = None

    def __init__(self, pool: Records, num_classes: int, device: torch.device, seed: int, *, apart: bool) -> None:
        self.num_classes, self.device, self._seed, self._apart = num_classes, device, seed, apart
        self.name = "random training masks" if apart else "masks of other images"
        self._masks: list[PackedMasks] = []  # (1, M, *size) of each image
        owners: list[str] = []
        shares: list[float] = []  # probability of each mask once its image is drawn, for all masks of all images
        held = 0
        for place in np.random.default_rng(seed).permutation(len(pool))[:_IMAGES]:
            record = pool[int(place)]
            masks = References.of([record], num_classes, device).masks
            if masks is None:
                continue
            count = len(record.masks)
            self._masks.append(masks)
            held += masks.words.numel() * masks.words.element_size()
            owners += [_owner(record)] * count
            shares += [1 / count] * count if record.weights is None else record.weights.astype(float).tolist()
            if held > _BYTES:
                break
        counts = [masks.shape[1] for masks in self._masks]
        self._image = np.repeat(np.arange(len(counts)), counts)  # the image of each mask
        self._place = np.concatenate([np.arange(count) for count in counts]) if counts else np.zeros(0, int)
        self._sizes = [masks.size for masks in self._masks]
        self._owners, self._shares = np.array(owners, dtype=str), np.array(shares)

    def has_masks_for(self, record: Record) -> bool:
        """Whether the pool has a mask that may be drawn for the record."""
        return bool(self._probabilities(record).sum() > 0)

    def draw(self, records: Sequence[Record], n: int) -> PackedMasks:
        size = tuple(records[0].image.shape[1:])
        return PackedMasks(torch.stack([self._words(record, n, size) for record in records]), size)

    def _words(self, record: Record, n: int, size: tuple[int, ...]) -> Tensor:
        """Packed words (n, K, words) of the masks drawn for a record."""
        probabilities = self._probabilities(record)
        rng = np.random.default_rng([self._seed, record.id])
        chosen = rng.choice(len(probabilities), size=n, p=probabilities / probabilities.sum())
        different, places = np.unique(chosen, return_inverse=True)
        words = torch.stack([self._one(int(mask), size) for mask in different])
        return words[torch.from_numpy(places).to(self.device)]

    def _one(self, mask: int, size: tuple[int, ...]) -> Tensor:
        masks, place = self._masks[self._image[mask]], int(self._place[mask])
        if masks.size == size:
            return masks.words[0, place]
        labels = masks[:, place : place + 1].unpack()[0, 0]
        for axis, (have, want) in enumerate(zip(masks.size, size, strict=True)):
            nearest = (torch.arange(want, device=self.device) + 0.5) * have / want
            labels = labels.index_select(axis, nearest.long())
        return PackedMasks.pack(labels[None, None], None if self.num_classes == 1 else self.num_classes).words[0, 0]

    def _probabilities(self, record: Record) -> NDArray[np.float64]:
        """The probability of each mask to be drawn for the record, up to a common factor."""
        size = tuple(record.image.shape[1:])
        allowed = np.array([len(other) == len(size) for other in self._sizes], dtype=bool)[self._image]
        if not self._apart:
            allowed &= self._owners != _owner(record)
        alike = allowed & np.array([other == size for other in self._sizes], dtype=bool)[self._image]
        return np.where(alike if alike.any() else allowed, self._shares, 0.0)


def _owner(record: Record) -> str:
    return record.patient or f"id {record.id}"

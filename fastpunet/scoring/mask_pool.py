"""Masks of random images as hypotheses: a model that has learned how masks look, and nothing of the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fastpunet.data import Record, Records
from fastpunet.masks import PackedMasks
from fastpunet.scoring.references import References

_IMAGES, _BYTES = 1000, 1 << 28  # of the pool, packed


class MaskPool:
    """Hypotheses are masks of random images of a pool that have the image's size: each image is as likely as any
    other, then each of its masks, or by its weight.

    pool: at most 1000 of its images are taken, at random by the seed. apart: whether the pool shares no patient with
    the images that are scored; else an image gets masks of other patients only, or of other images where patients are
    unknown. Hypotheses are a function of the seed and the record's id.
    """

    max_hypotheses: int | None = None

    def __init__(self, pool: Records, num_classes: int, device: torch.device, seed: int, *, apart: bool) -> None:
        self.num_classes, self.device, self._seed, self._apart = num_classes, device, seed, apart
        self.name = "random training masks" if apart else "masks of other images"
        self._words: dict[tuple[int, ...], list[torch.Tensor]] = {}
        self._owners: dict[tuple[int, ...], list[str]] = {}
        self._shares: dict[tuple[int, ...], list[float]] = {}
        self._fill(pool)

    def has_masks_for(self, record: Record) -> bool:
        """Whether there are masks of its size, and of another patient if need be."""
        return bool(self._probabilities(record).sum() > 0)

    def draw(self, records: Sequence[Record], n: int) -> PackedMasks:
        size = tuple(records[0].image.shape[1:])
        words = torch.cat(self._words[size])
        chosen = torch.from_numpy(np.stack([self._choose(record, n) for record in records])).to(self.device)
        return PackedMasks(words[chosen], size)

    def _fill(self, pool: Records) -> None:
        taken = np.random.default_rng(self._seed).permutation(len(pool))[:_IMAGES]
        held = 0
        for place in taken:
            record = pool[int(place)]
            masks = References.of([record], self.num_classes, self.device).masks
            if masks is None:
                continue
            count = len(record.masks)
            size = masks.size
            self._words.setdefault(size, []).append(masks.words[0])
            self._owners.setdefault(size, []).extend([_owner(record)] * count)
            weights = [1 / count] * count if record.weights is None else record.weights.astype(float).tolist()
            self._shares.setdefault(size, []).extend(weights)
            held += masks.words.numel() * masks.words.element_size()
            if held > _BYTES:
                break

    def _probabilities(self, record: Record) -> NDArray[np.float64]:
        """With which each mask of the record's size is drawn for it, up to a common factor."""
        size = tuple(record.image.shape[1:])
        shares = np.array(self._shares.get(size, []))
        owners = np.array(self._owners.get(size, []), dtype=str)
        return shares if self._apart else np.where(owners == _owner(record), 0.0, shares)

    def _choose(self, record: Record, n: int) -> NDArray[np.int64]:
        probabilities = self._probabilities(record)
        rng = np.random.default_rng([self._seed, record.id])
        return rng.choice(len(probabilities), size=n, p=probabilities / probabilities.sum())


def _owner(record: Record) -> str:
    return record.patient or f"id {record.id}"

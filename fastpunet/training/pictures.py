"""Makes pictures of samples for a log, with images, graders' masks and hypotheses as tiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastpunet.data import IGNORE, Record
from fastpunet.scoring.volume_slices import fullest_slice, sliced

_GRADERS = 4
_GAP = 2  # pixels


def sample_picture(records: Sequence[Record], hypotheses: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A row for each record: its image, up to four graders' masks, then its hypotheses.

    All images have the same size. hypotheses: uint8 (records, n, *size). For a volume, the picture shows the slice in
    which graders marked most. Returns RGB, uint8 (H', W', 3).
    """
    rows = []
    for record, drawn in zip(records, hypotheses, strict=True):
        place = fullest_slice(record)
        image, masks, labels = (sliced(arrays, place) for arrays in (record.image, record.masks[:_GRADERS], drawn))
        missing = np.zeros((_GRADERS - len(masks), *image.shape[1:]), np.uint8)
        tiles = [_rgb(image), *map(_colours, [*masks, *missing, *labels])]
        rows.append(_join(tiles, axis=1))
    return _join(rows, axis=0)


def _rgb(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    channels = image if len(image) == 3 else image[:1].repeat(3, axis=0)
    return np.round(255 * channels.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0)


def _colours(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB of labels: black background, white for class 1, a hue for every other class, grey for unannotated pixels."""
    index = np.arange(256)
    table = np.stack([255 - index * factor % 256 for factor in (0, 83, 151)], axis=1).astype(np.uint8)
    table[0], table[1], table[IGNORE] = 0, 255, 128
    return table[labels]


def _join(tiles: Sequence[NDArray[np.uint8]], axis: int) -> NDArray[np.uint8]:
    gap = np.zeros_like(tiles[0].take(range(_GAP), axis=axis)) + 90
    parts = [part for tile in tiles for part in (tile, gap)]
    return np.concatenate(parts[:-1], axis=axis).astype(np.uint8)

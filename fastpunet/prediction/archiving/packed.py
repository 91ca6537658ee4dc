"""Draws the hypotheses of one prepared input as packed masks on the grid of its file, a part at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from fastpunet.data.inputs import Input
from fastpunet.masks import PackedMasks
from fastpunet.memory import chunk_size
from fastpunet.models.method import Encoding, Method
from fastpunet.prediction.drawing import label_parts
from fastpunet.prediction.halving import Note, halving
from fastpunet.prediction.preparation import Prepared
from fastpunet.prediction.request import Request
from fastpunet.sampler import Sampler
from fastpunet_kernels.problem import WORD_BITS

_COPIES = 3  # of the packed slices of a volume: themselves, together, and joined
_LABELS_BYTES = 1 << 26  # of slices that become one volume


def packed_shape(size: tuple[int, ...], n: int, num_classes: int) -> tuple[int, int, int]:
    """(n, K', words), the shape of the packed hypotheses of one image."""
    return n, max(1, num_classes), -(-math.prod(size) // WORD_BITS)


def packed_bytes(source: Input, method: Method) -> int:
    """Main memory for each hypothesis of an input while it is drawn: only those of slices wait for the other slices."""
    if len(source.size) == method.dims:
        return 0
    _, planes, words = packed_shape(source.size, 1, method.num_classes)
    return _COPIES * 4 * planes * words


@torch.no_grad()
def packed_parts(
    sampler: Sampler,
    prepared: Prepared,
    id: int,
    request: Request,
    note: Note = lambda _: None,
    between: Callable[[], object] = lambda: None,
) -> Iterator[Tensor]:
    """Words int32 (some, K', words) of all hypotheses in order, as in `PackedMasks`, in main memory.

    Each image, or slice of a volume, passes the networks on its own, because they round otherwise among others.
    note: is told where memory ran out, after which less is computed at a time, with the same bits. between: is called
    after each step; an error that it raises ends the drawing.
    """
    images = prepared.images.to(sampler.device)
    grid = prepared.source.size
    ids = torch.full((len(images),), id)
    if images.ndim == len(grid) + 2:
        encoding = sampler.encode(images)
        for masks in _parts(sampler, encoding, ids, prepared, request, note):
            between()
            yield masks.words[0]
        return
    slices = []
    for image, its in zip(images, ids, strict=True):
        encoding = sampler.encode(image[None])
        parts = _parts(sampler, encoding, its[None], prepared, request, note)
        words = []
        for masks in parts:
            between()
            words.append(masks.words[0])
        slices.append(torch.cat(words))
    yield from _joined(torch.stack(slices), grid, sampler.num_classes)


def _parts(
    sampler: Sampler, encoding: Encoding, ids: Tensor, prepared: Prepared, request: Request, note: Note
) -> Iterator[PackedMasks]:
    """Packed masks (B, some, *size) on the grid of the file, or of its slices."""
    if not prepared.resampled:
        draw_part = partial(sampler.stream, encoding, request.n, seed=request.seed, ids=ids, output="bits")
        chunk = chunk_size(sampler.method, encoding, request.n, "bits", whole=False)
        for masks in halving(lambda some: draw_part(chunk=some), request.n, chunk, note):
            yield masks.to("cpu")
        return
    for labels in label_parts(sampler, encoding, ids, prepared.source.size, True, request, note):
        yield _pack(labels.cpu(), sampler.num_classes)


def _joined(slices: Tensor, grid: tuple[int, ...], num_classes: int) -> Iterator[Tensor]:
    """The words (some, K', words) of volumes, of those of their slices (D, n, K', words)."""
    together = max(1, _LABELS_BYTES // math.prod(grid))
    for some in slices.split(together, dim=1):
        labels = PackedMasks(some.contiguous(), grid[1:]).unpack()
        yield _pack(labels.movedim(0, 1)[None], num_classes).words[0]


def _pack(labels: Tensor, num_classes: int) -> PackedMasks:
    return PackedMasks.pack(labels, None if num_classes <= 1 else num_classes)

"""Draws the hypotheses of prepared images, and brings them back to the grid of their files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fastpunet.data.inputs import Input
from fastpunet.hypotheses.summaries.summary import summarize_encoded
from fastpunet.memory import chunk_size, how_many
from fastpunet.models.method import Encoding
from fastpunet.prediction.fitting import check_memory
from fastpunet.prediction.halving import Note, halving
from fastpunet.prediction.preparation import Prepared, resample
from fastpunet.prediction.request import Request
from fastpunet.sampler import Sampler
from fastpunet_kernels import finish

_COPIES = 4  # of the label maps: themselves, and what the writers of files make of them


@dataclass(frozen=True, eq=False)
class Drawn:
    """The hypotheses of one input, on its own grid, in main memory.

    labels   uint8 (n, *size), class indices
    mean     float32 (K', *size), mean probability of each class, K' = 1 (the foreground) for a binary model; or None
    entropy  float32 (*size), of the mean probability, in nats; or None
    """

    labels: Tensor
    mean: Tensor | None
    entropy: Tensor | None


@torch.no_grad()
def draw(
    sampler: Sampler,
    inputs: list[Prepared],
    ids: list[int],
    request: Request,
    between: Callable[[], object] = lambda: None,
    note: Note = lambda _: None,
) -> list[Drawn]:
    """Draw the hypotheses of inputs whose images have one shape, one id for each input.

    between: is called after each part of the work; an error that it raises ends the drawing. note: is told where memory
    ran out, after which less is computed at a time.

    All slices of a volume have the id of the volume, so that hypothesis k takes the same noise in every slice: it is
    one opinion about the whole volume.
    """
    images = torch.cat([prepared.images for prepared in inputs]).to(sampler.device)
    counts = [len(prepared.images) for prepared in inputs]
    every_id = torch.tensor(ids).repeat_interleave(torch.tensor(counts))
    grid = inputs[0].source.size
    check_memory(inputs[0].source, sampler.method, request, label_bytes(inputs[0].source), len(inputs))
    labels = torch.empty((len(images), request.n, *grid[len(grid) - images.ndim + 2 :]), dtype=torch.uint8)
    means, entropies = [], []
    rest = labels
    for encoding, its in sampler.encode_groups(images, every_id):
        free, rest = rest.tensor_split([len(its)])
        for part in label_parts(sampler, encoding, its, grid, inputs[0].resampled, request, note):
            filled, free = free.tensor_split([part.shape[1]], dim=1)
            filled.copy_(part)
            between()
        if request.mean or request.entropy:
            summary = summarize_encoded(sampler, encoding, request.n, request.seed, its)
            means.append(_on_grid(summary.mean, grid))
            entropies.append(_on_grid(summary.entropy[:, None], grid)[:, 0])
    parts = zip(
        labels.split(counts),
        torch.cat(means).split(counts) if request.mean else [None] * len(inputs),
        torch.cat(entropies).split(counts) if request.entropy else [None] * len(inputs),
        strict=True,
    )
    return [
        Drawn(
            _joined(label, grid),
            None if mean is None else _joined(mean, grid),
            None if entropy is None else _joined(entropy[:, None], grid)[0],
        )
        for label, mean, entropy in parts
    ]


@torch.no_grad()
def draw_maps(sampler: Sampler, prepared: Prepared, id: int, request: Request) -> tuple[Tensor, Tensor]:
    """The maps of one input on its own grid, image by image: mean (K', *size) and entropy (*size), as in `Drawn`."""
    grid, ids = prepared.source.size, torch.tensor([id])
    summaries = [
        summarize_encoded(sampler, sampler.encode(image[None]), request.n, request.seed, ids)
        for image in prepared.images.to(sampler.device)
    ]
    mean = torch.cat([_on_grid(summary.mean, grid) for summary in summaries])
    entropy = torch.cat([_on_grid(summary.entropy[:, None], grid) for summary in summaries])
    return _joined(mean, grid), _joined(entropy, grid)[0]


def label_parts(
    sampler: Sampler,
    encoding: Encoding,
    ids: Tensor,
    grid: tuple[int, ...],
    resampled: bool,
    request: Request,
    note: Note,
) -> Iterator[Tensor]:
    """Label maps (B, some, *size) of all hypotheses in order, on the grid of the file.

    Hypotheses on another grid are interpolated as logits, whose zero, or whose largest, is a smooth outline.
    """
    draw_part = partial(sampler.stream, encoding, request.n, seed=request.seed, ids=ids)
    if not resampled:
        chunk = chunk_size(sampler.method, encoding, request.n, "labels", whole=False)
        yield from halving(lambda some: draw_part(output="labels", chunk=some), request.n, chunk, note)
        return

    def resampled_parts(some: int) -> Iterator[Tensor]:
        for part in draw_part(output="logits", chunk=some):
            logits = _on_grid(part.flatten(0, 1), grid)
            flat = finish(logits.flatten(2).movedim(1, -1), "labels")
            yield flat.unflatten(0, part.shape[:2]).unflatten(-1, logits.shape[2:])

    pixels = max(encoding.pixels, math.prod(grid[-len(encoding.size) :]))
    chunk = how_many(4 * sampler.num_classes * encoding.images * pixels, sampler.device)
    yield from halving(resampled_parts, request.n, chunk, note)


def label_bytes(source: Input) -> int:
    """Main memory for each hypothesis of an input, as a label map, and for files of it."""
    return _COPIES * math.prod(source.size)


def _on_grid(maps: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Maps (B, K, *size) on the grid of the file, whose slices they may be."""
    size = grid[len(grid) - (maps.ndim - 2) :]
    return maps.cpu() if tuple(maps.shape[2:]) == size else resample(maps.float().cpu(), size)


def _joined(parts: Tensor, grid: tuple[int, ...]) -> Tensor:
    """(B, n, *size) of one input as (n, *grid): its slices become a volume."""
    return parts[0] if parts.ndim == len(grid) + 2 else parts.movedim(0, 1)

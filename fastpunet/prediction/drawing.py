"""Draws the hypotheses of prepared images, and brings them back to the grid of their files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fastpunet.hypotheses.summaries.summary import summarize_encoded
from fastpunet.memory import free_memory, how_many
from fastpunet.models.method import Encoding
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
) -> list[Drawn]:
    """Draw the hypotheses of inputs whose images have one shape, one id for each input.

    between: is called after each part of the work; an error that it raises ends the drawing.

    All slices of a volume have the id of the volume, so that hypothesis k takes the same noise in every slice: it is
    one opinion about the whole volume.
    """
    images = torch.cat([prepared.images for prepared in inputs]).to(sampler.device)
    counts = [len(prepared.images) for prepared in inputs]
    every_id = torch.tensor(ids).repeat_interleave(torch.tensor(counts))
    grid = inputs[0].source.size
    _check_memory(sum(math.prod(prepared.source.size) for prepared in inputs) * request.n, request.n, inputs[0])
    labels = torch.empty((len(images), request.n, *grid[len(grid) - images.ndim + 2 :]), dtype=torch.uint8)
    means, entropies = [], []
    rest = labels
    for encoding, its in sampler.encode_groups(images, every_id):
        free, rest = rest.tensor_split([len(its)])
        for part in label_parts(sampler, encoding, its, grid, inputs[0].resampled, request):
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
    chunk: int | None = None,
) -> Iterator[Tensor]:
    """Label maps (B, some, *size) of all hypotheses in order, on the grid of the file.

    Hypotheses on another grid are interpolated as logits, whose zero, or whose largest, is a smooth outline.
    """
    draw_part = partial(sampler.stream, encoding, request.n, seed=request.seed, ids=ids)
    if not resampled:
        yield from draw_part(output="labels", chunk=chunk)
        return
    if chunk is None:
        pixels = max(encoding.pixels, math.prod(grid[-len(encoding.size) :]))
        chunk = how_many(4 * sampler.num_classes * encoding.images * pixels, sampler.device)
    for part in draw_part(output="logits", chunk=chunk):
        logits = _on_grid(part.flatten(0, 1), grid)
        flat = finish(logits.flatten(2).movedim(1, -1), "labels")
        yield flat.unflatten(0, part.shape[:2]).unflatten(-1, logits.shape[2:])


def _check_memory(labels: int, n: int, first: Prepared) -> None:
    """Raise ValueError, before any work starts, if label maps of so many bytes, and files of them, do not fit."""
    needed = _COPIES * labels
    free = free_memory(torch.device("cpu"))
    if needed > free:
        raise ValueError(
            f"{first.source.name}: {n} hypotheses of it take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            "ask for fewer with -n, or crop the image"
        )


def _on_grid(maps: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Maps (B, K, *size) on the grid of the file, whose slices they may be."""
    size = grid[len(grid) - (maps.ndim - 2) :]
    return maps.cpu() if tuple(maps.shape[2:]) == size else resample(maps.float().cpu(), size)


def _joined(parts: Tensor, grid: tuple[int, ...]) -> Tensor:
    """(B, n, *size) of one input as (n, *grid): its slices become a volume."""
    return parts[0] if parts.ndim == len(grid) + 2 else parts.movedim(0, 1)

"""Batch after batch from main memory through a device and back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fastpunet.masks import PackedMasks

Call = Callable[[Tensor, int], Any]  # images (B, C, H, W) on the device, the first one's place among all, to a result


def through(device: torch.device, batches: Iterable[Tensor], call: Call) -> Iterator[Any]:
    """call(batch, place of its first image) for every batch, in order; tensors or PackedMasks, in main memory.

    On a GPU both copies are asynchronous, from and to pinned memory, on streams of their own, one batch ahead.
    """
    results = _overlapped(device, batches, call) if device.type == "cuda" else _plain(device, batches, call)
    yield from results


def _plain(device: torch.device, batches: Iterable[Tensor], call: Call) -> Iterator[Any]:
    first = 0
    for images in batches:
        yield call(images.to(device), first)
        first += len(images)


def _overlapped(device: torch.device, batches: Iterable[Tensor], call: Call) -> Iterator[Any]:
    first = 0
    up, down = torch.cuda.Stream(device), torch.cuda.Stream(device)
    finished: deque[tuple[Any, torch.cuda.Event]] = deque()
    for images in batches:
        with torch.cuda.device(device):
            main = torch.cuda.current_stream()
            with torch.cuda.stream(up):
                arrived = images.pin_memory().to(device, non_blocking=True)
            main.wait_stream(up)
            arrived.record_stream(main)
            result = call(arrived, first)
            down.wait_stream(main)
            with torch.cuda.stream(down):
                finished.append((_to_pinned(result, down), down.record_event()))
        first += len(images)
        if len(finished) > 1:
            yield _waited_for(*finished.popleft())
    while finished:
        yield _waited_for(*finished.popleft())


def _to_pinned(result: Any, stream: torch.cuda.Stream) -> Any:
    if isinstance(result, PackedMasks):
        return replace(result, words=_to_pinned(result.words, stream))
    result.record_stream(stream)
    return torch.empty_like(result, device="cpu", pin_memory=True).copy_(result, non_blocking=True)


def _waited_for(result: Any, copied: torch.cuda.Event) -> Any:
    copied.synchronize()
    return result

"""Moves batches from main memory to a device, computes there, and moves the results back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fastpunet.masks import PackedMasks


@dataclass(frozen=True)
class Pending:
    """A result whose inputs have still to be judged, which waits for the device.

    result  a tensor or PackedMasks
    facts   a tensor on the device with what the judge has to know
    judge   takes the facts in main memory, and raises ValueError if the result is good for nothing
    """

    result: Any
    facts: Tensor
    judge: Callable[[Tensor], None]

    def settled(self) -> Any:
        """The result, once its inputs have been judged."""
        self.judge(self.facts.cpu())
        return self.result


Call = Callable[[Tensor, Tensor], Pending]  # takes images (B, C, *size) and ids (B,), both on the device


def overlapped(device: torch.device, batches: Iterable[Any], call: Call) -> Iterator[Any]:
    """Yield the result of call(images, ids) for every batch, in order: tensors or PackedMasks in main memory.

    A batch is images, or a pair (images, ids); batches without ids are numbered consecutively. On a GPU both copies
    are asynchronous: they use pinned memory and their own CUDA streams, and the next batch is copied ahead of time.
    """
    numbered = _numbered(batches)
    results = _overlapping(device, numbered, call) if device.type == "cuda" else _one_by_one(device, numbered, call)
    yield from results


def _numbered(batches: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images and ids of every batch."""
    first = 0
    for batch in batches:
        images, ids = _parts(batch)
        if ids is None:
            ids = torch.arange(first, first + len(images))
        first += len(images)
        yield images, ids


def _parts(batch: Any) -> tuple[Tensor, Tensor | None]:
    parts = list(batch) if isinstance(batch, list | tuple) else [batch]
    if not 1 <= len(parts) <= 2 or not all(isinstance(part, Tensor) for part in parts):
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise TypeError(
            f"batches: got a {type(batch).__name__} ({kinds}), expected batches that are a tensor of images "
            "(B, C, *size), or a pair of images and ids int64 (B,); select them in the data loader or with a generator"
        )
    return parts[0], parts[1] if len(parts) == 2 else None


def _one_by_one(device: torch.device, batches: Iterable[tuple[Tensor, Tensor]], call: Call) -> Iterator[Any]:
    for images, ids in batches:
        result = call(images.to(device), ids).settled()
        yield result if device.type == "cpu" else result.to("cpu")


def _overlapping(device: torch.device, batches: Iterable[tuple[Tensor, Tensor]], call: Call) -> Iterator[Any]:
    up, down = torch.cuda.Stream(device), torch.cuda.Stream(device)
    waiting: deque[tuple[Pending, torch.cuda.Event]] = deque()
    for images, ids in batches:
        with torch.cuda.device(device):
            main = torch.cuda.current_stream()
            with torch.cuda.stream(up):
                arrived, numbers = (part.pin_memory().to(device, non_blocking=True) for part in (images, ids))
            main.wait_stream(up)
            arrived.record_stream(main)
            numbers.record_stream(main)
            pending = call(arrived, numbers)
            down.wait_stream(main)
            with torch.cuda.stream(down):
                result, facts = (_to_pinned(part, down) for part in (pending.result, pending.facts))
                waiting.append((replace(pending, result=result, facts=facts), down.record_event()))
        if len(waiting) > 1:
            yield _waited_for(*waiting.popleft())
    while waiting:
        yield _waited_for(*waiting.popleft())


def _to_pinned(result: Any, stream: torch.cuda.Stream) -> Any:
    if isinstance(result, PackedMasks):
        return replace(result, words=_to_pinned(result.words, stream))
    result.record_stream(stream)
    return torch.empty_like(result, device="cpu", pin_memory=True).copy_(result, non_blocking=True)


def _waited_for(pending: Pending, copied: torch.cuda.Event) -> Any:
    copied.synchronize()
    return pending.settled()

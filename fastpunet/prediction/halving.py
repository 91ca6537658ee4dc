"""Goes on with half as many hypotheses at a time where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

Note = Callable[[str], None]  # takes what happened, in half a sentence
MEMORY = "memory"  # the kind of warning that comes of it
RAN_OUT = "memory ran out, however little was done at a time; ask for fewer hypotheses, or free some"
_ALLOCATOR = "DefaultCPUAllocator"  # in the message of PyTorch's RuntimeError where main memory runs out


def halving(stream: Callable[[int], Iterator[Any]], n: int, chunk: int, note: Note) -> Iterator[Any]:
    """The n hypotheses of stream(chunk) in order, in parts (B, some, ...): tensors or PackedMasks.

    Where memory runs out, the rest comes from a stream of half the chunk, down to one hypothesis at a time. Hypotheses
    do not depend on the chunk.
    """
    done, chunk = 0, min(n, chunk)
    while True:
        skipped = 0
        try:
            for part in stream(chunk):
                known = min(part.shape[1], done - skipped)
                skipped += known
                if known < part.shape[1]:
                    rest = part[:, known:] if known else part
                    done, skipped = done + rest.shape[1], skipped + rest.shape[1]
                    yield rest
            return
        except (MemoryError, RuntimeError) as error:
            if not ran_out(error) or chunk == 1:
                raise
        note(f"memory ran out with {chunk} hypotheses at a time; went on with {chunk // 2}")
        chunk //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def ran_out(error: BaseException) -> bool:
    """Whether an error says that main memory or a GPU's ran out."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or _ALLOCATOR in str(error)

"""Puts what was computed of parts of images together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from fastpunet_kernels import WORD_BITS, Sums

_WORD = (1 << WORD_BITS) - 1
_SIGN = 1 << (WORD_BITS - 1)


def put(whole: Tensor, part: Tensor, first: int, output: str) -> None:
    """Write hypotheses of some pixels, in an output form of `Method.draw`, into those of all pixels.

    whole, part  (B, n, ..., pixels or words); first: the place in `whole` of the first pixel of `part`. With bits the
    words must be filled in the order of their pixels.
    """
    if output != "bits":
        whole[..., first : first + part.shape[-1]] = part
        return
    word, shift = divmod(first, WORD_BITS)
    moved = (part.long() & _WORD) << shift
    low, high = moved & _WORD, moved >> WORD_BITS
    filled = torch.nn.functional.pad(low, (0, 1)) | torch.nn.functional.pad(high, (1, 0))
    if shift:
        filled[..., 0] |= whole[..., word].long() & ((1 << shift) - 1)
    filled = filled[..., : whole.shape[-1] - word]
    whole[..., word : word + filled.shape[-1]] = ((filled ^ _SIGN) - _SIGN).to(torch.int32)


def added(parts: Iterator[Sums]) -> Sums:
    """Sums over all hypotheses from those over some after the other, which are not kept."""
    probability, entropy, volume = next(parts)
    volumes = [volume]
    for part in parts:
        probability += part.probability
        entropy += part.entropy
        volumes.append(part.volume)
    return Sums(probability, entropy, torch.cat(volumes, dim=1))


def side_by_side(parts: Sequence[Sums]) -> Sums:
    """Sums over all pixels from those over some beside the other."""
    volume = torch.stack([part.volume for part in parts]).sum(0)
    return Sums(
        torch.cat([part.probability for part in parts], 2), torch.cat([part.entropy for part in parts], 1), volume
    )

"""Hypotheses a chunk at a time: how many fit, and the chunks put together again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch

from fastpunet.masks import PackedMasks

_MEMORY_SHARE = 8  # a chunk's temporaries may take an eighth of the free memory


def default_chunk(images: int, latent_dim: int, width: int, device: torch.device) -> int:
    """Hypotheses whose latents and first-layer vectors (temporaries that grow with n) fit an eighth of free memory."""
    bytes_each = 4 * images * (3 * latent_dim + width)
    return max(1, free_memory(device) // _MEMORY_SHARE // bytes_each)


def free_memory(device: torch.device) -> int:
    """Bytes free on a GPU or in main memory; 1 GiB where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 1 << 30


def assemble(parts: Iterator[Any], total: int, dim: int) -> Any:
    """Join parts along `dim` in one buffer of the final size; a single part is handed on as it is."""
    whole: Any = None
    filled = 0
    for part in parts:
        words = part.words if isinstance(part, PackedMasks) else part
        if words.shape[dim] == total:
            return part
        if whole is None:
            whole = words.new_empty((*words.shape[:dim], total, *words.shape[dim + 1 :]))
        whole.narrow(dim, filled, words.shape[dim]).copy_(words)
        filled += words.shape[dim]
    return PackedMasks(whole, part.size) if isinstance(part, PackedMasks) else whole

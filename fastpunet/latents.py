"""Seeds to latents: every number is a pure function of (seed, image id, hypothesis), computed in any order."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet_kernels import philox_normal

SEED_LIMIT = 2**63
HYPOTHESIS_LIMIT = 2**32


def check_seed(seed: int | None) -> int:
    """The seed, or a fresh one from torch's global generator for None. Raises TypeError or ValueError."""
    if seed is None:
        return int(torch.randint(SEED_LIMIT - 1, ()).item())
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise TypeError(f"seed: got {type(seed).__name__}, expected an int in [0, 2**63) or None")
    if not 0 <= seed < SEED_LIMIT:
        raise ValueError(f"seed: got {seed}, expected an int in [0, 2**63)")
    return seed


def check_ids(ids: Tensor | None, images: int, device: torch.device) -> Tensor:
    """Image ids int64 (B,) on `device`; 0 .. B-1 for None. Raises TypeError or ValueError."""
    if ids is None:
        return torch.arange(images, device=device)
    if not isinstance(ids, Tensor) or ids.dtype != torch.int64:
        got = ids.dtype if isinstance(ids, Tensor) else type(ids).__name__
        raise TypeError(f"ids: got {got}, expected an int64 tensor with one id an image: torch.tensor([...])")
    if ids.shape != (images,):
        raise ValueError(f"ids: got shape {tuple(ids.shape)}, expected ({images},), one id an image")
    return ids.to(device)


def draw_latents(
    mu: Tensor, sigma: Tensor, n: int, *, seed: int, ids: Tensor | None = None, first: int = 0, backend: str = "auto"
) -> Tensor:
    """z = mu + sigma * eps for hypotheses first .. first + n - 1; mu, sigma (B, latent_dim), z (B, n, latent_dim)."""
    chosen = check_ids(ids, mu.shape[0], mu.device)
    noise = philox_normal(check_seed(seed), chosen, first, n, mu.shape[1], backend=backend)
    return torch.addcmul(mu[:, None], sigma[:, None], noise)

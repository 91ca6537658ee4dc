"""Scrambled Sobol points as a recipe: point k of an image is a pure function of (seed, image id, k)."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from fastpunet_kernels.reference import philox_4x32

POINTS = 2**30  # points of one image, as many as the direction numbers have binary digits
_DIGITS = 30
_OWN_KEY = 1 << 63  # seeds are below it, so the scrambles are independent of all plain draws
_UINT32 = 0xFFFFFFFF


def sobol_normals(seed: int, ids: Tensor, first: int, n: int, dim: int) -> Tensor:
    """Points first .. first + n - 1 as standard normals float32 (B, n, dim), by the inverse distribution function.

    The function is taken in the middle of each cell of width 2**-30, so that no normal is beyond 6.13.

    >>> sobol_normals(0, torch.tensor([7]), 0, 4, 1).sort(1).values.sign().flatten().tolist()
    [-1.0, -1.0, 1.0, 1.0]
    """
    uniform = (sobol_points(seed, ids, first, n, dim).double() + 0.5) * 2.0**-_DIGITS
    return torch.special.ndtri(uniform).float()


def sobol_points(seed: int, ids: Tensor, first: int, n: int, dim: int) -> Tensor:
    """Points first .. first + n - 1 of each image's own scramble of Sobol's sequence, int64 (B, n, dim) below 2**30.

    Of the first 2**m points, and of any later 2**m that begin at a multiple of 2**m, each of 2**m equal intervals of
    each coordinate holds exactly one. The scramble is a random lower triangular matrix over the digits of each
    coordinate and a random digital shift (Matousek 1998, "On the L2-discrepancy for anchored boxes", as in SciPy and
    PyTorch), so that each point is uniform. Direction numbers are those of Joe and Kuo 2008, from PyTorch.
    Points come in the order of k's digits, not of its Gray code. Raises ValueError for too many dimensions.
    """
    rows, shift = _scramble(seed, ids, dim)
    directions = _directions(dim).to(ids.device)
    scrambled = torch.zeros_like(rows)
    for digit in range(_DIGITS):
        scrambled ^= ((directions >> (_DIGITS - 1 - digit)) & 1) * rows[..., digit : digit + 1]
    points = shift[:, None].repeat(1, n, 1)
    k = torch.arange(first, first + n, device=ids.device)[:, None]
    for digit in range((first + n - 1).bit_length()):
        points ^= ((k >> digit) & 1) * scrambled[:, None, :, digit]
    return points


def _scramble(seed: int, ids: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """What each digit of a coordinate becomes, int64 (B, dim, 30) from the highest digit on; the shift (B, dim).

    A digit becomes itself, with random lower digits.
    """
    words = -(-(_DIGITS + 1) // 4)
    shape = (ids.numel(), dim, words)
    block = torch.arange(words, device=ids.device).expand(shape)
    axis = torch.arange(dim, device=ids.device)[:, None].expand(shape)
    image = ids.view(-1, 1, 1).expand(shape)
    key = seed ^ _OWN_KEY
    random = philox_4x32((block, axis, image & _UINT32, (image >> 32) & _UINT32), (key & _UINT32, key >> 32))
    numbers = torch.stack(random, dim=-1).flatten(2)
    itself = 1 << torch.arange(_DIGITS - 1, -1, -1, device=ids.device)
    return itself | (numbers[..., :_DIGITS] & (itself - 1)), numbers[..., _DIGITS] >> (32 - _DIGITS)


@cache
def _directions(dim: int) -> Tensor:
    """Direction numbers int64 (dim, 30): column j is what digit j of k, from the lowest on, adds to each coordinate."""
    most = torch.quasirandom.SobolEngine.MAXDIM
    if dim > most:
        raise ValueError(
            f'sampler: got "sobol", which has at most {most} dimensions, but the prior of this model takes {dim} for a '
            'latent; use "random"'
        )
    return torch.quasirandom.SobolEngine(dim).sobolstate

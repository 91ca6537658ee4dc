"""Scrambled Sobol points: SciPy's sequence under our scramble, balanced, standard normal, better than plain draws."""

import numpy as np
import pytest
import torch
from scipy.stats import qmc

from fastpunet.latents import Noise
from fastpunet.sobol import sobol_normals, sobol_points
from fastpunet_kernels.reference import philox_4x32

IDS = torch.tensor([5, 2**40, 3, -1])


def slow_points(seed, image, n, dim):
    """The same scramble of SciPy's sequence, digit by digit in Python's own integers."""
    plain = qmc.Sobol(dim, scramble=False, bits=30)
    gray = (plain.random(n) * 2**30).astype(int)
    points = np.zeros((n, dim), dtype=np.int64)
    for d in range(dim):
        words = []
        for block in range(8):
            counter = [torch.tensor(value) for value in (block, d, image & 0xFFFFFFFF, (image >> 32) & 0xFFFFFFFF)]
            words += [int(word) for word in philox_4x32(counter, (seed & 0xFFFFFFFF, seed >> 32 | 1 << 31))]
        for i in range(n):
            value, result = int(gray[i, d]), words[30] >> 2
            for digit in range(30):
                if value >> (29 - digit) & 1:
                    result ^= 1 << (29 - digit) | words[digit] % (1 << (29 - digit))
            points[i ^ i >> 1, d] = result  # SciPy's order is that of the Gray code
    return points


@pytest.mark.parametrize(("seed", "image"), [(0, 0), (2**63 - 1, 2**40 + 1), (12345, -7)])
def test_points_are_scipys_under_our_scramble(seed, image):
    ours = sobol_points(seed, torch.tensor([image]), 0, 64, 5)
    assert np.array_equal(ours[0].numpy(), slow_points(seed, image, 64, 5))


@pytest.mark.parametrize("dim", [1, 6, 70])
def test_each_dyadic_interval_holds_one_point_of_each_aligned_block(dim):
    points = sobol_points(3, IDS, 0, 512, dim)
    for m in range(10):
        cells = (points >> (30 - m)).unflatten(1, (-1, 2**m)).sort(2).values
        assert torch.equal(cells, torch.arange(2**m)[:, None].expand_as(cells))


def test_the_first_two_coordinates_form_a_net():
    """Each of the 64 boxes 2**-a x 2**(a - 6) holds exactly one of 64 points: a (0, 6, 2)-net in base 2."""
    points = sobol_points(0, IDS, 0, 64, 2)
    for a in range(7):
        boxes = (points[..., 0] >> (30 - a)) * 2 ** (6 - a) + (points[..., 1] >> (24 + a))
        assert torch.equal(boxes.sort(1).values, torch.arange(64).expand(4, -1))


def test_normals_never_reach_infinity(monkeypatch):
    """The lowest and the highest of all 2**30 cells."""
    ends = torch.tensor([0, 2**30 - 1]).view(1, 2, 1)
    monkeypatch.setattr("fastpunet.sobol.sobol_points", lambda *_: ends)
    low, high = sobol_normals(0, IDS, 0, 2, 1).flatten().tolist()
    assert low == -high
    assert 6.12 < high < 6.13


def test_normals_are_standard_normal():
    """Over scrambles: each entry's mean is 0 and its variance 1; entries of different images are uncorrelated."""
    z = sobol_normals(11, torch.arange(20_000), 0, 4, 2).double()
    assert z.mean(0).abs().max() < 5 / 20_000**0.5
    assert (z.var(0) - 1).abs().max() < 5 * (2 / 20_000) ** 0.5
    assert (z[::2] * z[1::2]).mean(0).abs().max() < 5 / 10_000**0.5


def test_means_of_a_smooth_function_err_far_less():
    def error(noise):
        return (noise.normals(4).double().exp().mean((1, 2)) - np.exp(0.5)).square().mean().sqrt()

    plain, sobol = (error(Noise(0, torch.arange(300), 0, 256, sampler=name)) for name in ("random", "sobol"))
    assert sobol < 0.25 * plain


def test_too_many_dimensions_are_named():
    with pytest.raises(
        ValueError, match='^sampler: got "sobol", which has at most 21201 dimensions, but the prior .* 21202'
    ):
        sobol_normals(0, IDS, 0, 1, 21202)

"""The sums of distances over a set of many masks and itself, which the CPU sorts, merges and compares in blocks."""

import math
import signal

import pytest
import torch
from fuzz_distances import fuzz

from fastpunet_kernels import distance_sums, pack_bits
from fastpunet_kernels.native import launch

if launch.kernels is None:
    pytest.skip(f"native kernels: {launch.WHY_MISSING}", allow_module_level=True)

ONES = torch.ones(1, 1, dtype=torch.float64)


def random_masks(*size, seed=0):
    return pack_bits(torch.rand(size, generator=torch.Generator().manual_seed(seed)) < 0.4)


def itself_and_copy(masks, weights, empty):
    """The sums in blocks, and those of all pairs."""
    return (
        distance_sums(masks, masks, weights, weights, empty, backend="native"),
        distance_sums(masks, masks.clone(), weights, weights.clone(), empty, backend="native"),
    )


def test_sums_are_those_of_all_pairs_to_the_last_bit():
    """Forty of the problems of `python -m tests.fuzz_distances`, on every instruction set."""
    found: list[str] = []
    assert fuzz(40, seed=5, report=found.append) == 0, found


@pytest.mark.parametrize("empty", [1.0, 0.0, math.nan])
def test_sums_are_those_of_the_reference(empty):
    masks = random_masks(2, 300, 3, 70)
    masks[:, ::7, 1] = 0
    masks[:, ::7, 0] = 0
    weights = torch.rand(2, 300, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for u in (weights, torch.ones_like(weights)):
        got, want = (distance_sums(masks, masks, u, u, empty, backend=backend) for backend in ("native", "reference"))
        torch.testing.assert_close(got, want, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("copies", "other"), [(300, 0), (2000, 1), (700, 700)])
def test_equal_masks_by_hand(copies, other):
    """So many copies of a mask of 3 pixels, and of one with one of them: d = 2/3 between them."""
    pair = pack_bits(torch.tensor([[1, 1, 1], [1, 0, 0]], dtype=torch.bool))
    masks = torch.cat([pair[:1].expand(copies, -1), pair[1:].expand(other, -1)])[None, :, None].contiguous()
    weights = ONES.expand(1, copies + other).contiguous()
    sums, _ = itself_and_copy(masks, weights, 1.0)
    assert sums.tolist() == [[pytest.approx(2 * copies * other * 2 / 3, rel=1e-15), (copies + other) ** 2]]


def test_masks_without_a_class_that_counts_have_no_distance():
    masks, weights = torch.zeros(1, 300, 2, 3, dtype=torch.int32), ONES.expand(1, 300).contiguous()
    assert itself_and_copy(masks, weights, math.nan)[0].tolist() == [[0, 0]]
    assert itself_and_copy(masks, weights, 0.0)[0].tolist() == [[90_000, 90_000]]
    masks[:, 0, 1] = 1  # one mask has a class: it differs from all others, wholly, and equals itself
    assert itself_and_copy(masks, weights, math.nan)[0].tolist() == [[598, 599]]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_and_order_change_nothing(threads):
    before = torch.get_num_threads()
    masks = random_masks(1, 3000, 1, 40)
    weights = ONES.expand(1, 3000).contiguous()
    want, _ = itself_and_copy(masks, weights, 1.0)
    try:
        torch.set_num_threads(threads)
        shuffled = masks[:, torch.randperm(3000)].contiguous()
        assert torch.equal(itself_and_copy(shuffled, weights, 1.0)[0], want)
    finally:
        torch.set_num_threads(before)


def test_a_long_sum_can_be_interrupted():
    """The sum of the weights shows that pairs were left out: it would be the square of their number."""

    class Interrupted(Exception):
        pass

    def interrupt(*_):
        raise Interrupted

    masks = torch.randint(-(2**31), 2**31, (1, 40_000, 1, 128), dtype=torch.int32)
    weights = ONES.expand(1, 40_000).contiguous()
    words, ones, sums = masks.numpy(), weights.numpy(), torch.full((1, 2), -1.0, dtype=torch.float64)
    sets = words, words, ones, ones
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Interrupted):
            launch.kernels.distance_sums(*sets, 1.0, sums.numpy(), launch.capability(), 1)
        assert 0 <= sums[0, 1] < 40_000.0**2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

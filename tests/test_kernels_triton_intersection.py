"""The Triton overlap kernels against the reference, which counts by another method."""

import math

import pytest
import torch
from torch import Tensor

from fastpunet_kernels import area, distance_sums, mask_iou, pairwise_intersection

pytest.importorskip("triton")

from fastpunet_kernels.triton import intersection, overlap

# images, masks in a and in b, classes, words: less and more than a tile of either method, and than a step of pixels
SHAPES = [(1, 1, 1, 1, 1), (2, 5, 40, 2, 7), (1, 130, 33, 1, 5)]


def random_words(*shape: int) -> Tensor:
    """Masks of which some have no pixel, and most share some."""
    words = torch.randint(-(2**31), 2**31, shape).to(torch.int32)
    return words * (torch.rand(*shape[:3], 1) < 0.7)


@pytest.fixture(params=["counted", "multiplied"])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether sets of any size are counted, or multiplied."""
    monkeypatch.setattr(intersection, "FEWEST_MULTIPLIED", 1 if request.param == "multiplied" else 10**9)
    return str(request.param)


@pytest.fixture(params=SHAPES, ids=str)
def pair(request: pytest.FixtureRequest, device: torch.device) -> tuple[Tensor, Tensor]:
    images, count_a, count_b, classes, words = request.param
    torch.manual_seed(3)
    a, b = (random_words(images, count, classes, words) for count in (count_a, count_b))
    return a.to(device), b.to(device)


@pytest.mark.usefixtures("method")
def test_counts_areas_and_iou_are_exact(pair: tuple[Tensor, Tensor]) -> None:
    a, b = pair
    assert torch.equal(area(a, backend="triton"), area(a, backend="reference"))
    for left, right in ((a, b), (a, a)):
        counts = pairwise_intersection(left, right, backend="triton")
        assert torch.equal(counts, pairwise_intersection(left, right.clone(), backend="reference"))
        for empty in (1.0, math.nan):
            iou = mask_iou(left, right, empty, backend="triton")
            expected = mask_iou(left, right.clone(), empty, backend="reference")
            torch.testing.assert_close(iou, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("method")
@pytest.mark.parametrize("empty", [1.0, math.nan])
def test_sums_of_distances(pair: tuple[Tensor, Tensor], empty: float) -> None:
    a, b = pair
    u, v, w = (torch.rand(x.shape[:2], dtype=torch.float64).to(x.device) for x in (a, b, a))
    for left, right, weights in ((a, b, v), (a, a, w)):
        expected = distance_sums(left, right.clone(), u, weights, empty, backend="reference")
        torch.testing.assert_close(distance_sums(left, right, u, weights, empty, backend="triton"), expected)


def test_sums_of_distances_of_many_pairs(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more pairs than are counted at a time: here two rows of them."""
    masks, weights = random_words(2, 5, 3, 4).to(device), torch.rand(2, 5, dtype=torch.float64).to(device)
    monkeypatch.setattr(overlap, "PAIRS", 2 * 2 * 5 * 3)
    expected = distance_sums(masks, masks, weights, weights, 1.0, backend="reference")
    torch.testing.assert_close(distance_sums(masks, masks, weights, weights, 1.0, backend="triton"), expected)


@pytest.mark.usefixtures("method")
@pytest.mark.parametrize("programs", [1, 7, 10**6])
def test_many_pixels_are_divided(programs: int, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels are divided among programs, and where memory for their bytes is short, among launches too."""
    monkeypatch.setattr(intersection, "PROGRAMS", programs)
    a, b = random_words(1, 50, 1, 29).to(device), random_words(1, 60, 1, 29).to(device)
    for step_bytes in (10**9, 128 * 60 * 5):
        monkeypatch.setattr(intersection, "EXPANDED_BYTES", step_bytes)
        for right in (a, b):
            expected = pairwise_intersection(a, right.clone(), backend="reference")
            assert torch.equal(pairwise_intersection(a, right, backend="triton"), expected)


@pytest.mark.usefixtures("method")
def test_intersection_of_full_empty_and_strided_masks(device: torch.device) -> None:
    masks = torch.stack((torch.full((1, 70), -1), torch.zeros(1, 70), torch.full((1, 70), -(2**31))))
    a = masks.to(torch.int32)[None].to(device)
    assert pairwise_intersection(a, a, backend="triton")[0, ..., 0].tolist() == [[2240, 0, 70], [0, 0, 0], [70, 0, 70]]
    wide = random_words(2, 3, 2, 18).to(device)
    strided = wide.transpose(1, 2)[..., ::2]
    expected = pairwise_intersection(strided.contiguous(), strided.contiguous(), backend="reference")
    assert torch.equal(pairwise_intersection(strided, strided, backend="triton"), expected)
    assert torch.equal(area(strided, backend="triton"), area(strided, backend="reference"))


@pytest.mark.usefixtures("method")
def test_no_image_and_no_mask(device: torch.device) -> None:
    for a, b in (
        (random_words(0, 3, 2, 4), random_words(0, 2, 2, 4)),
        (random_words(2, 0, 2, 4), random_words(2, 3, 2, 4)),
    ):
        left, right = a.to(device), b.to(device)
        assert pairwise_intersection(left, right, backend="triton").shape == (len(a), a.shape[1], b.shape[1], 2)
        assert mask_iou(left, left, 1.0, backend="triton").shape == (len(a), a.shape[1], a.shape[1], 2)
        assert area(left, backend="triton").shape == (len(a), a.shape[1], 2)


def test_every_tile_of_a_triangle_has_its_place(device: torch.device) -> None:
    """Masks of one pixel each, of which two share it only if they are the same mask, in 9 x 9 tiles."""
    pixels = torch.eye(9 * 32, dtype=torch.bool)
    weights = torch.tensor([1 << bit for bit in range(31)] + [-(1 << 31)])
    words = (pixels.view(1, 9 * 32, 1, 9, 32) * weights).sum(-1).to(torch.int32).to(device)
    counts = pairwise_intersection(words, words, backend="triton")[0, :, :, 0]
    assert torch.equal(counts.cpu(), torch.eye(9 * 32, dtype=torch.int32))


def test_the_method_fits_the_sets(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    few, many = (random_words(1, count, 1, 3).to(device) for count in (4, intersection.FEWEST_MULTIPLIED))
    used = []
    for name in ("_counted", "_multiplied"):
        launch = getattr(intersection, name)
        monkeypatch.setattr(intersection, name, lambda a, b, n=name, f=launch: used.append(n) or f(a, b))
    for a, b in ((few, few), (few, many), (many, many)):
        pairwise_intersection(a, b, backend="triton")
    assert used == ["_counted", "_counted", "_multiplied"]

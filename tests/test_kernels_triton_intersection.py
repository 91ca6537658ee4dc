"""The Triton overlap kernel against the reference, which counts by another method."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from fastpunet_kernels import pairwise_intersection

pytest.importorskip("triton")

from fastpunet_kernels.triton import intersection


def random_words(*shape: int) -> Tensor:
    return torch.randint(-(2**31), 2**31, shape).to(torch.int32)


@pytest.fixture(params=["counted", "multiplied"], autouse=True)
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether sets of any size are counted, or multiplied."""
    monkeypatch.setattr(intersection, "FEWEST_MULTIPLIED", 1 if request.param == "multiplied" else 10**9)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    images=st.integers(1, 2),
    count_a=st.integers(1, 70),
    count_b=st.integers(1, 40),
    classes=st.integers(1, 3),
    words=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
def test_intersection_counts_are_exact(
    images: int, count_a: int, count_b: int, classes: int, words: int, seed: int, device: torch.device
) -> None:
    torch.manual_seed(seed)
    a = random_words(images, count_a, classes, words).to(device)
    b = random_words(images, count_b, classes, words).to(device)
    ours = pairwise_intersection(a, b, backend="triton")
    assert torch.equal(ours, pairwise_intersection(a, b, backend="reference"))
    itself = pairwise_intersection(a, a, backend="triton")
    assert torch.equal(itself, pairwise_intersection(a, a.clone(), backend="reference"))


def test_intersection_of_full_empty_and_strided_masks(device: torch.device) -> None:
    masks = torch.stack((torch.full((1, 70), -1), torch.zeros(1, 70), torch.full((1, 70), -(2**31))))
    a = masks.to(torch.int32)[None].to(device)
    assert pairwise_intersection(a, a, backend="triton")[0, ..., 0].tolist() == [[2240, 0, 70], [0, 0, 0], [70, 0, 70]]
    wide = random_words(2, 3, 2, 18).to(device)
    strided = wide.transpose(1, 2)[..., ::2]
    expected = pairwise_intersection(strided.contiguous(), strided.contiguous(), backend="reference")
    assert torch.equal(pairwise_intersection(strided, strided, backend="triton"), expected)


def test_the_method_fits_the_sets(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    monkeypatch.undo()
    few, many = (random_words(1, count, 1, 3).to(device) for count in (4, intersection.FEWEST_MULTIPLIED))
    used = []
    launch = intersection._launch
    monkeypatch.setattr(intersection, "_launch", lambda *a: used.append(a[2]["MULTIPLY"]) or launch(*a))
    for a, b in ((few, few), (few, many), (many, many)):
        pairwise_intersection(a, b, backend="triton")
    assert used == [False, False, True]

"""Sums over many pairs, some pairs at a time, are those of all pairs at once."""

import pytest
import torch

from fastpunet.masks import PackedMasks
from fastpunet.metrics import energy_distance, ncc, pixel_reliability, planes, tiled_sums
from fastpunet_kernels import distance_sums


def masks(seed, count, classes=None):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes or 2, (2, count, 5, 9), generator=generator)
    labels[:, ::4] = 0
    return PackedMasks.pack(labels, classes)


@pytest.mark.parametrize("empty", [1.0, float("nan")])
@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("pairs", [2, 40, 10_000])
def test_tiles_add_up_to_the_whole(pairs, classes, empty, monkeypatch):
    monkeypatch.setattr(tiled_sums, "_PAIRS", {"cpu": pairs})
    a = masks(0, 13, classes).words, torch.rand(2, 13, dtype=torch.float64)
    b = masks(1, 7, classes).words, torch.rand(2, 7, dtype=torch.float64)
    for left, right in ((a, b), (b, a), (a, a)):
        whole = distance_sums(left[0], right[0], left[1], right[1], empty)
        found = tiled_sums.tiled_distance_sums(left, right, empty)
        torch.testing.assert_close(found, whole, rtol=1e-13, atol=1e-13)


def test_tiles_of_a_set_and_itself_add_up_to_those_of_it_and_its_copy(monkeypatch):
    monkeypatch.setattr(tiled_sums, "_PAIRS", {"cpu": 40})
    a = masks(0, 13).words, torch.rand(2, 13, dtype=torch.float64)
    for overlap in ("iou", "dice"):
        itself, copies = (tiled_sums.tiled_distance_sums(a, b, 1.0, overlap) for b in (a, (a[0].clone(), a[1])))
        torch.testing.assert_close(itself, copies, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("budget", "limit"), [("_PAIRS", 200), ("_WORDS", 900), ("_COUNTS", 450)])
def test_no_call_compares_more_than_it_may(budget, limit, monkeypatch):
    compared = []

    def record(a, b, weights_a, weights_b, empty):
        pairs = a.shape[0] * a.shape[1] * b.shape[1]
        of_a_pair = {"_PAIRS": 1, "_WORDS": a.shape[2] * a.shape[3], "_COUNTS": a.shape[2]}
        compared.append(pairs * of_a_pair[budget])
        return distance_sums(a, b, weights_a, weights_b, empty)

    monkeypatch.setattr(tiled_sums, "distance_sums", record)
    monkeypatch.setattr(tiled_sums, budget, {"cpu": limit})
    a, b = ((masks(seed, 50, 3).words, torch.ones(2, 50, dtype=torch.float64)) for seed in (0, 1))
    tiled_sums.tiled_distance_sums(a, b, 1.0)
    assert len(compared) > 10
    assert limit / 2 < max(compared) <= limit


def test_scores_do_not_depend_on_how_much_is_compared_at_a_time(monkeypatch):
    samples, references = masks(2, 21), masks(3, 4)
    whole = energy_distance(samples, references)
    tables, correlation = pixel_reliability(samples, references), ncc(samples, references)
    monkeypatch.setattr(tiled_sums, "_PAIRS", {"cpu": 30})
    monkeypatch.setattr(planes, "_UNPACKED", 500)
    parts = energy_distance(samples, references)
    for name in ("value", "unbiased", "cross", "sample_diversity", "reference_diversity"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-12, atol=1e-12)
    again = pixel_reliability(samples, references)
    assert torch.equal(again.predicted, tables.predicted)
    assert torch.equal(again.count, tables.count)
    assert torch.equal(ncc(samples, references), correlation)

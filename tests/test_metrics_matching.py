"""Hungarian-matched and best IoU against loops over NumPy masks."""

import itertools

import numpy as np
import pytest
import torch
from helpers import score_loops

from fastpunet import PackedMasks
from fastpunet.metrics import best_dice, best_iou, convention, matched_iou


def cases():
    rng = np.random.default_rng(0)
    binary, three = convention("kohl-lidc"), convention("phiseg", num_classes=3)
    nan_rule = convention("kohl-cityscapes", num_classes=3, classes=(0, 2))
    for n, graders, size in ((1, 4, (5, 7)), (6, 4, (8, 8)), (5, 3, (1, 1)), (16, 4, (9, 4)), (4, 1, (3, 3))):
        for rule in (binary, three, nan_rule):
            labels = rng.integers(0, rule.num_classes, (2, n + graders, *size)).astype(np.uint8)
            yield rule, labels[:, :n], labels[:, n:]
    for n, graders in ((4, 4), (3, 2)):
        yield binary, np.zeros((1, n, 4, 4), np.uint8), np.zeros((1, graders, 4, 4), np.uint8)
        yield binary, np.ones((1, n, 4, 4), np.uint8), np.zeros((1, graders, 4, 4), np.uint8)
        yield three, np.full((1, n, 4, 4), 1, np.uint8), np.full((1, graders, 4, 4), 2, np.uint8)
        yield nan_rule, np.full((1, n, 4, 4), 1, np.uint8), np.full((1, graders, 4, 4), 1, np.uint8)


@pytest.mark.parametrize(("rule", "samples", "references"), list(cases()))
@pytest.mark.parametrize("packed", [False, True])
def test_overlaps_are_those_of_numpy(rule, samples, references, packed):
    planes = None if rule.num_classes == 2 else rule.num_classes
    a, b = torch.from_numpy(samples), torch.from_numpy(references)
    if packed:
        a, b = PackedMasks.pack(a, planes), PackedMasks.pack(b, planes)
    matched, best, dice = (f(a, b, convention=rule).numpy() for f in (matched_iou, best_iou, best_dice))
    for i in range(len(samples)):
        sets = samples[i], references[i], rule
        np.testing.assert_allclose(matched[i], score_loops.matched(*sets), atol=1e-6)
        np.testing.assert_allclose(best[i], score_loops.best(*sets), atol=1e-6)
        np.testing.assert_allclose(dice[i], score_loops.best(*sets, dice=True), atol=1e-6)


def test_the_matching_is_the_best_of_all():
    """Against every assignment there is, of two hypotheses to three graders: six pairs each."""
    rng = np.random.default_rng(1)
    samples, references = rng.integers(0, 2, (1, 2, 3, 3)), rng.integers(0, 2, (1, 3, 3, 3))
    iou = score_loops.overlaps(samples[0], references[0], convention("kohl-lidc"))
    rows = [0, 0, 0, 1, 1, 1]
    best = max(
        np.mean([iou[s, y] for s, y in zip(rows, order, strict=True)])
        for order in set(itertools.permutations([0, 0, 1, 1, 2, 2]))
    )
    assert float(matched_iou(torch.from_numpy(samples), torch.from_numpy(references))) == pytest.approx(best, abs=1e-6)


def test_matching_by_hand():
    """Two hypotheses, two graders; the greedy pair (1 with 0, IoU 1) leaves IoU 0 for the others: 1/2."""
    left = torch.tensor([[1, 1, 0, 0]])
    right, all_ = 1 - left, torch.ones_like(left)
    samples, references = torch.stack((all_, left))[None], torch.stack((left, right))[None]
    assert float(matched_iou(samples, references)) == 0.75  # left to left, everything to right: (1 + 1/2) / 2
    assert float(best_iou(samples, references)) == 0.75
    assert float(best_dice(samples, references)) == pytest.approx((1 + 2 / 3) / 2)
    assert float(matched_iou(samples, samples)) == 1


def test_ignored_pixels_do_not_count():
    rng = np.random.default_rng(2)
    samples, references = (torch.from_numpy(rng.integers(0, 2, (1, n, 6, 6))) for n in (4, 3))
    ignore = torch.zeros(1, 6, 6, dtype=torch.bool)
    ignore[:, 3:] = True
    for metric in (matched_iou, best_iou, best_dice):
        kept = metric(samples[..., :3, :], references[..., :3, :])
        assert torch.equal(metric(samples, references, ignore=ignore), kept)
        with pytest.raises(ValueError, match="references: got 6 x 6 pixels, expected 3 x 6"):
            metric(samples[..., :3, :], references)
        with pytest.raises(ValueError, match="samples: got labels 0 .. 7"):
            metric(samples * 7, references)
        with pytest.raises(ValueError, match="convention: got 'mine'"):
            metric(samples, references, convention="mine")

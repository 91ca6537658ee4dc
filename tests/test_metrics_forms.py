"""Every score of every form in which masks may come, against its loop.

Labels, packed or ragged, in two or three dimensions, with weights and with ignored pixels.
"""

import math

import numpy as np
import pytest
import torch
from helpers.label_maps import random_labels
from helpers.scores import SCORES

from fastpunet import PackedMasks, pairwise_iou
from fastpunet.metrics import Convention, flip_counts

RULES = {
    "binary": Convention("binary"),
    "three classes": Convention("three classes", 3, (0, 2), math.nan),
    "empty is zero": Convention("empty is zero", 4, empty=0.0),
}
COUNTS = {"even": ((4, 4, 4), (3, 3, 3)), "ragged": ((4, 1, 2), (1, 3, 2)), "one": ((1, 1, 1), (1, 1, 1))}

scores = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
scores_of_rules = pytest.mark.parametrize(
    ("score", "rule"),
    [
        pytest.param(score, rule, id=f"{name}-{rule_name}")
        for name, score in SCORES.items()
        for rule_name, rule in RULES.items()
        if rule.num_classes == 2 or not score.binary
    ],
)


def problem(size, rule, counts, seed=0):
    """Label maps of three images and an `ignore`; the ignored pixels hold a label of no class."""
    rng = np.random.default_rng(seed)
    ignore = rng.random((3, *size)) < 0.3
    sets = [[random_labels(rng, (n, *size), rule.num_classes, len(size)) for n in of] for of in counts]
    return [[np.where(ignored, 255, labels) for labels, ignored in zip(of, ignore, strict=True)] for of in sets], ignore


def in_form(sets, form, ragged, num_classes):
    """One argument of the scores."""
    tensors = [torch.from_numpy(labels).to(torch.uint8) for labels in sets]
    if form != "labels":
        planes = None if num_classes == 2 and form == "packed" else num_classes
        masks = [PackedMasks.pack(labels[None], planes, ignore_index=255) for labels in tensors]
        return masks if ragged else PackedMasks(torch.cat([one.words for one in masks]), masks[0].size)
    return tensors if ragged else torch.stack(tensors)


@scores_of_rules
@pytest.mark.parametrize("form", ["labels", "packed", "a plane for each class"])
@pytest.mark.parametrize(("counts", "size"), [*((counts, (5, 7)) for counts in COUNTS), ("ragged", (3, 2, 7))], ids=str)
def test_a_score_equals_its_loop(score, rule, counts, form, size):
    (samples, references), ignore = problem(size, rule, COUNTS[counts])
    ragged = counts == "ragged"
    arguments = [in_form(sets, form, ragged, rule.num_classes) for sets in (samples, references)]
    rng = np.random.default_rng(1)
    given = np.zeros((3, max(COUNTS[counts][1])))
    for row, n in zip(given, COUNTS[counts][1], strict=True):
        row[:n] = rng.dirichlet(np.ones(n))
    for weights in (None, given) if score.takes_weights else (None,):
        options = {} if weights is None else {"weights": torch.from_numpy(weights)}
        found = score.call(*arguments, rule, ignore=torch.from_numpy(ignore), **options)
        assert found.dtype == torch.float64
        own = [None if weights is None else weights[i, : len(references[i])] for i in range(3)]
        wanted = [score.loop(samples[i], references[i], rule, own[i], ~ignore[i]) for i in range(3)]
        np.testing.assert_allclose(found.numpy(), np.array(wanted), rtol=0, atol=1e-6)


@scores_of_rules
def test_a_volume_scores_as_the_same_pixels_in_a_plane(score, rule):
    (samples, references), ignore = problem((3, 2, 7), rule, COUNTS["even"], seed=2)
    s, y = (in_form(sets, "labels", False, rule.num_classes) for sets in (samples, references))
    ignored = torch.from_numpy(ignore)
    for flat in ((6, 7), (1, 42), (3, 14)):
        in_plane = [masks.reshape(*masks.shape[:2], *flat) for masks in (s, y)]
        found = score.call(s, y, rule, ignore=ignored)
        torch.testing.assert_close(
            found, score.call(*in_plane, rule, ignore=ignored.reshape(3, *flat)), rtol=0, atol=0, equal_nan=True
        )


@scores
def test_views_and_dtypes_do_not_matter_and_input_is_left_as_it_was(score):
    (samples, references), _ = problem((5, 7), RULES["binary"], COUNTS["even"], seed=3)
    s, y = (torch.from_numpy(np.stack(sets) % 255 % 2).to(torch.uint8) for sets in (samples, references))
    wanted = score.call(s, y, RULES["binary"])
    for dtype in (torch.bool, torch.int8, torch.int16, torch.int64):
        views = [masks.to(dtype).transpose(-1, -2).contiguous().transpose(-1, -2) for masks in (s, y)]
        before = [view.clone() for view in views]
        torch.testing.assert_close(score.call(*views, RULES["binary"]), wanted, rtol=0, atol=0, equal_nan=True)
        assert all(map(torch.equal, views, before))


def test_a_volume_by_hand():
    """Two slices of 1 x 2 pixels: a is a column through both, b the first slice, c empty."""
    a, b, c = torch.tensor([[[1, 0]], [[1, 0]]]), torch.tensor([[[1, 1]], [[0, 0]]]), torch.zeros(2, 1, 2).long()
    samples, references = torch.stack([a, c])[None], torch.stack([b, c])[None]
    # IoU: a and b share one of three pixels
    third = pytest.approx(1 / 3, abs=1e-7)
    assert pairwise_iou(samples, references)[0].tolist() == [[third, 0.0], [0.0, 1.0]]
    rule = RULES["binary"]
    found = {name: score.call(samples, references, rule, ignore=None)[0].tolist() for name, score in SCORES.items()}
    # cross: (2/3 + 1 + 1 + 0) / 4; both diversities 2 (1) / 4; without equal pairs 1
    assert found["energy_distance"] == pytest.approx([1 / 3, -2 / 3, 2 / 3, 1 / 2, 1 / 2], abs=1e-7)
    assert found["matched_iou"] == pytest.approx(2 / 3)  # a with b, empty with empty
    assert found["matched_once"] == found["best_of_samples"] == pytest.approx(2 / 3)
    assert found["matched_dice"] == pytest.approx(3 / 4)
    assert found["best_iou"] == pytest.approx(2 / 3)
    assert found["best_dice"] == pytest.approx(3 / 4)  # (2/4 + 1) / 2
    assert found["present_distance"] == pytest.approx(2 / 3)
    assert found["presence"] == 0.5
    assert found["presence_reliability"] == 0  # 1/2 and 1/2
    # foreground at the four pixels: samples 1/2 0 1/2 0, graders 1/2 1/2 0 0; both bins' gaps are 1/2
    assert found["pixel_reliability"] == pytest.approx((1 / 2 + 1 / 2) / 4)
    # variance 1/2 0 1/2 0 of the samples; error under b 1/2 1 1/2 0, under c 1/2 0 1/2 0
    assert found["ncc"] == pytest.approx((0 + 1) / 2)
    assert math.isnan(found["nestedness"])  # of two hypotheses one is empty
    counts = flip_counts(samples, a[None], {1: 0})
    assert counts.kept.flatten().tolist() == [2, 0]
    assert counts.flipped.flatten().tolist() == [0, 2]

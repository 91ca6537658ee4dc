"""What every score refuses: each error names the argument."""

import math

import pytest
import torch
from helpers.scores import SCORES

from fastpunet import PackedMasks
from fastpunet.metrics import (
    Convention,
    best_iou,
    convention,
    default_convention,
    energy_distance,
    flip_counts,
    flip_mode_frequencies,
    ncc,
    nestedness,
    pixel_reliability,
    presence,
    presence_reliability,
    total_variation,
    total_variation_of_draws,
)

LABELS = torch.tensor([[[[0, 1], [1, 0]], [[1, 1], [0, 0]]]] * 3, dtype=torch.uint8)  # (3, 2, 2, 2)
BINARY = Convention("binary")

scores = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
weighted = pytest.mark.parametrize(
    "score", [pytest.param(score, id=name) for name, score in SCORES.items() if score.takes_weights]
)


@weighted
@pytest.mark.parametrize(
    ("error", "message", "weights"),
    [
        (ValueError, r"got shape \(4,\), expected \(N,\) = \(2,\) or \(B, N\) = \(3, 2\)", torch.ones(4)),
        (ValueError, r"got shape \(2, 3\)", torch.full((2, 3), 1 / 3)),
        (ValueError, r"got shape \(3, 1\)", torch.ones(3, 1)),
        (ValueError, r"got shape \(\)", torch.tensor(1.0)),
        (ValueError, "got probabilities whose sum is 2, expected 1; divide by weights.sum", torch.ones(2)),
        (ValueError, "got probabilities whose sum is 0, expected 1", torch.zeros(3, 2)),
        (ValueError, "got probabilities whose sum is 0.9, expected 1", torch.tensor([[0.5, 0.5], [0.5, 0.4], [1, 0]])),
        (ValueError, "got probabilities whose sum is inf", torch.tensor([math.inf, 0])),
        (ValueError, "got a negative or NaN value", torch.tensor([1.5, -0.5])),
        (ValueError, "got a negative or NaN value", torch.tensor([math.nan, 1.0])),
        (TypeError, "got dtype torch.int64, expected a float tensor", torch.tensor([1, 0])),
        (TypeError, "got list, expected a float tensor", [0.5, 0.5]),
        (TypeError, "got dtype torch.complex64", torch.tensor([0.5, 0.5]).to(torch.complex64)),
        (ValueError, "got device meta, expected cpu", torch.ones(2, device="meta")),
    ],
)
def test_weights_are_probabilities(score, error, message, weights):
    with pytest.raises(error, match=f"^weights: {message}"):
        score.call(LABELS, LABELS, BINARY, weights=weights)


@weighted
def test_weights_do_not_reach_beyond_an_images_masks(score):
    ragged = [LABELS[0], LABELS[1, :1], LABELS[2]]
    with pytest.raises(ValueError, match="^weights: got a value > 0 beyond the last of an image's (references|masks)"):
        score.call(ragged, ragged, BINARY, weights=torch.tensor([0.5, 0.5]))


@scores
@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (TypeError, r"got dtype torch.float32, expected labels", lambda masks: masks.float()),
        (TypeError, r"got dtype torch.float64, expected labels", lambda masks: masks.double() * math.nan),
        (TypeError, r"got dtype torch.complex64", lambda masks: masks.to(torch.complex64)),
        (TypeError, r"got dtype torch.uint16", lambda masks: masks.to(torch.uint16)),
        (TypeError, r"got ndarray, expected a tensor", lambda masks: masks.numpy()),
        (TypeError, r"got NoneType, expected a tensor", lambda _: None),
        (ValueError, r"got shape \(2, 2, 2\), expected \(B, N, H, W\) or \(B, N, D, H, W\)", lambda masks: masks[0]),
        (ValueError, r"got shape \(1, 1, 3, 2, 2, 2\)", lambda masks: masks[None, None]),
        (ValueError, r"got 0 masks in shape \(3, 0, 2, 2\)", lambda masks: masks[:, :0]),
        (ValueError, r"got 0 images", lambda masks: PackedMasks.pack(masks)[:0]),
        (ValueError, r"got 0 slices \(D\)", lambda masks: masks[:, :, None][:, :, :0]),
        (ValueError, r"got 0 rows \(H\)", lambda masks: masks[:, :, :0]),
        (ValueError, r"got labels 0 .. 2, expected 0 .. 1", lambda masks: masks * 2),
        (ValueError, r"got labels 0 .. 255, expected 0 .. 1", lambda masks: masks * 255),
        (ValueError, r"got labels -1 .. 0, expected 0 .. 1", lambda masks: -masks.long()),
        (ValueError, r"got PackedMasks of 3 planes, expected 1 or 2", lambda masks: PackedMasks.pack(masks, 3)),
        (ValueError, r"got a list of 0 images", lambda _: []),
        (TypeError, r"\[1\]: got dtype torch.float32", lambda masks: [masks[0], masks[1].float(), masks[2]]),
        (ValueError, r"\[1\]: got torch.int64 of 2 x 2 pixels", lambda masks: [masks[0], masks[1].long()]),
        (ValueError, r"\[2\]: got 0 masks", lambda masks: [masks[0], masks[1], masks[2, :0]]),
        (TypeError, r"\[1\]: got PackedMasks", lambda masks: [masks[0], PackedMasks.pack(masks[:1])]),
        (
            ValueError,
            r"\[1\]: got torch.uint8 of 2 x 2 pixels, expected PackedMasks of 1",
            lambda masks: [PackedMasks.pack(masks[:1]), masks[0]],
        ),
        (ValueError, r"\[0\]: got PackedMasks of 3 images", lambda masks: [PackedMasks.pack(masks)] * 3),
    ],
)
def test_masks_are_checked(score, error, message, change):
    where = "" if message.startswith(r"\[") else ": "
    for place in score.looks_at:
        arguments = [LABELS, LABELS]
        arguments[place] = change(LABELS)
        with pytest.raises(error, match=f"^(samples|references|masks){where}{message}"):
            score.call(*arguments, BINARY, ignore=None)


@scores
@pytest.mark.parametrize(
    ("error", "message", "ignore"),
    [
        (TypeError, "got dtype torch.uint8, expected a bool tensor", LABELS[:, 0]),
        (TypeError, "got int, expected a bool tensor", 255),
        (ValueError, r"got shape \(3, 2, 2, 2\), expected \(3, 2, 2\)", LABELS.bool()),
        (ValueError, r"got shape \(2, 2\)", LABELS[0, 0].bool()),
        (ValueError, r"got shape \(3, 1, 2, 2\)", LABELS[:, :1].bool()),
        (ValueError, "got device meta, expected cpu", LABELS[:, 0].bool().to("meta")),
    ],
)
def test_ignore_is_checked(score, error, message, ignore):
    with pytest.raises(error, match=f"^ignore: {message}"):
        score.call(LABELS, LABELS, BINARY, ignore=ignore)


@pytest.mark.parametrize("score", [score for score in SCORES.values() if len(score.looks_at) == 2])
@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("got 2 images, expected 3 as in samples", lambda masks: masks[:2]),
        ("got 2 x 1 pixels, expected 2 x 2 as in samples", lambda masks: masks[..., :1]),
        ("got 1 x 2 x 2 pixels, expected 2 x 2 as in samples", lambda masks: masks[:, :, None]),
        ("got device meta, expected cpu as in samples", lambda masks: masks.to("meta")),
        ("got device meta, expected cpu as in samples", lambda masks: PackedMasks.pack(masks).to("meta")),
    ],
)
def test_both_sets_are_of_the_same_images(score, message, change):
    with pytest.raises(ValueError, match=f"^references: {message}"):
        score.call(LABELS, change(LABELS), BINARY, ignore=None)


P = torch.tensor([0.5, 0.5])
COUNTS = flip_counts(LABELS, LABELS[:, 0], {0: 2})


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "num_classes: got 1, expected", lambda: ncc(LABELS, LABELS, num_classes=1)),
        (TypeError, "num_classes: got 2.5, expected", lambda: nestedness(LABELS, num_classes=2.5)),
        (ValueError, "num_classes: got 0, expected", lambda: pixel_reliability(LABELS, LABELS, num_classes=0)),
        (ValueError, "num_classes: got 0, expected", lambda: default_convention(0)),
        (ValueError, "classes: got 2, expected .* at most 1", lambda: nestedness(LABELS, classes=(2,))),
        (ValueError, "classes: got -1, expected", lambda: nestedness(PackedMasks.pack(LABELS, 2), classes=(-1,))),
        (ValueError, r"classes: got \(\), expected", lambda: nestedness(LABELS, classes=())),
        (TypeError, "classes: got 1.0, expected", lambda: Convention("mine", classes=(1.0,))),
        (TypeError, "classes: got 1, expected a sequence", lambda: Convention("mine", classes=1)),
        (ValueError, "classes: got 2, expected", lambda: convention("ccdm", classes=[2])),
        (TypeError, "bins: got 2.0, expected", lambda: presence_reliability(LABELS, LABELS, bins=2.0)),
        (ValueError, "bins: got 0, expected", lambda: pixel_reliability(LABELS, LABELS, bins=0)),
        (
            ValueError,
            "convention: got 'iou', expected one of kohl-lidc, ",
            lambda: best_iou(LABELS, LABELS, convention="iou"),
        ),
        (
            ValueError,
            r"references: got labels 24 .. 24, expected 0 .. 23 .* convention 'kohl-cityscapes' has 24 classes",
            lambda: energy_distance(LABELS, LABELS * 0 + 24, convention="kohl-cityscapes"),
        ),
        (ValueError, "masks: got labels 0 .. 3", lambda: presence(LABELS * 3)),
        (TypeError, "twins: got 1.5, expected", lambda: flip_counts(LABELS, LABELS[:, 0], {1: 1.5})),
        (ValueError, "twins: got -1, expected", lambda: flip_counts(LABELS, LABELS[:, 0], {1: -1})),
        (TypeError, "labels: got dtype torch.float32", lambda: flip_counts(LABELS, LABELS[:, 0].float(), {0: 2})),
        (TypeError, "samples: got list", lambda: flip_counts(list(LABELS), LABELS[:, 0], {0: 2})),
        (ValueError, "probabilities: got 1.5, expected", lambda: flip_mode_frequencies(COUNTS, [1.5])),
        (ValueError, "probabilities: got nan, expected", lambda: flip_mode_frequencies(COUNTS, [math.nan])),
        (ValueError, "p: got probabilities whose sum is 2, expected 1", lambda: total_variation(torch.ones(2), P)),
        (ValueError, "q: got a negative or NaN", lambda: total_variation(P, torch.tensor([1.5, -0.5]))),
        (ValueError, "q: got 3 modes, expected 2", lambda: total_variation(P, torch.full((3,), 1 / 3))),
        (TypeError, "q: got list, expected", lambda: total_variation(P, [0.5, 0.5])),
        (TypeError, "probabilities: got dtype torch.int64", lambda: total_variation_of_draws(torch.tensor([1]), 1)),
        (ValueError, "probabilities: got probabilities whose sum is 0.5", lambda: total_variation_of_draws(P[:1], 1)),
        (TypeError, "n: got 1.5, expected", lambda: total_variation_of_draws(P, 1.5)),
    ],
)
def test_other_arguments_are_checked(error, message, call):
    with pytest.raises(error, match=f"^{message}"):
        call()

"""Scores of probabilities: golden cases worked out by hand, soft hypotheses, and what is refused."""

import math

import numpy as np
import pytest
import torch
from helpers import probability_loops as loops
from helpers.label_maps import maps
from helpers.scores import SCORES
from sklearn.metrics import brier_score_loss, log_loss

from fastpunet.metrics import (
    Convention,
    Probabilities,
    Reliability,
    brier_score,
    cohens_kappa,
    collective_insight,
    consensus_dice,
    consensus_iou,
    energy_parts,
    flip_counts,
    image_log_likelihood,
    ncc,
    normal_volume_crps,
    pixel_nll,
    pixel_reliability,
    selective_risk,
    soft_dice,
    staple,
    uncertainty_ncc,
    volume_crps,
)

SAMPLES = maps("1110", "1100", "1000", "0000")  # p is 3/4, 1/2, 1/4, 0
GRADERS = maps("1100", "1000")  # y is 1, 1/2, 0, 0


def test_by_hand():
    near = lambda value: pytest.approx(value, abs=1e-9)  # noqa: E731
    # thresholds .1: 1110 and 1100, 4/5; .3: 1100, 1100, 1; .5: 1000 and 1000, 1; .7 the same; .9: none and 1000, 0
    assert soft_dice(SAMPLES, GRADERS).item() == near((4 / 5 + 1 + 1 + 1 + 0) / 5)
    assert soft_dice(SAMPLES, GRADERS, thresholds=(0.25, 0.9)).item() == near(1 / 2)
    assert consensus_dice(SAMPLES, GRADERS).item() == 1  # 1000 and 1000: strictly more than half
    assert consensus_iou(maps("1110"), GRADERS).item() == near(1 / 3)
    assert consensus_dice(maps("1101"), GRADERS, rule="unanimous").item() == near(2 / 3)  # pixels 1, 3 and 4
    # both classes: 2 (p - y)^2, pixel 1 for both graders 1/16, pixel 2 1/4, pixel 3 1/16, pixel 4 0
    assert brier_score(SAMPLES, GRADERS).item() == near(2 * (1 / 16 + 1 / 4 + 1 / 16) / 4)
    assert pixel_nll(SAMPLES, GRADERS).item() == near((2 * math.log(4 / 3) + math.log(2)) / 4)
    # top labels 1 0 0 0 (a tie is background): errors 0 1/2 0 0; confidence's uncertainty 1/4 1/2 1/4 0
    risk = selective_risk(SAMPLES, GRADERS)
    assert (risk.risk.item(), risk.aurc.item(), risk.excess.item()) == (near(1 / 8), near(1 / 32), near(0))
    # the wrong half of pixel 2 against the right 1, 1, 1 below it and the right half of its own, a tie
    assert risk.auroc.item() == near((1 / 2 * 3 + 1 / 2 * 1 / 2 / 2) / (1 / 2 * 7 / 2))
    # volumes 3 2 1 0 and 2 1: E|V - 2| = 1, E|V - 1| = 1, E|V - V'| = 20/16
    assert volume_crps(SAMPLES, GRADERS).item() == near(1 - 5 / 8)
    assert volume_crps(SAMPLES, GRADERS, unbiased=True, unit=2.0).item() == near(2 * (1 - 5 / 6))
    # mean volume 3/2, that of the graders: sd 1/2 (2 / sqrt(2 pi) - 1 / sqrt(pi))
    assert normal_volume_crps(SAMPLES, GRADERS).item() == near(
        (2 / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi)) / 2
    )
    # 1100 with 1100: 1; 1000 with 1100: (3/4 - 1/2) / (1/2)
    assert cohens_kappa(maps("1100", "1000"), maps("1100")).item() == near(3 / 4)
    parts = energy_parts(SAMPLES, GRADERS)
    assert parts.detection.item() == near(2 / 16)
    # not empty: 1110 1100 1000 with 1100 1000: d 1/3 2/3, 0 1/2, 1/2 0; among samples 1/3 2/3 1/2; graders 1/2
    assert parts.shape.item() == near(2 * (2 / 6) - 2 * (3 / 2) / 9 - 1 / 4)
    # sensitivity 1; best Dice 1 and 1. Nested masks that differ at k of 4 pixels have variance
    # k/4 (1 - k/4): 3/16 for the graders' only one, 3/16 to 1/4 for the samples'
    found = collective_insight(SAMPLES, GRADERS)
    assert (found.sensitivity.item(), found.best_dice.item()) == (1, 1)
    assert found.agreement.item() == near(1 - 1 / 32)
    assert found.value.item() == near(3 * (31 / 32) / (2 + 31 / 32))
    # variances of the masks 3/16 1/4 3/16 0, of the graders 1/4 3/16
    assert collective_insight(SAMPLES, GRADERS, variance="variances").agreement.item() == near(
        1 - (1 / 16 + 3 / 16) / 2
    )


def test_errors_of_classes_do_not_cancel():
    """Hypotheses 0 and 1, truth 1: the two classes are wrong by 1/2 each, in opposite directions."""
    samples, truth = maps("0", "1"), maps("1")
    assert pixel_reliability(samples, truth).error.item() == 0.5
    assert pixel_reliability(samples, truth, num_classes=2).error.item() == 0.5
    assert pixel_reliability(samples, truth, num_classes=2, kind="top-label").error.item() == 0.5
    assert pixel_reliability(maps("012"), maps("012"), num_classes=3).error.item() == 0


def test_bins_of_equal_count_and_other_summaries():
    table = Reliability(*(torch.tensor([v]).double() for v in ([4, 0, 2, 2], [0.4, 0, 1, 1.8], [0, 0, 1, 0])))
    assert table.error.item() == pytest.approx((0.4 + 0 + 1.8) / 8)
    assert table.mean_gap.item() == pytest.approx((0.1 + 0 + 0.9) / 3)
    assert table.maximum_gap.item() == pytest.approx(0.9)
    halves = table.equal_count(2)
    assert halves.count.tolist() == [[4, 4]]
    assert halves.error.item() == pytest.approx((0.4 + 1.8) / 8)
    thirds = table.equal_count(3)  # ends at 8/3 and 16/3: 2/3 of the first bin; then a third of it and 4/6 of the next
    assert thirds.predicted[0].tolist() == pytest.approx([0.4 * 2 / 3, 0.4 / 3 + 2 / 3, 1 / 3 + 1.8])
    torch.testing.assert_close(thirds.observed.sum(), table.observed.sum())
    none = Reliability(*torch.zeros(3, 1, 4).double())
    assert none.error.isnan()
    assert none.mean_gap.isnan()
    assert none.maximum_gap.isnan()


def test_equal_count_is_that_of_sorted_predictions():
    """Of predictions that all differ, with as many in each bin."""
    rng = np.random.default_rng(0)
    p, y = rng.random(60), rng.integers(0, 2, 60)
    soft = Probabilities(torch.from_numpy(p).reshape(1, 1, 1, 1, 60))
    found = pixel_reliability(soft, torch.from_numpy(y).reshape(1, 1, 1, 60), bins=100000).equal_count(6).error
    order = p.argsort().reshape(6, 10)
    assert found.item() == pytest.approx(np.mean(np.abs(p[order].mean(1) - y[order].mean(1))))


def test_the_authors_flip_frequency_divides_by_all_pixels():
    truth = torch.zeros(1, 1, 10, dtype=torch.int64)
    counts = flip_counts(maps("0" + "2" * 3 + "1" * 6), truth, {0: 2})
    assert counts.pixel_frequencies().item() == 0.75
    assert counts.pixel_frequencies("all").item() == pytest.approx(0.3)
    with pytest.raises(ValueError, match="among: got 'some', expected one of either, all"):
        counts.pixel_frequencies("some")


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_in_the_place_of_masks(classes):
    """One-hot probabilities score as the masks do; others as NumPy and scikit-learn have them."""
    rng = np.random.default_rng(classes)
    labels, references = (torch.from_numpy(rng.integers(0, classes, (2, n, 3, 5))) for n in (4, 3))
    one_hot = torch.nn.functional.one_hot(labels, classes).permute(0, 1, 4, 2, 3).double()
    hard = Probabilities(one_hot[:, :, 1:] if classes == 2 else one_hot)
    rule, ignore = Convention("c", classes), torch.from_numpy(rng.random((2, 3, 5)) < 0.3)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4])
    for name in (
        *("soft_dice", "consensus_dice", "unanimous_dice", "brier_score", "pixel_nll", "selective_risk"),
        *("uncertainty_ncc", "normal_volume_crps", "pixel_reliability", "top_label_reliability", "ncc"),
    ):
        for options in ({}, {"sample_weights": weights}):
            found, wanted = (SCORES[name].call(s, references, rule, ignore=ignore, **options) for s in (hard, labels))
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6, equal_nan=True)
    values = rng.dirichlet(np.ones(classes), (2, 4, 3, 5)).transpose(0, 1, 4, 2, 3)
    soft = Probabilities(torch.from_numpy(values[:, :, 1:] if classes == 2 else values.copy()))
    mean, y = values.mean(1).reshape(2, classes, -1), references.flatten(2).numpy()
    nll = [np.mean([log_loss(row, m.T, labels=range(classes)) for row in of]) for of, m in zip(y, mean, strict=True)]
    options = {} if classes == 2 else {"num_classes": classes}
    np.testing.assert_allclose(pixel_nll(soft, references, **options), nll, atol=1e-9)
    if classes == 2:
        of_sklearn = [np.mean([brier_score_loss(row, m[1]) for row in of]) for of, m in zip(y, mean, strict=True)]
        np.testing.assert_allclose(brier_score(soft, references), 2 * np.array(of_sklearn), atol=1e-12)
    np.testing.assert_allclose(ncc(soft, references, **options), published_ncc(values, references.numpy()), atol=1e-9)
    at_labels = np.take_along_axis(values[:, :, None], references.numpy()[:, None, :, None], 3)[:, :, :, 0]
    likelihood = np.log(at_labels.reshape(2, 4, 3, -1).prod(-1).mean(1)).mean(1)
    np.testing.assert_allclose(image_log_likelihood(soft, references, **options), likelihood, atol=1e-9)


def published_ncc(values, references):
    """PHiSeg's: pixel-wise cross-entropies with 1e-8 added to probabilities."""
    found = []
    for p, graders in zip(values, references, strict=True):
        logs = np.log(p + 1e-8)
        variance = -(p.mean(0) * logs).sum(1).mean(0).ravel()
        errors = [-np.take_along_axis(logs, np.tile(y[None, None], (len(p), 1, 1, 1)), 1).mean(0) for y in graders]
        found.append(np.mean([np.corrcoef(variance, error.ravel())[0, 1] for error in errors]))
    return found


def test_staple_trusts_the_graders_who_agree():
    """Two graders who agree, and one who marks elsewhere: the truth is the two's, and the third is found out."""
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.3
    graders = np.array([truth ^ (rng.random(200) < 0.03), truth ^ (rng.random(200) < 0.03), rng.random(200) < 0.3])
    found = staple(torch.from_numpy(graders).reshape(1, 3, 1, 200)).flatten().numpy()
    np.testing.assert_allclose(found, loops.staple(graders), atol=1e-6)
    assert ((found > 0.5) == truth).mean() > 0.95
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth, wrong = rng.integers(0, 3, 60), rng.random((rng.integers(3, 6), 60)) < 0.15
        votes = np.where(wrong, rng.integers(0, 3, wrong.shape), truth)
        ignore = rng.random(60) < 0.2
        of_all = [torch.from_numpy(votes).reshape(-1, 1, 60), torch.from_numpy(votes[:2] * 0).reshape(-1, 1, 60)]
        options = {"num_classes": 3, "ignore": torch.from_numpy(ignore).reshape(1, 1, 60).expand(2, 1, 60)}
        found = staple(of_all, **options)
        for label in range(3):
            wanted = loops.staple((votes == label)[:, ~ignore])
            np.testing.assert_allclose(found[0, label, 0].numpy()[~ignore], wanted, atol=1e-6)
        assert found[:, :, 0, torch.from_numpy(ignore)].eq(0).all()
        hypothesis = torch.from_numpy(rng.integers(0, 3, (1, 60)))[None, None].expand(2, 1, 1, 60)
        dice = consensus_dice(list(hypothesis), of_all, rule="staple", **options)[0]
        kept, h = (found[0, 1:, 0].numpy() > 0.5)[:, ~ignore], hypothesis[0, 0, 0].numpy()[~ignore]
        assert dice.item() == pytest.approx(np.mean([loops.dice(kept[c - 1], h == c) for c in (1, 2)]))
    assert staple(torch.zeros(1, 3, 2, 2, dtype=torch.uint8)).eq(0).all()
    assert staple(torch.ones(1, 3, 2, 2, dtype=torch.uint8)).eq(1).all()


def test_uncertainty_that_ranks_errors_perfectly():
    samples, truth = maps("1110", "1100", "1100", "1100", "1110"), maps("1100")
    found = selective_risk(samples, truth)
    assert found.risk.item() == 0
    assert found.auroc.isnan()
    wrong = selective_risk(samples, maps("1110"))
    assert (wrong.auroc.item(), wrong.ause.item()) == (1, 0)
    assert uncertainty_ncc(samples, truth).isnan()  # one grader does not vary


P = torch.full((1, 2, 1, 2, 2), 0.5)
ONE = torch.ones(1, 1, 2, 2, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "values: got dtype torch.uint8, expected a float tensor", lambda: Probabilities(P.byte())),
        (ValueError, r"values: got shape \(2, 1, 2, 2\), expected \(B, n, K, H, W\)", lambda: Probabilities(P[0])),
        (ValueError, "values: got values outside 0 .. 1 or NaN", lambda: Probabilities(P * 3)),
        (ValueError, "values: got values outside 0 .. 1 or NaN", lambda: Probabilities(P * math.nan)),
        (
            ValueError,
            "values: got sums over classes that differ from 1 by 0.5",
            lambda: Probabilities(P.expand(1, 2, 3, 2, 2)),
        ),
        (
            ValueError,
            "samples: got Probabilities of 1 classes, expected 3",
            lambda: brier_score(Probabilities(P), ONE, num_classes=3),
        ),
        (
            ValueError,
            "samples: got Probabilities of 1 images",
            lambda: brier_score(Probabilities(P), ONE.expand(2, 1, 2, 2)),
        ),
        (
            ValueError,
            r"samples: got Probabilities of 1 images of \(2, 2\)",
            lambda: brier_score(Probabilities(P), ONE[..., :1]),
        ),
        (
            ValueError,
            r"sample_weights: got shape \(3,\)",
            lambda: brier_score(Probabilities(P), ONE, sample_weights=torch.ones(3) / 3),
        ),
        (
            TypeError,
            "samples: got Tensor, expected fastpunet.metrics.Probabilities",
            lambda: image_log_likelihood(ONE, ONE),
        ),
        (TypeError, "samples: got Probabilities, expected a tensor", lambda: cohens_kappa(Probabilities(P), ONE)),
        (ValueError, "smallest: got 0, expected a probability above 0", lambda: pixel_nll(ONE, ONE, smallest=0)),
        (ValueError, "thresholds: got 'all', expected one of d-persona", lambda: soft_dice(ONE, ONE, thresholds="all")),
        (ValueError, r"thresholds: got \(1.5,\), expected", lambda: soft_dice(ONE, ONE, thresholds=(1.5,))),
        (ValueError, "rule: got 'most', expected one of majority", lambda: consensus_dice(ONE, ONE, rule="most")),
        (
            ValueError,
            'weights: got weights with rule="staple"',
            lambda: consensus_dice(ONE, ONE, rule="staple", weights=torch.ones(1)),
        ),
        (ValueError, "empty: got 2, expected", lambda: consensus_dice(ONE, ONE, empty=2)),
        (ValueError, "kind: got 'all', expected one of class-wise", lambda: pixel_reliability(ONE, ONE, kind="all")),
        (ValueError, "uncertainty: got 'all', expected one of", lambda: selective_risk(ONE, ONE, uncertainty="all")),
        (ValueError, "variance: got 'all', expected one of", lambda: collective_insight(ONE, ONE, variance="all")),
        (ValueError, "unit: got 0, expected a positive number", lambda: volume_crps(ONE, ONE, unit=0)),
        (
            ValueError,
            "sample_weights: got weights with unbiased=True",
            lambda: volume_crps(ONE, ONE, unbiased=True, sample_weights=torch.ones(1)),
        ),
        (ValueError, "bins: got 0", lambda: pixel_reliability(ONE, ONE).equal_count(0)),
    ],
)
def test_errors_name_the_argument(error, message, call):
    with pytest.raises(error, match=f"^{message}"):
        call()

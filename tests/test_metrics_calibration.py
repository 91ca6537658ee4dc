"""Reliability against scikit-learn, and NCC against the published formula with its small number."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve

from fastpunet import PackedMasks
from fastpunet.metrics import ncc, pixel_reliability, presence_reliability


def random_masks(seed, n, graders, size, classes=2):
    rng = np.random.default_rng(seed)
    thresholds = rng.random((1, 1, *size))
    labels = (rng.random((3, n + graders, *size)) * 0.7 + thresholds * 0.3) * classes
    labels = labels.astype(np.uint8)
    return labels[:, :n], labels[:, n:]


@pytest.mark.parametrize(
    ("n", "graders", "bins", "size"), [(16, 4, 10, (8, 9)), (10, 3, 10, (5, 5)), (1, 1, 4, (1, 1))]
)
@pytest.mark.parametrize("packed", [False, True])
def test_bins_are_those_of_scikit_learn(n, graders, bins, size, packed):
    """Each grader's vote at a pixel is one outcome, 0 or 1, of the same prediction."""
    samples, references = random_masks(n, n, graders, size)
    pair = [torch.from_numpy(labels) for labels in (samples, references)]
    found = pixel_reliability(*(PackedMasks.pack(labels) if packed else labels for labels in pair), bins=bins)
    for i in range(len(samples)):
        votes = references[i].reshape(graders, -1).ravel()
        probability = np.tile(samples[i].mean(0).ravel(), graders)
        observed, predicted = calibration_curve(votes, probability, n_bins=bins)
        used = found.count[i] > 0
        np.testing.assert_allclose((found.predicted[i] / found.count[i])[used], predicted)
        np.testing.assert_allclose((found.observed[i] / found.count[i])[used], observed)
        assert found.count[i].sum() == np.prod(size)
        edges = np.linspace(0, 1, bins + 1)
        counts = [((probability > low) & (probability <= high)).sum() for low, high in pairwise(edges)]
        counts[0] += (probability == 0).sum()
        np.testing.assert_array_equal(found.count[i] * graders, counts)
        gaps = np.abs(observed - predicted)
        weights = found.count[i][used].numpy() / np.prod(size)
        assert float(found.error[i]) == pytest.approx((weights * gaps).sum())


def test_every_class_is_a_prediction_of_its_own():
    samples, references = (torch.from_numpy(labels) for labels in random_masks(1, 6, 4, (7, 7), classes=3))
    found = pixel_reliability(samples, references, num_classes=3)
    parts = [pixel_reliability(samples == label, references == label) for label in range(3)]
    for name in ("count", "predicted", "observed"):
        torch.testing.assert_close(getattr(found, name), torch.stack([getattr(part, name) for part in parts], 1))
    torch.testing.assert_close(found.error, torch.stack([part.error for part in parts], 1).mean(1))


def test_weights_are_shares_of_graders_and_ignored_pixels_do_not_count():
    samples, references = (torch.from_numpy(labels) for labels in random_masks(2, 5, 2, (6, 6)))
    weights = torch.tensor([0.75, 0.25])
    repeated = references[:, [0, 0, 0, 1]]
    for metric in (pixel_reliability, presence_reliability):
        weighted, plain = metric(samples, references, weights=weights), metric(samples, repeated)
        torch.testing.assert_close(weighted.observed, plain.observed)
    ignore = torch.zeros(3, 6, 6, dtype=torch.bool)
    ignore[:, :, 4:] = True
    kept = pixel_reliability(samples[..., :4], references[..., :4])
    found = pixel_reliability(samples, references, ignore=ignore)
    torch.testing.assert_close(found.count, kept.count)
    torch.testing.assert_close(found.observed, kept.observed)
    with pytest.raises(ValueError, match="bins: got 0"):
        pixel_reliability(samples, references, bins=0)


def test_presence_is_one_prediction_an_image():
    samples, references = torch.zeros(3, 4, 2, 2, dtype=torch.uint8), torch.zeros(3, 4, 2, 2, dtype=torch.uint8)
    samples[0, :3, 0, 0] = 1  # predicted 3/4
    references[0, :1, 1, 1] = 1  # observed 1/4
    references[1] = 1  # predicted 0, observed 1
    found = presence_reliability(samples, references, bins=4)
    assert found.count.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert found.observed.tolist() == [[0, 0, 0.25, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert found.error.tolist() == [0.5, 1, 0]


def published_ncc(samples, references, classes, small=1e-8):
    """E_s[CE(mean s, s)] and E_s[CE(y, s)] pixel by pixel, from one-hot maps, log 0 as log `small`."""
    one_hot = np.eye(classes)[samples].reshape(len(samples), -1, classes)
    logs = np.log(one_hot + small)
    variance = -(one_hot.mean(0) * logs).sum(-1).mean(0)
    found = []
    for y in references:
        error = -(np.eye(classes)[y].reshape(1, -1, classes) * logs).sum(-1).mean(0)
        constant = np.ptp(variance) < 1e-6 or np.ptp(error) < 1e-6
        found.append(np.nan if constant else np.corrcoef(variance, error)[0, 1])
    return np.nanmean(found) if not np.isnan(found).all() else np.nan


@pytest.mark.parametrize(
    ("n", "graders", "size", "classes"), [(16, 4, (8, 9), 2), (7, 3, (5, 5), 3), (2, 1, (2, 2), 2)]
)
def test_ncc_is_the_published_one(n, graders, size, classes):
    samples, references = random_masks(n, n, graders, size, classes)
    found = ncc(torch.from_numpy(samples), torch.from_numpy(references), num_classes=None if classes == 2 else classes)
    expected = [published_ncc(s, y, classes) for s, y in zip(samples, references, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    if classes == 2:
        packed = [PackedMasks.pack(torch.from_numpy(labels)) for labels in (samples, references)]
        torch.testing.assert_close(ncc(*packed), found, equal_nan=True)


def test_ncc_where_nothing_varies_is_unknown():
    samples, references = (torch.from_numpy(labels) for labels in random_masks(0, 4, 2, (4, 4)))
    assert torch.isnan(ncc(samples[:, :1].expand(-1, 4, -1, -1), references)).all()
    assert torch.isnan(ncc(torch.zeros_like(samples), references)).all()
    ignore = torch.zeros(3, 4, 4, dtype=torch.bool)
    ignore[:, 2:] = True
    torch.testing.assert_close(
        ncc(samples, references, ignore=ignore), ncc(samples[..., :2, :], references[..., :2, :]), equal_nan=True
    )

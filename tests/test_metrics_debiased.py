"""Debiased calibration: the estimator of Kumar et al., groups, and no bias for a perfect model of few hypotheses."""

import numpy as np
import pytest
import torch
from helpers.label_maps import maps

from fastpunet import PackedMasks
from fastpunet.metrics import (
    Probabilities,
    Reliability,
    debiased_squared_error,
    pixel_reliability,
    presence_reliability,
)
from fastpunet.scoring import estimates


def test_it_is_that_of_kumar_if_each_image_is_one_prediction():
    """Of a recalibrated model, whose probability in a bin is constant."""
    rng = np.random.default_rng(0)
    places, y = rng.integers(0, 3, 50), rng.integers(0, 2, 50).astype(float)
    p = np.array([0.1, 0.5, 0.7])[places]
    one = np.eye(3)[places]
    table = Reliability(*(torch.from_numpy(one * v[:, None]) for v in (np.ones(50), p, y)))
    wanted = 0.0
    for b in range(3):
        inside = y[places == b]
        n, mean = len(inside), inside.mean()
        wanted += n / 50 * ((p[places == b][0] - mean) ** 2 - mean * (1 - mean) / (n - 1))
    assert debiased_squared_error(table).item() == pytest.approx(wanted, abs=1e-12)


def test_it_is_the_mean_product_over_pairs_of_groups():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        count = rng.integers(0, 3, (6, 2, 3)).astype(float)
        gap = count * rng.normal(size=count.shape)
        table = Reliability(torch.from_numpy(count), torch.from_numpy(gap), torch.zeros(6, 2, 3).double())
        groups = rng.integers(0, 4, 6).tolist()
        total = 0.0
        for k, b in np.ndindex(2, 3):
            pairs = [(i, j) for i in range(6) for j in range(6) if groups[i] != groups[j]]
            weight = sum(count[i, k, b] * count[j, k, b] for i, j in pairs)
            product = sum(gap[i, k, b] * gap[j, k, b] for i, j in pairs)
            total += count[:, k, b].sum() * (product / weight if weight else 0)
        wanted = total / count.sum() if count.sum() else np.nan
        assert debiased_squared_error(table, groups).item() == pytest.approx(wanted, abs=1e-9, nan_ok=True)
    flat = np.stack([count, gap, np.zeros_like(gap)], 1).reshape(6, 3, -1)
    assert estimates.debiased_calibration(flat) == pytest.approx(debiased_squared_error(table).item())


def test_a_perfect_model_has_none_whatever_the_number_of_hypotheses():
    """Of 400 data sets of 100 images with 4 hypotheses: not split, chance in the bins looks like an error."""
    rng = np.random.default_rng(0)
    found, unsplit = [], []
    for _ in range(400):
        p = rng.beta(0.6, 0.6, (100, 1))
        s, y = (torch.from_numpy(rng.random((100, n)) < p).reshape(100, n, 1, 1) for n in (4, 4))
        found.append(debiased_squared_error(presence_reliability(s, y, split=True)).item())
        unsplit.append(debiased_squared_error(presence_reliability(s, y)).item())
    error = np.std(found) / 20
    assert abs(np.mean(found)) < 4 * error
    assert np.mean(unsplit) > 10 * error


def test_halves_sort_and_predict():
    samples = maps("11", "01", "11", "00")  # halves 1, 3: 1 1; halves 2, 4: 0 1/2
    table = pixel_reliability(samples, maps("10"), split=True, bins=2)
    assert table.count.tolist() == [[0, 2]]
    assert table.predicted.tolist() == [[0, 0.5]]
    forms = [PackedMasks.pack(samples), [samples[0]], [PackedMasks.pack(samples)]]
    for form in [*forms, Probabilities(samples[:, :, None].double())]:
        found = pixel_reliability(form, maps("10"), split=True, bins=2)
        assert found.predicted.tolist() == [[0, 0.5]]
    top = pixel_reliability(samples, maps("10"), split=True, kind="top-label", bins=2)
    assert (top.predicted.tolist(), top.observed.tolist()) == ([[0, 0.5]], [[0, 1]])
    assert presence_reliability(samples, maps("10"), split=True, bins=2).predicted.tolist() == [[0, 0.5]]


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("samples: got a single hypothesis with split=True", lambda: pixel_reliability(ONE, ONE, split=True)),
        (
            "sample_weights: got weights with split=True",
            lambda: presence_reliability(ONE, ONE, split=True, sample_weights=torch.ones(1)),
        ),
        ("split: got 1, expected true or false", lambda: pixel_reliability(ONE, ONE, split=1)),
        ("groups: got 2, expected 1", lambda: debiased_squared_error(pixel_reliability(ONE, ONE), [1, 2])),
    ],
)
def test_errors_name_the_argument(message, call):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


ONE = torch.ones(1, 1, 2, 2, dtype=torch.uint8)

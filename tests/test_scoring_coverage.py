"""Intervals cover the truth as often as they say, and p values of equal methods are uniform, on simulated data sets.

docs/results/statistics.md has more settings, and more repetitions of each.
"""

import numpy as np
import pytest
from scipy import stats

from benchmarks.intervals import correlation_interval, covered, differences, mean_interval

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("patients", [20, 93])
def test_the_interval_of_a_mean_covers(patients, skewed):
    assert 0.925 < covered(lambda rng: mean_interval(rng, patients, skewed=skewed), 1500) < 0.97


def test_the_interval_of_a_mean_of_five_patients_covers():
    assert 0.93 < covered(lambda rng: mean_interval(rng, 5), 1500) < 0.97


@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_the_interval_over_patients_and_seeds_covers(effect):
    assert 0.93 < covered(lambda rng: mean_interval(rng, 50, seeds=3, effect=effect), 1500) < 0.975


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_interval_of_a_correlation_covers(seeds):
    assert 0.93 < covered(lambda rng: correlation_interval(rng, 50, 0.4, seeds), 1500, 0.4) < 0.97


@pytest.mark.parametrize(
    ("patients", "options"),
    [(12, {}), (12, {"score": "presence_correlation"}), (93, {"seeds": 3, "effect": 3.0})],
    ids=str,
)
def test_p_values_of_equal_methods_are_uniform_and_intervals_cover_zero(patients, options):
    found = differences(600, patients, **options)
    ps = np.array([one.p for one in found])
    assert stats.kstest(ps, "uniform").pvalue > 0.01
    assert 0.03 < np.mean(ps < 0.05) < 0.07
    assert 0.92 < np.mean([one.low <= 0 <= one.high for one in found]) < 0.975


def test_a_calibration_error_is_not_called_different_more_often_than_said():
    for seeds, blur in ((1, 1.0), (3, 0.0), (3, 1.0)):
        found = differences(200, 40, score="presence_calibration_error", seeds=seeds, blur=blur)
        assert np.mean([one.p < 0.05 for one in found]) < 0.09
        assert np.isnan(found[0].low)


def test_a_difference_is_found():
    for options, shift in (({}, 0.8), ({"seeds": 3, "effect": 1.0}, 0.8)):
        assert np.mean([one.p < 0.05 for one in differences(100, 20, shift=shift, **options)]) > 0.9

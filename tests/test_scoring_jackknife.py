"""Means and correlations over images, with intervals over patients and training seeds, against slow loops."""

import numpy as np
import pytest
from scipy import stats

from fastpunet.scoring.estimates import Estimate, calibration_error, correlation, estimate, mean
from fastpunet.scoring.evaluation import Evaluation, MethodEvaluation
from fastpunet.scoring.image_names import ImageNames

RNG = np.random.default_rng(0)


def by_hand(tables, patients, score):
    """Value, variance and degrees of freedom of the mean over checkpoints, scored without each patient in turn."""
    known = [p for p in sorted(set(patients)) if any((~np.isnan(t[patients == p])).any() for t in tables)]
    count, seeds = len(known), len(tables)
    whole = np.array([score(t) for t in tables])
    without = np.array([[score(t[patients != p]) for p in known] for t in tables])
    x = count * whole[:, None] - (count - 1) * without
    of_patients = x.mean(0).var(ddof=1) / count
    if seeds == 1:
        return whole.mean(), of_patients, count - 1
    rest = x - x.mean(0) - x.mean(1)[:, None] + x.mean()
    rest = (rest**2).sum() / (seeds - 1) / (count - 1)
    of_seeds = max(0, x.mean(1).var(ddof=1) / seeds - rest / seeds / count)
    total = of_patients + of_seeds
    return whole.mean(), total, total**2 / (of_patients**2 / (count - 1) + of_seeds**2 / (seeds - 1))


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_a_mean_and_its_interval_are_those_of_a_loop(seeds):
    """Patients with 3, 2, 1 and 4 images; images without a value; a patient without any."""
    patients = np.array(list("aaabbcddddee"))
    tables = [RNG.random(12) + k / 3 for k in range(seeds)]
    for table in tables:
        table[[2, 7, 10, 11]] = np.nan
    tables[0][5] = np.nan
    found = estimate(tables, patients.tolist(), mean)
    value, variance, freedom = by_hand(tables, patients, np.nanmean)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    assert found[:3] == pytest.approx((value, value - half, value + half))
    assert (found.images, found.patients) == (7, 3)


def test_one_image_a_patient_has_the_t_interval_of_textbooks():
    values = RNG.random(9)
    found = estimate([values], [str(i) for i in range(9)], mean)
    low, high = stats.t.interval(0.95, 8, values.mean(), stats.sem(values))
    assert found == Estimate(*map(pytest.approx, (values.mean(), low, high)), 9, 9)


def test_seeds_that_differ_widen_the_interval():
    """With 200 patients and seeds 1 apart only the seeds count: the t interval of three means."""
    tables = [RNG.normal(seed, 0.01, 200) for seed in range(3)]
    found = estimate(tables, [str(i) for i in range(200)], mean)
    means = [table.mean() for table in tables]
    low, high = stats.t.interval(0.95, 2, 1.0, stats.sem(means))
    assert found[:3] == pytest.approx((np.mean(means), low, high), rel=1e-3)


def test_a_correlation_is_that_of_numpy_and_its_interval_stays_below_one():
    graders = RNG.integers(1, 5, 60) / 4
    hypotheses = 0.5 * graders + 0.02 * RNG.random(60) + 1000
    pairs, patients = np.stack((hypotheses, graders), 1), np.array([f"{i // 2:02}" for i in range(60)])
    pairs[:2] = np.nan
    found = estimate([pairs], patients.tolist(), correlation)
    r = np.corrcoef(pairs[2:].T)[0, 1]
    assert found.value == pytest.approx(r)
    assert found.low < found.value < found.high < 1
    _, variance, freedom = by_hand([pairs[2:]], patients[2:], lambda rows: np.corrcoef(rows.T)[0, 1])
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance) / (1 - r**2)
    assert found[1:3] == pytest.approx(np.tanh(np.arctanh(r) + np.array((-half, half))))


def test_a_constant_column_has_no_correlation():
    pairs = np.stack((np.full(8, 0.3), RNG.random(8)), 1)
    assert np.isnan(estimate([pairs], list("aabbccdd"), correlation)[:3]).all()


def test_calibration_errors_of_seeds_do_not_cancel():
    """One seed says 0.75 where graders say 0.5, the other 0.25: an error of 0.25 each. There is no interval."""
    tables = [np.array([[[4.0], [4 * p], [2.0]]] * 3) for p in (0.75, 0.25)]
    found = estimate(tables, list("abc"), calibration_error)
    assert found.value == pytest.approx(0.25)
    assert np.isnan(found[1:3]).all()
    assert calibration_error(np.concatenate(tables)) == pytest.approx(0.0)


def test_what_is_unknown_is_nan():
    assert np.isnan(estimate([RNG.random(4)], ["one"] * 4, mean)[1:3]).all()
    assert estimate([np.full(4, np.nan)], list("abcd"), mean)[3:] == (0, 0)
    same = estimate([np.full(4, 0.5)] * 3, list("abcd"), mean)
    assert same == Estimate(0.5, 0.5, 0.5, 4, 4)


def evaluation(values, images=None):
    images = [ImageNames(i, str(i)) for i in range(len(values))] if images is None else images
    return Evaluation({4: {"value": np.array(values)}}, images, {"drawing": 1.0})


def test_checkpoints_of_a_method_are_of_the_same_images():
    parts = evaluation([0.1, 0.2, np.nan]), evaluation([0.3, 0.5, 0.7])
    method = MethodEvaluation(parts)
    assert method.estimate(4, "value").value == pytest.approx((0.15 + 0.5) / 2)
    assert (method.estimate(4, "value").images, method.ns, method.has(4, "ncc")) == (2, [4], False)
    other = evaluation([0.1] * 3, [ImageNames(i, "x") for i in range(3)])
    with pytest.raises(ValueError, match="checkpoints: evaluation 1 is of other images than the first"):
        MethodEvaluation((parts[0], other))
    with pytest.raises(ValueError, match="checkpoints: got none"):
        MethodEvaluation(())

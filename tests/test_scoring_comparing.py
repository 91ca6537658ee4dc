"""Differences of two methods: paired, on common images, tested by patient, and corrected for their number."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from fastpunet.scoring.comparing import Difference, compare, holm
from fastpunet.scoring.evaluation import Evaluation
from fastpunet.scoring.image_names import ImageNames
from fastpunet.scoring.winners import Pair, against_one, against_yardsticks, winner

RNG = np.random.default_rng(0)


def evaluation(patients, **columns):
    images = [ImageNames(i, patient, 4) for i, patient in enumerate(patients)]
    return Evaluation({4: columns}, images)


def test_the_sign_flip_test_is_that_of_a_loop_over_all_signs():
    """Patients with 1, 2 and 3 images: the signs of all images of a patient are turned together."""
    patients, a, b = list("abbcccdde"), RNG.random(9) + 0.2, RNG.random(9)
    found = compare(evaluation(patients, value=a), evaluation(patients, value=b), "value")
    sums = [sum((a - b)[i] for i, p in enumerate(patients) if p == name) for name in "abcde"]
    flipped = [abs(np.dot(signs, sums)) for signs in product((1, -1), repeat=5)]
    assert found.p == pytest.approx(np.mean(np.array(flipped) >= abs(sum(sums)) - 1e-9))
    assert found.value == pytest.approx((a - b).mean())
    assert (found.images, found.patients, found.checkpoints, found.n) == (9, 5, (1, 1), 4)


def test_a_single_image_a_patient_has_the_paired_t_interval():
    patients, a, b = [str(i) for i in range(30)], RNG.random(30), RNG.random(30)
    found = compare(evaluation(patients, value=a), evaluation(patients, value=b), "value")
    low, high = stats.t.interval(0.95, 29, (a - b).mean(), stats.sem(a - b))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.03)  # 9999 random signs


def test_only_common_images_count():
    """a lacks a value in image 1, b in image 2, and image 4 is in a alone; the order differs."""
    a = evaluation(list("abcde"), value=np.array([1.0, np.nan, 3.0, 4.0, 9.0]))
    images = [a.images[i] for i in (3, 2, 1, 0)]
    b = Evaluation({4: {"value": np.array([1.0, np.nan, 5.0, 2.0])}}, images)
    found = compare(a, b, "value")
    assert found.value == pytest.approx(((1 - 2) + (4 - 1)) / 2)
    assert (found.images, found.patients) == (2, 2)


def test_seeds_are_a_second_level():
    """Three seeds against two, all of 100 patients without noise: Welch's t test of the seeds' means."""
    patients = [str(i) for i in range(100)]
    hard = RNG.random(100)
    a = [evaluation(patients, value=hard + shift) for shift in (0.1, 0.3, 0.2)]
    b = [evaluation(patients, value=hard + shift) for shift in (0.02, 0.05)]
    found = compare(a, b, "value")
    assert found.value == pytest.approx(0.2 - 0.035)
    assert found.checkpoints == (3, 2)
    assert found.p == pytest.approx(stats.ttest_ind((0.1, 0.3, 0.2), (0.02, 0.05), equal_var=False).pvalue)


def test_a_correlation_and_a_calibration_error_are_compared():
    patients = [str(i) for i in range(40)]
    truth = RNG.random(40)
    near, far = (np.stack((truth + s * RNG.standard_normal(40), truth), 1) for s in (0.1, 2.0))
    methods = (evaluation(patients, presence_correlation=pairs) for pairs in (near, far))
    found = compare(*methods, "presence_correlation")
    expected = np.corrcoef(near.T)[0, 1] - np.corrcoef(far.T)[0, 1]
    assert found.value == pytest.approx(expected)
    assert found.p < 0.01
    assert found.low < expected < found.high
    good, bad = (np.array([[[1.0], [p], [0.5]]] * 40) for p in (0.55, 0.8))
    name = "presence_calibration_error"
    found = compare(evaluation(patients, **{name: good}), evaluation(patients, **{name: bad}), name)
    assert found.value == pytest.approx(0.05 - 0.3)
    assert found.p == pytest.approx(1e-4)
    assert np.isnan(found.low)


def test_what_cannot_be_compared_is_named():
    a, b = evaluation("ab", value=np.zeros(2)), Evaluation({4: {"ncc": np.zeros(2)}}, [ImageNames(7, "x")] * 2)
    with pytest.raises(ValueError, match="score: got 'ged', expected one of value, "):
        compare(a, b, "ged")
    with pytest.raises(ValueError, match=r"n: got None for 'value'; a has it at \[4\] and b has it at no n"):
        compare(a, b, "value")
    with pytest.raises(ValueError, match="b: has no image in common with a"):
        compare(a, Evaluation({4: {"value": np.zeros(2)}}, b.images), "value")
    nothing = compare(a, evaluation("ab", value=np.full(2, np.nan)), "value")
    assert np.isnan(nothing.p)
    assert not nothing.holds
    alone = compare(evaluation("aa", value=np.zeros(2)), evaluation("aa", value=np.ones(2)), "value")
    assert (alone.value, np.isnan(alone.p), np.isnan(alone.low)) == (-1, True, True)


def difference(p):
    return Difference("value", 4, 0.1, 0.0, 0.2, p, p, 9, 9, (1, 1))


def test_holm_multiplies_the_smallest_by_all_and_leaves_out_what_was_not_tested():
    ps = {"a": 0.02, "b": 0.001, "c": 0.03, "d": float("nan"), "e": 0.9}
    found = holm({name: difference(p) for name, p in ps.items()})
    assert [found[name].holm for name in "abce"] == pytest.approx([0.06, 0.004, 0.06, 0.9])
    assert np.isnan(found["d"].holm)
    assert [found[name].holds for name in "abde"] == [False, True, False, False]
    assert found["a"].p == 0.02


def test_a_winner_is_better_than_every_other():
    patients = [str(i) for i in range(20)]
    hard = RNG.random(20)
    methods = {
        name: evaluation(patients, expected_value=hard + shift + 0.01 * RNG.random(20), cross=hard)
        for name, shift in (("good", 0.0), ("middle", 0.1), ("bad", 0.3))
    }
    assert winner(methods, "expected_value", 4) == "good"
    assert winner({**methods, "twin": methods["good"]}, "expected_value", 4) is None
    assert winner(methods, "cross", 4) is None  # neither high nor low is good
    assert winner({"good": methods["good"]}, "expected_value", 4) is None  # of one alone
    found = against_one(methods, ["expected_value"], 4, "middle")
    assert [(pair.method, found[pair].a_is_better) for pair in found] == [("good", True), ("bad", False)]
    (pair, found), *_ = against_yardsticks({"bad": methods["bad"]}, {"empty": methods["good"]}, 16).items()
    assert pair == Pair("expected_value", "bad", "empty")
    assert found.holds
    assert not found.a_is_better

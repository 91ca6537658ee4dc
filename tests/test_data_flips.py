"""Stochastic class flips, one grader per image, splits by patient."""

import itertools

import numpy as np
import pytest

from fastpunet.data import IGNORE, Record, cityscapes, flips, graders, lesions, splits


def _record(labels, id=0, patient="", weights=None):
    masks = np.asarray(labels, np.uint8)
    return Record(np.zeros((3, *masks.shape[1:]), np.float32), masks, id, patient, weights)


def test_two_classes_by_hand():
    record = flips.ClassFlips([_record([[[0, 1, 2, IGNORE]]], id=5)], {2: 0.25, 0: 0.5}, first_new=3)[0]
    assert record.masks[:, 0].tolist() == [[0, 1, 2, 255], [0, 1, 3, 255], [4, 1, 2, 255], [4, 1, 3, 255]]
    np.testing.assert_array_equal(record.weights, np.float32([0.375, 0.125, 0.375, 0.125]))
    assert (record.id, record.masks.dtype, record.weights.dtype) == (5, np.uint8, np.float32)


def test_modes_are_all_combinations_with_their_products():
    flipped, weights = flips.modes(cityscapes.FLIPS)
    assert {tuple(row) for row in flipped.tolist()} == set(itertools.product((False, True), repeat=5))
    for row, weight in zip(flipped, weights, strict=True):
        factors = [p if flip else 1 - p for p, flip in zip(cityscapes.FLIPS.values(), row, strict=True)]
        assert weight == pytest.approx(np.prod(factors), rel=1e-15)
    assert weights.sum() == pytest.approx(1, abs=1e-15)
    np.testing.assert_allclose(weights @ flipped, list(cityscapes.FLIPS.values()), rtol=1e-14)
    assert not flipped[0].any()
    assert flipped[6].tolist() == [False, True, True, False, False]


def test_flips_of_a_random_label_map():
    labels = np.random.default_rng(0).integers(0, 19, (1, 7, 9)).astype(np.uint8)
    records = flips.ClassFlips([_record(labels, patient="p")] * 3, cityscapes.FLIPS, 19)
    flipped, weights = flips.modes(cityscapes.FLIPS)
    record = records[1:][0]
    assert records.patients == ["p"] * 3
    np.testing.assert_allclose(record.weights, weights, rtol=1e-6)
    for mask, row in zip(record.masks, flipped, strict=True):
        expected = labels[0].copy()
        for i, label in enumerate(cityscapes.FLIPS):
            if row[i]:
                expected[labels[0] == label] = 19 + i
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    ("probabilities", "first_new", "message"),
    [
        ({}, 19, "got 0 classes, expected 1 to 8"),
        (dict.fromkeys(range(9), 0.5), 19, "got 9 classes"),
        ({1: 0.0}, 19, "got 0.0 for class 1"),
        ({1: 1.0}, 19, "got 1.0 for class 1"),
        ({1: float("nan")}, 19, "got nan"),
        ({1: 0.5}, 1, r"first_new: got 1, which turns \[1\] into \[1\]"),
        ({3: 0.5, 1: 0.5}, 2, "first_new: got 2"),
        ({1: 0.5}, 255, "first_new: got 255"),
        ({1: 0.5, 2: 0.5}, 254, "first_new: got 254"),
        ({255: 0.5}, 19, "first_new: got 19"),
        ({-1: 0.5}, 19, "first_new: got 19"),
    ],
)
def test_impossible_flips_are_errors(probabilities, first_new, message):
    with pytest.raises(ValueError, match=message):
        flips.ClassFlips([], probabilities, first_new)


def test_records_that_cannot_be_flipped_are_errors():
    records = [_record(np.zeros((2, 1, 1)), id=4), _record([[[7]]], id=5)]
    with pytest.raises(ValueError, match="record 4 has 2 masks, expected 1"):
        flips.ClassFlips(records, {0: 0.5}, 7)[0]
    with pytest.raises(ValueError, match=r"record 5 has labels \[7\], which the flips use themselves"):
        flips.ClassFlips(records, {0: 0.5}, 7)[1]


def test_one_grader_is_a_function_of_seed_and_id():
    masks = np.arange(4)[:, None, None]
    records = [_record(masks, id=i, patient=str(i)) for i in range(400)]
    one = graders.OneGrader(records, seed=3)
    chosen = [int(record.masks[0, 0, 0]) for record in one]
    assert [int(record.masks[0, 0, 0]) for record in graders.OneGrader(records[::-1], seed=3)] == chosen[::-1]
    assert [int(record.masks[0, 0, 0]) for record in graders.OneGrader(records, seed=4)] != chosen
    assert np.bincount(chosen).min() > 70
    assert one[7].masks.shape == (1, 1, 1)
    assert one[2:4].patients == ["2", "3"]
    with pytest.raises(ValueError, match="seed: got -1"):
        graders.OneGrader(records, seed=-1)


def test_one_grader_respects_weights():
    records = [_record(np.arange(3)[:, None, None], id=i, weights=np.float32([0.8, 0, 0.2])) for i in range(300)]
    counts = np.bincount([int(record.masks.item()) for record in graders.OneGrader(records, seed=0)], minlength=3)
    assert counts[1] == 0
    assert 210 < counts[0] < 270
    assert graders.OneGrader(records, seed=0)[0].weights is None


def test_splits_keep_patients_together():
    patients = [f"p{i % 10}" for i in range(57)]
    parts = splits.split_by_patient(patients, {"train": 0.6, "val": 0.2, "test": 0.2}, seed=1)
    assert sorted(np.concatenate(parts)) == list(range(57))
    groups = [{patients[i] for i in part} for part in parts]
    assert [len(group) for group in groups] == [6, 2, 2]
    assert len(set.union(*groups)) == 10
    reverse = splits.split_by_patient(patients[::-1], [3, 1, 1], seed=1)
    assert [{patients[::-1][i] for i in part} for part in reverse] == groups
    assert [{patients[i] for i in part} for part in splits.split_by_patient(patients, [3, 1, 1], seed=2)] != groups


def test_records_are_split_by_their_patients():
    class Unreadable(list):
        patients = ("a", "b", "a")

        def __getitem__(self, index):
            raise AssertionError("pixels were read")

    one, other = splits.split_by_patient(Unreadable(range(3)), [1, 1], seed=0)
    assert sorted([one.tolist(), other.tolist()]) == [[0, 2], [1]]
    records = [_record([[[0]]], patient=name) for name in "aba"]
    assert [part.tolist() for part in splits.split_by_patient(records, [1, 1], seed=0)] == [
        one.tolist(),
        other.tolist(),
    ]


@pytest.mark.parametrize(
    ("patients", "shares", "message"),
    [
        (["a", ""], [1, 1], "record 1 has no patient"),
        (["a", "b"], [], "shares: got"),
        (["a", "b"], [1, 0], "shares: got"),
        (["a", "b"], [1, float("nan")], "shares: got"),
        (["a", "b"], [1, 1, 1], "got 2, of which the parts would get"),
        (["a", "a", "a"], [1, 1], "got 1, of which"),
        ([], [1, 1], "got 0, of which"),
    ],
)
def test_impossible_splits_are_errors(patients, shares, message):
    with pytest.raises(ValueError, match=message):
        splits.split_by_patient(patients, shares, seed=0)


def test_subsets_keep_ids_and_order():
    records = lesions.SyntheticLesions(6)
    part = splits.Subset(records, np.array([4, 1, 5]))
    assert [record.id for record in part] == [4, 1, 5]
    assert [record.id for record in part[1:]] == [1, 5]
    assert part[-1].id == 5
    assert splits.Subset([_record([[[0]]], patient=name) for name in "abc"], [2, 0]).patients == ["c", "a"]
    for indices in ([6], [-1]):
        with pytest.raises(IndexError, match=r"expected 0 .. 5"):
            splits.Subset(records, indices)

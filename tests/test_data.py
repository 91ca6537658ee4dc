"""Records: the synthetic data sets."""

import numpy as np
import pytest
import torch

from fastpunet import pairwise_iou
from fastpunet.data import lesion_pairs
from fastpunet.data.lesion_pairs import SyntheticLesionPairs
from fastpunet.data.lesions import MODES, SyntheticLesions, mode_probabilities
from fastpunet.data.synthetic_sets import SYNTHETIC_SETS


@pytest.mark.parametrize("make", SYNTHETIC_SETS.values())
def test_records_are_a_function_of_seed_and_index(make):
    few, many = make(3, seed=1), make(10, seed=1)
    np.testing.assert_array_equal(few[2].image, many[2].image)
    np.testing.assert_array_equal(few[-1].masks, many[2].masks)
    assert not np.array_equal(few[0].image, make(3, seed=2)[0].image)
    assert len(many[2:8:3]) == 2
    with pytest.raises(IndexError):
        few[3]


def test_lesion_modes_are_nested_and_weighted():
    for record in SyntheticLesions(50, seed=3, size=48):
        absent, tight, medium, wide = record.masks.astype(int)
        assert absent.sum() == 0 < tight.sum() < medium.sum() < wide.sum()
        assert (tight <= medium).all()
        assert (medium <= wide).all()
        assert record.weights.sum() == pytest.approx(1, abs=1e-6)
        assert len(record.weights) == len(MODES)
        assert record.image.shape == (1, 48, 48)
        assert 0 <= record.image.min() <= record.image.max() <= 1


def test_contrast_sets_the_probabilities():
    assert mode_probabilities(0, 0.5)[0] == pytest.approx(0.85)
    assert mode_probabilities(1, 0.5)[0] == pytest.approx(0.05)
    np.testing.assert_allclose(mode_probabilities(0.5, 0.5), [0.45, 0.55 / 4, 0.55 / 2, 0.55 / 4], rtol=1e-6)
    tight_seen, wide_seen = mode_probabilities(0.5, 0.0), mode_probabilities(0.5, 1.0)
    assert tight_seen[1] > 0.75 * 0.55 > 0.05 > wide_seen[1]
    records = SyntheticLesions(100, 0)[:]
    contrast = [r.image[0][r.masks[1] > 0].mean() - r.image[0][r.masks[2] > r.masks[1]].mean() for r in records]
    assert np.corrcoef(contrast, [1 - r.weights[0] for r in records])[0, 1] > 0.9


@pytest.mark.parametrize("size", [32, 64])
def test_pairs_of_lesions_are_apart_and_no_mode_is_like_another(size):
    for record in SyntheticLesionPairs(50, seed=3, size=size):
        absent, left, right, both = record.masks.astype(bool)
        assert absent.sum() == 0
        assert left[:, : size // 2].sum() == left.sum() > 0
        assert right[:, size // 2 :].sum() == right.sum() > 0
        np.testing.assert_array_equal(both, left | right)
        overlaps = pairwise_iou(torch.from_numpy(record.masks)[None])[0].fill_diagonal_(0)
        assert overlaps.max() < 0.65  # so that `modes`, which takes an IoU of 0.7 for the same, finds four
        assert len(record.weights) == len(SyntheticLesionPairs.modes) == 4
        assert record.weights.sum() == pytest.approx(1, abs=1e-6)


def test_the_contrast_of_each_lesion_sets_how_likely_it_is_outlined():
    np.testing.assert_allclose(lesion_pairs.mode_probabilities(0.5, 0.5), [0.25] * 4, rtol=1e-6)
    np.testing.assert_allclose(lesion_pairs.mode_probabilities(1, 1), [0.0324, 0.1476, 0.1476, 0.6724], rtol=1e-6)
    np.testing.assert_allclose(lesion_pairs.mode_probabilities(0, 1), [0.1476, 0.0324, 0.6724, 0.1476], rtol=1e-6)
    records = SyntheticLesionPairs(200, 0)[:]
    for lesion, outlined in ((1, [1, 3]), (2, [2, 3])):
        brightness = [record.image[0][record.masks[lesion] > 0].mean() for record in records]
        probability = [record.weights[outlined].sum() for record in records]
        assert np.corrcoef(brightness, probability)[0, 1] > 0.9

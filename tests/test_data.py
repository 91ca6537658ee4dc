"""Records: the synthetic data sets."""

import numpy as np
import pytest
import torch

from fastpunet import pairwise_iou
from fastpunet.data import lesion_pairs, lesion_volumes
from fastpunet.data.lazy import header_of, spacing_of
from fastpunet.data.lesion_pairs import SyntheticLesionPairs
from fastpunet.data.lesion_volumes import SyntheticLesionVolumes
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


@pytest.mark.parametrize("size", [24, 32])
def test_modes_of_lesions_in_volumes_are_nested_and_no_mode_is_like_another(size):
    records = SyntheticLesionVolumes(20, seed=3, size=size)
    for record in records:
        absent, core, whole = record.masks.astype(bool)
        assert record.image.shape == (1, size // 2, size, size)
        assert absent.sum() == 0 < core.sum() < whole.sum()
        assert (core <= whole).all()
        assert not whole[[0, -1]].any()  # the lesion ends inside the volume
        assert not whole[:, [0, -1]].any()
        assert not whole[:, :, [0, -1]].any()
        assert core.sum() < 0.45 * whole.sum()
        assert record.weights.sum() == pytest.approx(1, abs=1e-6)
    assert spacing_of(records) == (2.0, 1.0, 1.0)
    header, record = header_of(records, 7), records[7]
    assert (header.shape, header.masks) == (record.image.shape, len(record.masks))


def test_lesions_in_volumes_are_round_in_mm():
    """In slices of 2 mm a ball has half as many slices as rows."""
    masks = [record.masks[2] for record in SyntheticLesionVolumes(30, seed=0, size=48)]
    slices, rows, columns = (
        np.mean([np.ptp(np.nonzero(mask.any(others))[0]) + 1 for mask in masks]) for others in ((1, 2), (0, 2), (0, 1))
    )
    assert 2 * slices == pytest.approx(rows, rel=0.1)
    assert columns == pytest.approx(rows, rel=0.1)


def test_the_contrast_of_core_and_halo_sets_the_probabilities():
    np.testing.assert_allclose(lesion_volumes.mode_probabilities(0, 1), [0.8, 0.2 * 0.15, 0.2 * 0.85], rtol=1e-5)
    np.testing.assert_allclose(lesion_volumes.mode_probabilities(1, 0), [0.1, 0.9 * 0.85, 0.9 * 0.15], rtol=1e-5)
    records = SyntheticLesionVolumes(60, 0, 24)[:]
    cores, halos = (
        [record.image[0][inside(record)].mean() for record in records]
        for inside in (lambda r: r.masks[1] > 0, lambda r: r.masks[2] > r.masks[1])
    )
    assert np.corrcoef(np.subtract(cores, halos), [1 - r.weights[0] for r in records])[0, 1] > 0.9
    assert np.corrcoef(halos, [r.weights[2] / (1 - r.weights[0]) for r in records])[0, 1] > 0.8

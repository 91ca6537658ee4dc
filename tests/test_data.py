"""Records: the synthetic lesions."""

import numpy as np
import pytest

from fastpunet.data.lesions import MODES, SyntheticLesions, mode_probabilities


def test_lesions_are_a_function_of_seed_and_index():
    few, many = SyntheticLesions(3, seed=1), SyntheticLesions(10, seed=1)
    np.testing.assert_array_equal(few[2].image, many[2].image)
    np.testing.assert_array_equal(few[-1].masks, many[2].masks)
    assert not np.array_equal(few[0].image, SyntheticLesions(3, seed=2)[0].image)
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

"""What a perfect model scores: energy distances by formula, calibration errors by drawing from the graders."""

import numpy as np
import pytest
import torch

from fastpunet import metrics
from fastpunet.data import Record
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.metrics import energy_distance
from fastpunet.scoring.calibration_floor import calibration_floor
from fastpunet.scoring.evaluation import Evaluation
from fastpunet.scoring.image_names import ImageNames
from fastpunet.scoring.perfect import perfect_model

RULE = metrics.default_convention(1)


def perfect(n, spread, graders, name="value"):
    images = [ImageNames(i, str(i), count) for i, count in enumerate(graders)]
    evaluation = Evaluation({8: {"reference_diversity": np.array(spread)}}, images)
    return perfect_model(evaluation, [n]).estimate(n, name)


def test_a_perfect_model_draws_as_graders_do():
    """With n hypotheses and m graders of a common distribution, V has the mean a (1/n + 1/m)."""
    assert perfect(1, [0.3] * 3, [4] * 3).value == pytest.approx(0.4 * 1.25)
    assert perfect(16, [0.3] * 3, [4] * 3, "expected_value").value == pytest.approx(0.4 * (1 / 16 + 1 / 4))
    assert perfect(16, [0.3] * 3, [4] * 3, "unbiased").value == 0
    assert perfect(16, [0.3] * 3, [4] * 3, "sample_diversity").value == pytest.approx(0.4 * 15 / 16)
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (4000, 6, 1, 1), dtype=np.uint8))
    measured = energy_distance(labels[:, :4], labels[:, 4:]).value.mean()
    assert float(measured) == pytest.approx(0.5 * (1 / 4 + 1 / 2), rel=0.05)


def test_a_perfect_model_is_known_for_unequal_numbers_of_graders():
    """Of two, of three, of the exact distribution; a single grader says nothing of how graders differ."""
    found = perfect(8, [0.2, 0.3, 0.5, 0.0], (2, 3, 0, 1))
    assert found.value == pytest.approx(np.mean([0.4 * (1 / 8 + 1 / 2), 0.45 * (1 / 8 + 1 / 3), 0.5 / 8]))
    assert (found.images, found.patients) == (3, 3)
    assert np.isnan(perfect(8, [np.nan], [1]).value)


def test_the_floor_of_calibration_is_that_of_coins():
    """One pixel that half of the graders mark: 8 hypotheses and 2 graders are 8 and 2 throws of a coin."""
    records = [Record(np.zeros((1, 1, 1), np.float32), np.uint8([[[0]], [[1]]]), i, str(i)) for i in range(3000)]
    found = calibration_floor(records, 1, [8], RULE)
    counts = np.random.default_rng(1).binomial((8, 2), 0.5, (100_000, 2)) / (8, 2)
    bins = np.ceil(counts[:, 0] * 10).clip(1)
    expected = sum(abs(np.sum((counts[:, 0] - counts[:, 1])[bins == b])) for b in range(1, 11)) / len(counts)
    assert 0.1 < expected < 0.2
    for name in ("pixel_calibration_error", "presence_calibration_error"):
        assert found.estimate(8, name).value == pytest.approx(expected, abs=0.015)


def test_the_exact_distribution_reaches_the_floor_as_hypotheses_become_many():
    records = SyntheticLesions(60, seed=2, size=32)[:]
    found = calibration_floor(records, 1, [4, 400], RULE)
    few, many = (found.estimate(n, "presence_calibration_error").value for n in (4, 400))
    assert many < 0.03 < few


def test_a_single_grader_has_no_floor():
    record = Record(np.zeros((1, 2, 2), np.float32), np.ones((1, 2, 2), np.uint8), 0)
    nobody = Record(np.zeros((1, 2, 2), np.float32), np.ones((0, 2, 2), np.uint8), 1)
    found = calibration_floor([record, nobody], 1, [4], RULE)
    assert np.isnan(found.estimate(4, "pixel_calibration_error").value)

"""The least that a data set's own segmentations score: what V and U are on average where the answer is known."""

import numpy as np
import pytest
import torch
from scipy import stats

from fastpunet.data.lesions import SyntheticLesions
from fastpunet.data.lidc import read_npz
from fastpunet.metrics import energy_distance
from fastpunet.scoring.evaluation import Evaluation
from fastpunet.scoring.image_names import ImageNames
from fastpunet.scoring.perfect import perfect_model

LESIONS = SyntheticLesions(150, seed=3, size=32)
MODES = torch.stack([torch.from_numpy(record.masks) for record in LESIONS])  # (150, 4, 32, 32)
WEIGHTS = torch.stack([torch.from_numpy(record.weights) for record in LESIONS])  # (150, 4)


def draw(masks, n, seed, weights=None):
    """n of each image's masks, with replacement."""
    weights = torch.ones(masks.shape[:2]) if weights is None else weights
    chosen = torch.multinomial(weights, n, replacement=True, generator=torch.Generator().manual_seed(seed))
    return masks[torch.arange(len(masks))[:, None], chosen]


def check_floor(graders, n, repetitions):
    """Means over repetitions against their expectations, each of which lies within four standard errors.

    n of M graders, drawn with replacement: E d(S, Y) = a, the mean d of all M^2 pairs of graders, and E d(S, S') =
    (1 - 1/n) a, for a draw and itself have d = 0. So V is 2 a - (1 - 1/n) a - a = a / n. U takes M / (M - 1) a for the
    graders' own, and 2 a - a - M / (M - 1) a = -a / (M - 1): below 0, for the draws know the very graders.
    """
    results = [energy_distance(draw(graders, n, seed), graders) for seed in range(repetitions)]
    a, count = results[0].reference_diversity.mean().item(), graders.shape[1]
    for name, expected in (("value", a / n), ("unbiased", -a / (count - 1)), ("sample_diversity", a - a / n)):
        means = np.array([getattr(result, name).mean().item() for result in results])
        error = means.std(ddof=1) / np.sqrt(repetitions)
        assert error < 0.02 * a
        assert abs(means.mean() - expected) < 4 * error, (name, means.mean(), expected)
    return a


@pytest.mark.parametrize("n", [2, 4, 16])
def test_graders_drawn_with_replacement(n):
    graders = draw(MODES, 4, 99, WEIGHTS)
    assert 0.2 < check_floor(graders, n, 20) < 0.5


@pytest.mark.parametrize("n", [4, 16])
def test_graders_drawn_with_replacement_on_lidc(n, data_root):
    graders = torch.stack(
        [torch.from_numpy(record.masks) for record in read_npz(data_root / "lidc/lidc_tiny_test_64.npz")]
    )
    assert check_floor(graders, n, 20) == pytest.approx(0.3988, abs=1e-4)  # V: 0.0997 at n = 4, 0.0249 at n = 16


def interval(values):
    """99 % interval of the mean over images."""
    half = stats.t.ppf(0.995, len(values) - 1) * values.std().item() / len(values) ** 0.5
    return values.mean().item() - half, values.mean().item() + half


@pytest.mark.parametrize("n", [2, 4, 16])
def test_the_exact_distribution_has_u_zero(n):
    result = energy_distance(draw(MODES, n, 7, WEIGHTS), MODES, weights=WEIGHTS)
    low, high = interval(result.unbiased)
    assert low < 0 < high
    a = result.reference_diversity.mean().item()
    low, high = interval(result.value)
    assert low < a / n < high
    assert low > 0  # V is not 0


def test_a_wrong_distribution_has_not():
    result = energy_distance(draw(MODES, 16, 7), MODES, weights=WEIGHTS)  # all modes alike
    low, _ = interval(result.unbiased)
    assert low > 0.02


@pytest.mark.parametrize("n", [4, 16])
def test_a_perfect_model_and_graders_of_its_own_distribution(n):
    samples, graders = draw(MODES, n, 11, WEIGHTS), draw(MODES, 4, 12, WEIGHTS)
    result = energy_distance(samples, graders)
    low, high = interval(result.unbiased)
    assert low < 0 < high
    low, high = interval(result.value)
    a = energy_distance(MODES, MODES, weights=WEIGHTS).reference_diversity.mean().item()  # of two graders
    assert low < a * (1 / n + 1 / 4) < high
    images = [ImageNames(i, str(i), graders=4) for i in range(150)]
    evaluation = Evaluation({n: {"reference_diversity": result.reference_diversity.numpy()}}, images)
    perfect = perfect_model(evaluation, [n]).estimate(n, "value").value
    assert perfect == pytest.approx(a * (1 / n + 1 / 4), rel=0.1)

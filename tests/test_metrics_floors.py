"""The least that a data set's own segmentations score: what V and U are on average where the answer is known."""

import numpy as np
import pytest
import torch

from fastpunet.data.lesions import SyntheticLesions
from fastpunet.data.lidc import read_npz
from fastpunet.metrics import energy_distance
from fastpunet.reports.evaluation import Evaluation

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


def evaluation(results, n):
    scores = {name: getattr(results, name).numpy() for name in ("value", "unbiased", "reference_diversity")}
    return Evaluation({n: scores}, np.zeros(len(results.value)), [str(i) for i in range(len(results.value))])


@pytest.mark.parametrize("n", [2, 4, 16])
def test_the_exact_distribution_has_u_zero(n):
    result = evaluation(energy_distance(draw(MODES, n, 7, WEIGHTS), MODES, weights=WEIGHTS), n)
    low, high = result.interval(n, "unbiased", level=0.99)
    assert low < 0 < high
    a = result.mean(n, "reference_diversity")
    low, high = result.interval(n, "value", level=0.99)
    assert low < a / n < high
    assert low > 0  # V is not 0


def test_a_wrong_distribution_has_not():
    result = evaluation(energy_distance(draw(MODES, 16, 7), MODES, weights=WEIGHTS), 16)  # all modes alike
    low, _ = result.interval(16, "unbiased", level=0.99)
    assert low > 0.02


@pytest.mark.parametrize("n", [4, 16])
def test_a_perfect_model_and_graders_of_its_own_distribution(n):
    samples, graders = draw(MODES, n, 11, WEIGHTS), draw(MODES, 4, 12, WEIGHTS)
    result = evaluation(energy_distance(samples, graders), n)
    low, high = result.interval(n, "unbiased", level=0.99)
    assert low < 0 < high
    low, high = result.interval(n, "value", level=0.99)
    a = energy_distance(MODES, MODES, weights=WEIGHTS).reference_diversity.mean().item()  # of two graders
    assert low < a * (1 / n + 1 / 4) < high
    assert result.perfect(4) == [pytest.approx(a * (1 / n + 1 / 4), rel=0.1)]

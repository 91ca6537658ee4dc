"""Conversions between conventions, against energy distances computed by each of them."""

import itertools
import math

import numpy as np
import pytest
import torch
from helpers.label_maps import random_labels

from fastpunet.metrics import Convention, converting, energy_distance

ZERO, ONE, NAN = Convention("d 0"), Convention("d 1", empty=0.0), Convention("nan", empty=math.nan)


def problems(count=100):
    for seed in range(count):
        rng = np.random.default_rng(seed)
        n, m = rng.integers(2, 7), rng.integers(2, 5)
        labels = [torch.from_numpy(random_labels(rng, (1, k, 2, 3))) for k in (n, m)]
        yield int(n), int(m), *labels


def test_v_and_u():
    for n, m, samples, graders in problems():
        found = energy_distance(samples, graders)
        a = converting.different_pairs(found.sample_diversity, n)
        b = converting.different_pairs(found.reference_diversity, m)
        torch.testing.assert_close(converting.u_from_v(found.value, n, a, m, b), found.unbiased)
        torch.testing.assert_close(converting.v_from_u(found.unbiased, n, a, m, b), found.value)
        exact = energy_distance(samples, graders, weights=torch.full((m,), 1 / m).double())
        torch.testing.assert_close(converting.u_from_v(exact.value, n, a, None, b), exact.unbiased)


def test_v_at_another_n_is_its_mean_over_choices():
    for n, _, samples, graders in problems(30):
        found = energy_distance(samples, graders)
        a = converting.different_pairs(found.sample_diversity, n)
        for fewer in range(1, n):
            choices = [list(of) for of in itertools.combinations(range(n), fewer)]
            values = [energy_distance(samples[:, of], graders).value for of in choices]
            torch.testing.assert_close(converting.v_at(found.value, n, fewer, a), torch.stack(values).mean(0))


def test_resampled_graders_are_the_mean_over_all_draws():
    for _, m, samples, graders in problems(12):
        found = energy_distance(samples, graders)
        draws = [list(of) for of in itertools.product(range(m), repeat=3)]
        values = [energy_distance(samples, graders[:, of]).value for of in draws]
        wanted = converting.v_of_resampled_graders(found.value, 3, found.reference_diversity)
        torch.testing.assert_close(wanted, torch.stack(values).mean(0))


def test_empty_masks():
    for _, _, samples, graders in problems():
        found = energy_distance(samples, graders, convention=ZERO)
        p, q = ((masks.flatten(2).sum(2) == 0).double().mean(1) for masks in (samples, graders))
        one = energy_distance(samples, graders, convention=ONE).value
        torch.testing.assert_close(converting.v_of_different_empties(found.value, p, q), one)
        left_out = energy_distance(samples, graders, convention=NAN).value
        terms = found.cross, found.sample_diversity, found.reference_diversity
        torch.testing.assert_close(
            converting.v_without_empty_pairs(*terms, p, q), left_out, equal_nan=True, rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("n: got 1, expected a whole number of at least 2", lambda: converting.different_pairs(0.5, 1)),
        ("n: got 0", lambda: converting.u_from_v(0.5, 0, 0.5, 4, 0.5)),
        ("m: got 0", lambda: converting.v_from_u(0.5, 16, 0.5, 0, 0.5)),
        ("to: got 0", lambda: converting.v_at(0.5, 16, 0, 0.5)),
        ("draws: got 0", lambda: converting.v_of_resampled_graders(0.5, 0, 0.5)),
    ],
)
def test_errors_name_the_argument(message, call):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()

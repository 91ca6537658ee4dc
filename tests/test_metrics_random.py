"""Every convention, matching and score on random and degenerate problems, against loops in NumPy."""

import math

import numpy as np
import pytest
import torch
from helpers import score_loops
from helpers.score_problems import check, random_problem
from scipy.optimize import linear_sum_assignment

from fastpunet.metrics import Convention, best_dice, energy_distance, matched_dice, matched_iou, transport
from fastpunet.metrics.transport import best_transport


def test_energy_distances_and_overlaps():
    for index in range(500):
        samples, references, rule, weights, sample_weights = random_problem(index)
        pair = torch.from_numpy(samples)[None], torch.from_numpy(references)[None]
        options = {
            name: torch.from_numpy(values)
            for name, values in (("weights", weights), ("sample_weights", sample_weights))
            if values is not None
        }
        found = energy_distance(*pair, convention=rule, **options)
        wanted = score_loops.energy(samples, references, rule, weights, None, sample_weights)
        terms = [getattr(found, name).item() for name in score_loops.ENERGY_TERMS]
        np.testing.assert_allclose(terms, wanted, rtol=0, atol=1e-6)
        of_both = {"weights": weights, "sample_weights": sample_weights}
        matched = [f(*pair, convention=rule, **options).item() for f in (matched_iou, matched_dice)]
        wanted = [score_loops.matched(samples, references, rule, dice=dice, **of_both) for dice in (False, True)]
        np.testing.assert_allclose(matched, wanted, rtol=0, atol=1e-6)
        once = matched_dice(*pair, convention=rule, repeat=False).item()
        wanted = score_loops.matched(samples, references, rule, dice=True, repeat=False)
        np.testing.assert_allclose(once, wanted, rtol=0, atol=1e-6)
        best = best_dice(*pair, convention=rule, of="samples").item()
        wanted = score_loops.best(samples, references, rule, dice=True, of_samples=True)
        np.testing.assert_allclose(best, wanted, rtol=0, atol=1e-6)


def test_transport_equals_the_assignment_of_repeated_masks():
    """With equal values, repeated rows and zeros, where many matchings are the best."""
    rng = np.random.default_rng(0)
    for index in range(500):
        n, m = rng.integers(1, 30), rng.integers(1, 8)
        worth = rng.random((n, m))
        worth = [worth, (worth * 3).round() / 3, worth[rng.integers(0, n, n)], (worth < 0.5) * 1.0][index % 4]
        common = math.lcm(n, m)
        repeated = worth.repeat(common // n, 0).repeat(common // m, 1)
        wanted = repeated[linear_sum_assignment(repeated, maximize=True)].mean()
        assert best_transport(worth, np.full(n, 1 / n), np.full(m, 1 / m)) == pytest.approx(wanted, abs=1e-12)


def test_transport_keeps_to_weights():
    rng = np.random.default_rng(1)
    for index in range(100):
        n, m = rng.integers(1, 9), rng.integers(1, 6)
        worth = rng.random((n, m)) if index % 2 else (rng.random((n, m)) * 2).round() / 2
        rows, columns = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
        wanted = score_loops.transport(worth, rows, columns)
        assert best_transport(worth, rows, columns) == pytest.approx(wanted, abs=1e-9)


def test_a_thousand_hypotheses_match_as_scipy_matches_them():
    rng = np.random.default_rng(2)
    worth = np.clip(rng.random((1000, 1)) * rng.random(4) + 0.1 * rng.random((1000, 4)), 0, 1)
    repeated = worth.repeat(250, 1)
    wanted = repeated[linear_sum_assignment(repeated, maximize=True)].mean()
    assert best_transport(worth, np.full(1000, 1e-3), np.full(4, 0.25)) == pytest.approx(wanted, abs=1e-12)


def test_hypotheses_that_like_graders_alike_are_divided_among_them_at_once(monkeypatch):
    """Else each of hundreds of ties is repaired by a path of its own, which takes n M^2 steps each."""
    moves = []
    move = transport._move
    monkeypatch.setattr(transport, "_move", lambda *arguments: (moves.append(1), move(*arguments)))
    worth = (np.random.default_rng(3).random((1000, 4)) * 10).round() / 10
    repeated = worth.repeat(250, 1)
    wanted = repeated[linear_sum_assignment(repeated, maximize=True)].mean()
    assert best_transport(worth, np.full(1000, 1e-3), np.full(4, 0.25)) == pytest.approx(wanted, abs=1e-12)
    assert len(moves) < 30


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("overlap: got 'f1', expected one of iou, dice", lambda: Convention("mine", overlap="f1")),
        ("strict: got 1, expected true or false", lambda: Convention("mine", strict=1)),
        ("false_alarm: got nan with empty=1.0, expected 0.0, or nan", lambda: Convention("mine", false_alarm=math.nan)),
        ("of: got 'graders', expected one of references, samples", lambda: best_dice(ONE, ONE, of="graders")),
        ("repeat: got 0, expected true or false", lambda: matched_iou(ONE, ONE, repeat=0)),
        ("weights: got weights with repeat=False", lambda: matched_iou(ONE, ONE, repeat=False, weights=torch.ones(1))),
        (
            "sample_weights: got probabilities whose sum is 2",
            lambda: matched_iou(ONE, ONE, sample_weights=torch.tensor([2.0])),
        ),
        (r"sample_weights: got shape \(2,\)", lambda: energy_distance(ONE, ONE, sample_weights=torch.ones(2) / 2)),
    ],
)
def test_errors_name_the_argument(message, call):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


ONE = torch.ones(1, 1, 2, 2, dtype=torch.uint8)


def test_every_score():
    """On problems of every kind; `python -m helpers.score_problems 5000` tries more of them."""
    found = []
    assert check(120, report=found.append) == 0, found

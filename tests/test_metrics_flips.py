"""Flips of single classes and of all together, against loops over pixels, by hand, and against exact expectations."""

import itertools
import math

import numpy as np
import pytest
import torch
from helpers.label_maps import maps

from fastpunet import PackedMasks
from fastpunet.data import flips
from fastpunet.metrics import flip_counts, flip_mode_frequencies, total_variation, total_variation_of_draws

TWINS = {2: 5, 0: 6, 3: 7}
P = [8 / 17, 5 / 17, 4 / 17]


def loop_decision(sample, labels, label, twin):
    """1 flipped, 0 not, None: does not say."""
    kept = flipped = 0
    for predicted, true in zip(sample.ravel(), labels.ravel(), strict=True):
        kept += true == label and predicted == label
        flipped += true == label and predicted == twin
    return None if kept == flipped else int(flipped > kept)


def loop_modes(samples, labels, twins, probabilities):
    """Each hypothesis's parts in all modes, one mode at a time."""
    found = np.zeros(2 ** len(twins))
    for sample, mode in itertools.product(samples, range(2 ** len(twins))):
        part = 1.0
        for i, (label, twin) in enumerate(twins.items()):
            flipped = mode >> i & 1
            if label not in labels:
                part *= probabilities[i] if flipped else 1 - probabilities[i]
            else:
                decision = loop_decision(sample, labels, label, twin)
                part *= 0.5 if decision is None else float(decision == flipped)
        found[mode] += part / len(samples)
    return found


def random_case(rng, images=20, n=7):
    """Few pixels of few labels, so that ties, undecided hypotheses, absent classes and images of none are common."""
    labels = rng.choice([0, 1, 2, 3, 255], (images, 2, 3)).astype(np.uint8)
    labels[0], labels[1] = 255, 1
    samples = rng.choice([0, 1, 2, 3, 5, 6, 7], (images, n, 2, 3)).astype(np.uint8)
    return samples, labels


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("n", [1, 7])
def test_decisions_and_modes_equal_loops(packed, n):
    samples, labels = random_case(np.random.default_rng(n), n=n)
    masks = torch.from_numpy(samples)
    counts = flip_counts(PackedMasks.pack(masks, 8) if packed else masks, torch.from_numpy(labels), TWINS)
    modes = flip_mode_frequencies(counts, P).numpy()
    seen = set()
    for b, k in itertools.product(range(len(labels)), range(len(TWINS))):
        label, twin = list(TWINS.items())[k]
        decisions = [loop_decision(sample, labels[b], label, twin) for sample in samples[b]]
        seen.update(decisions)
        said = [decision for decision in decisions if decision is not None]
        want = np.array([math.nan if decision is None else decision for decision in decisions])
        np.testing.assert_array_equal(counts.decisions[b, :, k].numpy(), want)
        assert counts.frequencies[b, k].item() == pytest.approx(np.mean(said) if said else math.nan, nan_ok=True)
        assert bool(counts.present[b, k]) == (label in labels[b])
        undecided = 1 - len(said) / n if label in labels[b] else math.nan
        assert counts.undecided[b, k].item() == pytest.approx(undecided, nan_ok=True)
        where = labels[b] == label
        assert counts.kept[b, :, k].tolist() == [int((sample[where] == label).sum()) for sample in samples[b]]
        assert counts.flipped[b, :, k].tolist() == [int((sample[where] == twin).sum()) for sample in samples[b]]
    assert seen == {0, 1, None}
    for b in range(len(labels)):
        np.testing.assert_allclose(modes[b], loop_modes(samples[b], labels[b], TWINS, P), rtol=0, atol=1e-15)


def test_by_hand_no_tie_is_broken():
    """Of class 3: flipped, not, a tie, neither; class 4 is undecided in the last two of these; class 5 is absent."""
    samples = maps([13, 13, 3, 4], [3, 3, 3, 14], [13, 3, 0, 0], [0, 0, 0, 0])
    counts = flip_counts(samples, torch.tensor([[[3, 3, 3, 4]]]), {3: 13, 4: 14, 5: 15})
    torch.testing.assert_close(counts.frequencies[0, :2], torch.tensor([0.5, 0.5], dtype=torch.float64))
    assert counts.frequencies[0, 2].isnan()
    assert counts.undecided[0].tolist()[:2] == [0.5, 0.5]
    assert counts.undecided[0, 2].isnan()
    flipped, kept = counts.flipped.sum((0, 1)), counts.kept.sum((0, 1))
    assert flipped.tolist() == [3, 1, 0]
    assert kept.tolist() == [5, 1, 0]
    # (3 flipped, 4 not), (3 not, 4 flipped), and twice a quarter of all four; the absent class with 0.2
    both = torch.tensor([1 / 8, 3 / 8, 3 / 8, 1 / 8], dtype=torch.float64)
    found = flip_mode_frequencies(counts, [0.3, 0.4, 0.2])[0]
    torch.testing.assert_close(found, torch.cat((both * 0.8, both * 0.2)), rtol=0, atol=1e-15)


def test_an_absent_class_leaves_the_distance_of_the_marginal_distributions():
    rng = np.random.default_rng(5)
    labels = np.array([[[0, 2, 2]]], np.uint8)  # class 3 is absent
    samples = rng.choice([0, 2, 5, 6], (1, 9, 1, 3)).astype(np.uint8)
    counts = flip_counts(torch.from_numpy(samples), torch.from_numpy(labels), TWINS)
    flipped, weights = flips.modes(dict(enumerate(P)))
    whole = total_variation(flip_mode_frequencies(counts, P), torch.from_numpy(weights))
    few = flip_counts(torch.from_numpy(samples), torch.from_numpy(labels), {2: 5, 0: 6})
    places, merged = flips.distinct_modes(weights, np.array([True, True, False]))
    assert places.tolist() == [0, 1, 2, 3]
    marginal = total_variation(flip_mode_frequencies(few, P[:2]), torch.from_numpy(merged))
    assert whole.item() == pytest.approx(marginal.item(), abs=1e-15)
    assert whole.item() > 0.1
    nothing = flip_counts(torch.from_numpy(samples), torch.full((1, 1, 3), 255), TWINS)
    np.testing.assert_allclose(flip_mode_frequencies(nothing, P)[0].numpy(), weights, rtol=1e-14)
    assert (flipped[places, 2] == 0).all()


def test_perfect_samples_have_the_modes_frequencies():
    """Every mode as often as it is probable, in 1000ths."""
    flipped, weights = flips.modes({0: 0.5, 1: 0.2, 2: 0.1})
    labels = np.array([[0, 0, 1, 2]], np.uint8)
    maps = np.where(np.take(flipped, labels[0], axis=1), labels[0] + 3, labels[0]).astype(np.uint8)  # (8, 4)
    samples = torch.from_numpy(np.repeat(maps, (weights * 1000).round().astype(int), axis=0))[None, :, None]
    counts = flip_counts(samples, torch.from_numpy(labels)[None], {0: 3, 1: 4, 2: 5})
    np.testing.assert_allclose(counts.frequencies[0].numpy(), [0.5, 0.2, 0.1], rtol=1e-14)
    np.testing.assert_allclose(flip_mode_frequencies(counts, [0.5, 0.2, 0.1])[0].numpy(), weights, rtol=1e-12)


def test_total_variation_by_hand():
    p = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    assert total_variation(p, torch.tensor([0.25, 0.25, 0.5])).tolist() == [0.5, 0.75]
    assert total_variation(p[0], p[0]).item() == 0


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.2, 0.3, 0.5], [1.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [1.0]])
def test_total_variation_of_draws_is_the_expectation_over_all_draws(n, weights):
    p, want = np.array(weights), 0.0
    for draws in itertools.product(range(len(p)), repeat=n):
        share = np.bincount(draws, minlength=len(p)) / n
        want += p[list(draws)].prod() * np.abs(share - p).sum() / 2
    assert total_variation_of_draws(torch.tensor(weights, dtype=torch.float64), n).item() == pytest.approx(
        want, abs=1e-14
    )


def test_total_variation_of_many_draws_of_the_32_modes():
    _, weights = flips.modes(dict(enumerate((8 / 17, 7 / 17, 6 / 17, 5 / 17, 4 / 17))))
    for n in (16, 100, 1000):
        shares = np.random.default_rng(0).multinomial(n, weights, 20000) / n
        measured = np.abs(shares - weights).sum(1) / 2
        error = 4 * measured.std() / math.sqrt(len(measured))
        assert total_variation_of_draws(torch.from_numpy(weights), n).item() == pytest.approx(
            measured.mean(), abs=error
        )


@pytest.mark.parametrize(
    ("present", "places"),
    [
        ([True, True, True], range(8)),
        ([False, True, True], [0, 2, 4, 6]),
        ([True, False, False], [0, 1]),
        ([False, False, False], [0]),
    ],
)
def test_distinct_modes_are_those_of_unique_label_maps(present, places):
    _, weights = flips.modes(dict(enumerate(P)))
    found, probabilities = flips.distinct_modes(weights, np.array(present))
    assert found.tolist() == list(places)
    here = {i: p for i, p in enumerate(P) if present[i]}
    np.testing.assert_allclose(probabilities, flips.modes(here)[1] if here else [1.0], rtol=1e-14)


SAMPLES, LABELS = torch.zeros(1, 2, 3, 4, dtype=torch.uint8), torch.zeros(1, 3, 4, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("samples", "labels", "twins", "message"),
    [
        (SAMPLES, LABELS[0], {0: 1}, r"labels: got shape \(3, 4\)"),
        (SAMPLES, LABELS[:, :2], {0: 1}, "labels: got 2 x 4 pixels, expected 3 x 4"),
        (SAMPLES[0], LABELS, {0: 1}, r"samples: got shape \(2, 3, 4\)"),
        (SAMPLES, LABELS, {}, "twins: got {}"),
        (SAMPLES, LABELS, {0: 1, 1: 2}, "twins: got .* expected different classes"),
        (SAMPLES, LABELS, {0: 256}, r"twins: got 256, expected .* at most 255"),
        (PackedMasks.pack(SAMPLES, 2), LABELS, {0: 2}, r"twins: got 2, expected .* at most 1"),
    ],
)
def test_impossible_input_is_an_error(samples, labels, twins, message):
    with pytest.raises(ValueError, match=message):
        flip_counts(samples, labels, twins)


def test_other_impossible_input_is_an_error():
    with pytest.raises(TypeError, match="samples: got dtype torch.float32"):
        flip_counts(SAMPLES.float(), LABELS, {0: 1})
    with pytest.raises(ValueError, match="probabilities: got 2, expected 1"):
        flip_mode_frequencies(flip_counts(SAMPLES, LABELS, {0: 1}), [0.5, 0.5])
    with pytest.raises(ValueError, match="n: got 0"):
        total_variation_of_draws(torch.tensor([1.0]), 0)

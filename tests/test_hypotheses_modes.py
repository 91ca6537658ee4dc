"""modes: representative hypotheses and their probabilities, against enumeration, by hand, and known distributions."""

import sys
from itertools import combinations

import numpy as np
import pytest
import torch
from helpers.lesion_hypotheses import draw_lesions
from scipy.stats import binomtest

from fastpunet import PackedMasks, pairwise_iou
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.hypotheses import modes
from fastpunet.hypotheses.alternatives.mode_search import distances


def line(*rows):
    """One image of one row of pixels; a hypothesis is a string of labels, such as "0110"."""
    return torch.tensor([[[[int(label) for label in row]] for row in rows]], dtype=torch.uint8)


def test_by_hand():
    masks = line("1100", "0000", "1100", "0011", "1100", "0000", "1100", "1100", "0111", "1100")
    found = modes(masks, 3)[0]
    assert found.masks[:, 0].tolist() == [[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]
    assert found.hypotheses.tolist() == [0, 3, 1]
    assert found.members.tolist() == [0, 2, 0, 1, 0, 2, 0, 0, 1, 0]
    assert found.probabilities.tolist() == [0.6, 0.2, 0.2]
    torch.testing.assert_close(found.overlaps, torch.tensor([1, (1 + 2 / 3) / 2, 1], dtype=torch.float64))
    assert found.names == ["2 pixels", "2 pixels", "nothing"]
    assert str(found) == (
        "3 modes among 10 hypotheses: 60 % (31 to 83 %) 2 pixels; 20 % (6 to 51 %) 2 pixels; 20 % (6 to 51 %) nothing"
    )


def test_intervals_are_wilsons():
    found = modes(line(*["1100"] * 37, *["0011"] * 63), 2)[0]
    for count, interval in zip((63, 37), found.intervals.tolist(), strict=True):
        expected = binomtest(count, 100).proportion_ci(method="wilson")
        assert interval == pytest.approx([expected.low, expected.high], abs=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_representatives_are_the_best_of_all_subsets(k):
    for seed in range(10):
        masks = (torch.rand(1, 12, 3, 4, generator=torch.Generator().manual_seed(seed)) < 0.5).byte()
        masks[0, :, 0, 0] = 1  # none is empty
        squared = (1 - pairwise_iou(masks)[0].double()) ** 2
        best = min(squared[:, list(chosen)].amin(1).sum().item() for chosen in combinations(range(12), k))
        found = modes(masks, k)[0]
        assert squared[:, found.hypotheses].amin(1).sum().item() == pytest.approx(best, abs=1e-9)
        nearest = squared[:, found.hypotheses]
        assert torch.equal(nearest.gather(1, found.members[:, None])[:, 0], nearest.amin(1))


def test_only_nothing():
    found = modes(torch.zeros(1, 5, 3, 4, dtype=torch.uint8))[0]
    assert (len(found), found.probabilities.tolist(), found.overlaps.tolist()) == (1, [1.0], [1.0])
    assert found.members.tolist() == [0] * 5
    assert "100 % (57 to 100 %) nothing" in str(found)


@pytest.mark.parametrize("mask", ["0000", "1111", "0100"])
@pytest.mark.parametrize("k", [None, 1, 3])
def test_one_hypothesis(mask, k):
    found = modes(line(mask), k)[0]
    assert (len(found), found.hypotheses.tolist(), found.members.tolist()) == (1, [0], [0])


def test_there_are_no_more_modes_than_distinct_hypotheses():
    assert len(modes(line("1100", "1100", "0000"), 5)[0]) == 2


def test_nothing_is_a_mode_however_rare():
    masks = line("0000", *["1100"] * 999)
    assert modes(masks)[0].probabilities.tolist() == [0.999, 0.001]
    assert modes(masks, most=1)[0].probabilities.tolist() == [1.0]
    assert modes(line("0000", "0000", "1100"), 1)[0].names == ["nothing"]
    assert modes(line("0000", "1100", "1100"), 1)[0].names == ["2 pixels"]


def test_a_rare_group_is_no_mode_of_its_own():
    masks = line(*["1100"] * 95, *["0011"] * 5)
    assert len(modes(masks)[0]) == 2
    assert len(modes(masks, rare=0.06)[0]) == 1


def test_the_number_is_found_at_the_distance_asked_for():
    masks = line(*["1110"] * 5, *["1111"] * 5)  # d = 1/4
    assert len(modes(masks)[0]) == 1
    assert len(modes(masks, apart=0.24)[0]) == 2


def test_with_several_classes_absent_ones_do_not_count():
    a, b = line("0012", "0000", "0022"), line("0011")
    words = [PackedMasks.pack(masks, 4).words[0, :, 1:].contiguous() for masks in (a, b)]
    assert distances(*words)[:, 0].tolist() == [1 - (1 / 2 + 0) / 2, 1.0, 1.0]
    found = modes(line("0011", "0011", "0022", "0000"), 3, num_classes=4)[0]
    assert found.masks[:, 0].tolist() == [[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 0, 0]]


@pytest.mark.parametrize("classes", [None, 3])
def test_packed_masks_give_the_same(classes):
    masks = torch.randint(0, classes or 2, (2, 40, 5, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for a, b in zip(modes(masks, 3, num_classes=classes), modes(PackedMasks.pack(masks, classes), 3), strict=True):
        for name in ("masks", "hypotheses", "probabilities", "intervals", "overlaps", "members"):
            assert torch.equal(getattr(a, name), getattr(b, name))


def test_volumes_are_like_images():
    masks = torch.rand(1, 30, 2, 3, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    flat, volume = modes(masks.flatten(2, 3), 3)[0], modes(masks, 3)[0]
    assert torch.equal(flat.members, volume.members)
    assert volume.masks.shape[1:] == (2, 3, 4)
    assert volume.names[0].endswith("voxels")


def mode_errors(variation, images, n=1000):
    """For each image: found minus known number of modes, and the largest error of a probability."""
    numbers, errors = [], []
    for record in SyntheticLesions(images, seed=77)[:]:
        masks, which = draw_lesions(record, n, variation, seed=0)
        found = modes(torch.from_numpy(masks)[None])[0]
        drawn = np.bincount(which, minlength=4) / n
        numbers.append(len(found) - sum(drawn[1:] >= 0.02) - 1)
        likest = pairwise_iou(found.masks[None], torch.from_numpy(record.masks)[None])[0].argmax(1)
        shares = np.bincount(likest.numpy(), found.probabilities.numpy(), minlength=4)
        errors.append(np.abs(shares - drawn).max())
    return numbers, errors


@pytest.mark.parametrize("variation", ["none", "edge", "wobble"])
def test_known_modes_are_found_with_their_probabilities(variation):
    numbers, errors = mode_errors(variation, 5, n=300)
    assert numbers == [0] * 5
    assert max(errors) <= 0.03


@pytest.mark.parametrize("variation", ["edge", "wobble", "shift", "grow"])
def test_small_variations_of_one_mask_are_one_mode(variation):
    for record in SyntheticLesions(3, seed=5)[:]:
        weights = np.array([0, 0, 1, 0], np.float32)
        masks, _ = draw_lesions(type(record)(record.image, record.masks, 0, weights=weights), 100, variation, seed=1)
        assert len(modes(torch.from_numpy(masks)[None])[0]) == 1


def test_the_seed_of_the_search_does_not_matter():
    masks = torch.from_numpy(draw_lesions(SyntheticLesions(1, seed=3)[0], 500, "shift", seed=0)[0])[None]
    first, *others = [modes(masks, 4, seed=seed)[0] for seed in (0, 1, 2, 2**40)]
    for other in others:
        assert torch.equal(first.hypotheses, other.hypotheses)
        assert torch.equal(first.members, other.members)


def test_many_hypotheses_are_all_assigned():
    masks, which = draw_lesions(SyntheticLesions(1, seed=9)[0], 2500, "edge", seed=0)
    found = modes(torch.from_numpy(masks)[None])[0]
    for mode in range(len(found)):
        assert len(np.unique(which[found.members == mode])) == 1
    assert found.probabilities.sum().item() == pytest.approx(1)


def test_it_shows_itself():
    found = modes(line(*["1100"] * 37, *["0000"] * 63))[0]
    html = found._repr_html_()
    assert "63 %" in html
    assert "nothing" in html
    assert "data:image/png;base64," in html
    axes = found.plot(np.zeros((1, 4))).axes
    assert [axis.get_title() for axis in axes] == ["all modes", "63 %: nothing", "37 %: 2 pixels"]
    assert [len(collection.get_segments()) for axis in axes for collection in axis.collections] == [0, 6, 0, 6]
    with pytest.raises(ValueError, match="^image: got shape"):
        found.plot(np.zeros((5, 5)))
    assert len(modes(torch.ones(1, 3, 2, 4, 4, dtype=torch.uint8))[0].plot().axes) == 2


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("k", 0, "^k: got 0, expected a whole number of at least 1; None finds it"),
        ("k", 2.5, "^k: got 2.5"),
        ("most", 0, "^most: got 0"),
        ("apart", 1, "^apart: got 1, expected a number between 0 and 1"),
        ("rare", float("nan"), "^rare: got nan"),
        ("seed", -1, "^seed: got -1"),
        ("num_classes", 1, "^num_classes: got 1"),
    ],
)
def test_bad_arguments_are_named(argument, value, error):
    with pytest.raises((TypeError, ValueError), match=error):
        modes(line("0011"), **{argument: value})


def test_bad_masks_are_named():
    with pytest.raises(TypeError, match="^masks: got dtype torch.float32"):
        modes(torch.zeros(1, 2, 3, 4))
    with pytest.raises(ValueError, match="^masks: got shape"):
        modes(torch.zeros(2, 3, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="^masks: got 0 masks"):
        modes(torch.zeros(1, 0, 3, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="^masks: got labels 0 .. 2"):
        modes(line("0012"))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "kmedoids", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"finding modes needs kmedoids; install it with .*fastpunet\[report\]"
    ):
        modes(line("0011", "1100"), 2)

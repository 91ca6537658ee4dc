"""resolve: what questions say about the mode, against enumeration, simulation, and by hand."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from fastpunet import PackedMasks, ProbabilisticUNet, sample, summarize
from fastpunet.hypotheses import Modes, modes, resolve
from fastpunet.hypotheses.questions.disputed_regions import disputed_regions


def line(*rows):
    """One image of one row of pixels; a hypothesis is a string of labels, such as "0110"."""
    return torch.tensor([[[[int(label) for label in row]] for row in rows]], dtype=torch.uint8)


def bits(counts):
    total = sum(counts)
    return -sum(count / total * math.log2(count / total) for count in counts if count)


def enumerated(answers, members):
    """The information and what every answer leaves, hypothesis by hypothesis."""
    members, answers = list(members), list(answers)
    before, left, remaining = bits(Counter(members).values()), 0.0, {}
    for truth in range(len(members)):  # every hypothesis in turn is the truth, and its answer is known
        agree = [mode for mode, answer in zip(members, answers, strict=True) if answer == answers[truth]]
        remaining[answers[truth]] = bits(Counter(agree).values())
        left += remaining[answers[truth]] / len(members)
    return before - left, remaining


def with_members(masks, members):
    """Modes with these members, whatever the masks are."""
    counts = torch.tensor(members).bincount()
    return Modes(
        masks=masks[0, [members.index(mode) for mode in range(len(counts))]],
        hypotheses=torch.tensor([members.index(mode) for mode in range(len(counts))]),
        probabilities=counts.double() / len(members),
        intervals=torch.zeros(len(counts), 2).double(),
        overlaps=torch.ones(len(counts)).double(),
        members=torch.tensor(members),
    )


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_enumeration(classes, seed):
    rng = np.random.default_rng(seed)
    masks = torch.from_numpy(rng.integers(0, classes, (1, 20, 3, 4)))
    members = [0, 1, 2, *rng.integers(0, 3, 17).tolist()]
    own = torch.from_numpy(rng.integers(-2, 3, 20))
    found = resolve(masks, [with_members(masks, members)], questions={"own": own}, num_classes=classes)[0]
    assert found.entropy == pytest.approx(bits(Counter(members).values()), abs=1e-12)
    for row in range(3):
        for column in range(4):
            expected, _ = enumerated(masks[0, :, row, column].tolist(), members)
            assert found.pixel_information[row, column].item() == pytest.approx(expected, abs=1e-12)
    asked = {question.text: question for question in found.questions}
    expected, remaining = enumerated(own.tolist(), members)
    assert asked["own"].information == pytest.approx(expected, abs=1e-12)
    assert asked["own"].answers == tuple(str(value) for value in sorted(remaining))
    assert asked["own"].remaining.tolist() == pytest.approx([remaining[key] for key in sorted(remaining)], abs=1e-12)
    for number in range(1, int(found.regions.max()) + 1):
        inside = masks[0][:, found.regions == number]
        answers = [min(set(row), key=lambda label: (-row.count(label), label)) for row in inside.tolist()]
        question = next(question for text, question in asked.items() if f"region {number} (" in text)
        expected, remaining = enumerated(answers, members)
        assert question.information == pytest.approx(expected, abs=1e-12)
        assert question.remaining.tolist() == pytest.approx([remaining[key] for key in sorted(remaining)], abs=1e-12)
        for answer, share, after in zip(sorted(remaining), question.probabilities, question.modes, strict=True):
            chosen = [mode for mode, given in zip(members, answers, strict=True) if given == answer]
            assert share.item() == pytest.approx(len(chosen) / 20, abs=1e-12)
            assert after.tolist() == pytest.approx([chosen.count(mode) / len(chosen) for mode in range(3)], abs=1e-12)
    assert [q.information for q in found.questions] == sorted((q.information for q in found.questions), reverse=True)


def test_the_best_pixel_tells_as_much_as_a_simulation_says():
    rng = np.random.default_rng(0)
    masks = torch.from_numpy(rng.random((1, 60, 6, 7)) < rng.random((1, 1, 6, 7)))
    found = resolve(masks, modes(masks, 3))[0]
    simulated = np.array(
        [
            [enumerated(masks[0, :, row, column].tolist(), found.modes.members.tolist())[0] for column in range(7)]
            for row in range(6)
        ]
    )
    row, column = np.unravel_index(simulated.argmax(), simulated.shape)
    best = next(question for question in found.questions if question.text.startswith("whether the pixel"))
    assert best.text == f"whether the pixel in row {row}, column {column} belongs to it"
    assert best.information == pytest.approx(simulated.max(), abs=1e-12)
    assert best.pixels.nonzero().tolist() == [[row, column]]


def test_by_hand():
    masks = line(*["0000"] * 4, *["1100"] * 2, *["1111"] * 2)
    found = resolve(masks, questions={"whether there is anything": (masks > 0).flatten(2).any(2)})[0]
    assert found.entropy == 1.5
    assert found.pixel_information[0].tolist() == pytest.approx([1, 1, bits([2, 6]), bits([2, 6])], abs=1e-12)
    assert found.regions.tolist() == [[1, 1, 2, 2]] or found.regions.tolist() == [[2, 2, 1, 1]]
    assert [question.text.split(" (")[0] for question in found.questions[:2]] == [
        "whether there is anything",
        "whether the pixel in row 0, column 0 belongs to it",
    ]
    assert str(found) == (
        "Ask whether there is anything: no (50 %) leaves 100 % mode 1 (nothing); yes (50 %) leaves 50 % mode 2 "
        "(2 pixels), 50 % mode 3 (4 pixels). On average 0.50 of 1.50 bits of uncertainty about the mode remain."
    )


def test_regions_are_connected_and_of_one_way_to_differ():
    masks = torch.tensor([[[1, 0, 0, 1], [1, 0, 0, 1]], [[0, 0, 0, 0], [0, 1, 0, 0]]])
    regions = disputed_regions(masks)
    assert (regions > 0).int().tolist() == [[1, 0, 0, 1], [1, 1, 0, 1]]
    assert len({int(regions[0, 0]), int(regions[1, 1]), int(regions[0, 3])}) == 3
    assert regions[0, 0] == regions[1, 0]
    assert regions.max() == 3
    assert not disputed_regions(masks[:1]).any()


def test_of_many_regions_those_that_tell_most_are_listed():
    masks = torch.rand(1, 30, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.5
    found = resolve(masks, modes(masks, 3))[0]
    listed = [question for question in found.questions if "region" in question.text]
    assert int(found.regions.max()) > 20
    assert len(listed) == 20
    best = []
    for number in range(1, int(found.regions.max()) + 1):
        inside = masks[0][:, found.regions == number].float().mean(1) > 0.5
        best.append(enumerated(inside.tolist(), found.modes.members.tolist())[0])
    assert [question.information for question in listed] == pytest.approx(sorted(best)[:-21:-1], abs=1e-12)


def test_nothing_to_resolve():
    found = resolve(torch.ones(1, 5, 2, 3, dtype=torch.uint8))[0]
    assert (found.entropy, found.best.information, found.regions.any().item()) == (0, 0, False)
    assert str(found).startswith("No question about 1 mode among 5 hypotheses")
    assert "No question" in found._repr_html_()
    assert len(resolve(torch.zeros(1, 1, 2, 3, dtype=torch.uint8))[0].questions) == 1


def test_maps_of_hard_votes():
    found = resolve(line("0110", "0010", "0011", "0000"))[0]
    expected = [0, bits([1, 3]), bits([3, 1]), bits([1, 3])]
    assert found.total[0].tolist() == pytest.approx(expected, abs=1e-12)
    assert torch.equal(found.mutual_information, found.total)
    assert not found.expected.any()


def test_maps_of_a_summary():
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, channels=(4,), latent_dim=2)
    images = torch.rand(2, 1, 8, 8)
    summary = summarize(model, images, 20, seed=0)
    for image, found in enumerate(resolve(sample(model, images, 20, seed=0), summary=summary)):
        torch.testing.assert_close(found.total, summary.entropy[image].double() / math.log(2))
        torch.testing.assert_close(found.mutual_information, summary.mutual_information[image].double() / math.log(2))
        torch.testing.assert_close(found.expected, found.total - found.mutual_information)


@pytest.mark.parametrize("classes", [None, 3])
def test_packed_masks_and_volumes_give_the_same(classes):
    generator = torch.Generator().manual_seed(0)
    masks = torch.randint(0, classes or 2, (2, 30, 2, 3, 4), generator=generator, dtype=torch.uint8)
    flat = masks.flatten(2, 3)
    wholes, packed, flats = (
        resolve(each, num_classes=count)
        for each, count in ((masks, classes), (PackedMasks.pack(masks, classes), None), (flat, classes))
    )
    for a, b, c in zip(wholes, packed, flats, strict=True):
        assert torch.equal(a.pixel_information, b.pixel_information)
        assert torch.equal(a.pixel_information.flatten(0, 1), c.pixel_information)
        assert [question.text for question in a.questions] == [question.text for question in b.questions]
        kind = "which class the voxel in slice" if classes else "whether the voxel in slice"
        assert any(question.text.startswith(kind) for question in a.questions)


def test_it_shows_itself():
    masks = line(*["0000"] * 4, *["1100"] * 2, *["1111"] * 2)
    found = resolve(masks)[0]
    html = found._repr_html_()
    assert "whether the pixel in row 0, column 0 belongs to it" in html
    assert "data:image/png;base64," in html
    assert found.plot(np.zeros((1, 4))).axes[2].get_title() == "modes before and after the answer"
    with pytest.raises(ValueError, match="^image: got shape"):
        found.plot(np.zeros((5, 5)))
    assert resolve(masks[:, :, None].expand(-1, -1, 3, -1, -1))[0].plot().axes


def test_bad_arguments_are_named():
    masks = line("0011", "0111", "0000")
    with pytest.raises(TypeError, match="^modes: got Modes, expected a list"):
        resolve(masks, modes(masks)[0])
    with pytest.raises(
        ValueError, match=r"^modes: got 1 Modes of .* \[\(2, \(1, 4\)\)\], expected 1 of \(3, \(1, 4\)\)"
    ):
        resolve(masks, modes(masks[:, :2]))
    with pytest.raises(ValueError, match="^masks: got labels 0 .. 2"):
        resolve(line("0012"), modes(line("0011")))
    with pytest.raises(TypeError, match="^summary: got int"):
        resolve(masks, summary=3)
    with pytest.raises(TypeError, match=r"^questions\['size'\]: got dtype torch.float32.*diameters >= 8"):
        resolve(masks, questions={"size": torch.rand(3)})
    with pytest.raises(ValueError, match=r"^questions\['size'\]: got shape \(2,\), expected \(B, n\) = \(1, 3\)"):
        resolve(masks, questions={"size": [1, 2]})
    model = ProbabilisticUNet(1, 1, channels=(4,), latent_dim=2)
    with pytest.raises(ValueError, match=r"^summary: got one of \(images, \*size\) \(1, 8, 8\), expected \(1, 1, 4\)"):
        resolve(masks, summary=summarize(model, torch.zeros(1, 1, 8, 8), 2))

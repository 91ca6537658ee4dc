"""Each preset on label maps small enough to score by hand, and the ways to choose and adapt one."""

import math
from dataclasses import FrozenInstanceError, replace

import pytest
from helpers.label_maps import maps

from fastpunet.metrics import CONVENTIONS, Convention, convention, energy_distance

SWITCHABLE = {0, 1, 8, 11, 13, 19, 20, 21, 22, 23}


def test_the_presets():
    names = ["kohl-lidc", "kohl-cityscapes", "kohl-cityscapes-strict", "phiseg", "ssn", "ccdm", "d-persona", "monai"]
    assert list(CONVENTIONS) == names
    assert all(CONVENTIONS[name].name == name for name in CONVENTIONS)


@pytest.mark.parametrize("name", ["kohl-lidc", "phiseg", "ssn", "ccdm"])
def test_golden_binary(name):
    # d(S, Y) = 1/2, 1, 1, 0; the two samples differ by 1, and so do the two references; two empty maps by 0
    result = energy_distance(maps([1, 1, 0, 0], [0, 0, 0, 0]), maps([1, 0, 0, 0], [0, 0, 0, 0]), convention=name)
    assert result.cross.item() == 0.625
    assert result.sample_diversity.item() == 0.5
    assert result.reference_diversity.item() == 0.5
    assert result.value.item() == 0.25
    assert result.unbiased.item() == -0.75


@pytest.mark.parametrize("name", ["phiseg", "ssn", "ccdm"])
def test_golden_multi_class(name):
    sample, reference = maps([1, 1, 2, 0]), maps([1, 0, 0, 0])
    three = energy_distance(sample, reference, convention=convention(name, num_classes=3))
    assert three.cross.item() == 0.75  # classes 1 and 2: IoU 1/2 and 0; the background does not count
    four = energy_distance(sample, reference, convention=convention(name, num_classes=4))
    assert four.cross.item() == 0.5  # class 3 is in neither: IoU 1


def test_golden_kohl_cityscapes():
    result = energy_distance(maps([0, 0, 19, 2]), maps([0, 0, 1, 3]), convention="kohl-cityscapes")
    assert result.cross.item() == pytest.approx(
        2 / 3, abs=1e-7
    )  # road 1; sidewalk and sidewalk_2 0; 2, 3 not looked at
    assert result.value.item() == pytest.approx(4 / 3, abs=1e-7)


@pytest.mark.parametrize("label", range(24))
def test_kohl_cityscapes_looks_at_the_switchable_classes_alone(label):
    d = energy_distance(maps([label]), maps([label]), convention="kohl-cityscapes").cross.item()
    assert d == 0 if label in SWITCHABLE else math.isnan(d)


def test_kohl_cityscapes_leaves_out_pairs_without_a_class():
    # samples: wall 3 (not switchable) and road; S, S' has distances NaN, 1, 1, 0 and S, Y 1, 0
    result = energy_distance(maps([3], [0]), maps([0], [0]), convention="kohl-cityscapes")
    assert result.sample_diversity.item() == pytest.approx(2 / 3)
    assert result.cross.item() == 0.5
    assert result.value.item() == pytest.approx(1 / 3)
    assert result.unbiased.item() == pytest.approx(2 * 0.5 - 1 - 0)


def test_kohl_cityscapes_is_nan_where_no_pair_is_left():
    result = energy_distance(maps([3], [2]), maps([3], [4]), convention="kohl-cityscapes")
    assert math.isnan(result.value.item())
    assert math.isnan(result.cross.item())


def test_convention_adapts_a_preset():
    assert convention("ccdm") == CONVENTIONS["ccdm"]
    assert convention("kohl-cityscapes", num_classes=24) is not None
    assert convention("ccdm", num_classes=4).averaged == (1, 2, 3)
    assert replace(CONVENTIONS["phiseg"], num_classes=4) == convention("phiseg", num_classes=4)
    assert convention("kohl-lidc", num_classes=4, classes=[3]).averaged == (3,)
    assert convention("kohl-cityscapes", classes=[0, 19]).num_classes == 24
    assert math.isnan(convention("kohl-cityscapes", classes=[0, 19]).empty)


def test_a_convention_of_ones_own():
    # both maps lack class 2: IoU 0 by this rule; class 0 has IoU 1/2
    own = Convention("own", num_classes=3, classes=(0, 2), empty=0.0)
    assert energy_distance(maps([0, 0]), maps([0, 1]), convention=own).cross.item() == 0.75


def test_a_convention_is_frozen():
    with pytest.raises(FrozenInstanceError):
        CONVENTIONS["ccdm"].empty = 0.0


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            ValueError,
            r"convention: got 'lidc', expected one of kohl-lidc, kohl-cityscapes, kohl-cityscapes-strict, phiseg",
            ("lidc", {}),
        ),
        (ValueError, r"convention: got \['ccdm'\], expected one of", (["ccdm"], {})),
        (
            ValueError,
            r"num_classes: got 4, expected 2, for which 'kohl-lidc'.*give classes=",
            ("kohl-lidc", {"num_classes": 4}),
        ),
        (ValueError, r"num_classes: got 19, expected 24, for which", ("kohl-cityscapes", {"num_classes": 19})),
        (ValueError, r"num_classes: got 1, expected a whole number of at least 2", ("ccdm", {"num_classes": 1})),
        (TypeError, r"num_classes: got 'two', expected a whole number", ("ccdm", {"num_classes": "two"})),
        (
            ValueError,
            r"classes: got \(1, 1\), expected different classes among 0 .. 1; correct",
            ("ccdm", {"classes": (1, 1)}),
        ),
        (
            ValueError,
            r"classes: got 2, expected a whole number of at least 0 and at most 1",
            ("ccdm", {"classes": (2,)}),
        ),
        (ValueError, r"classes: got -1, expected", ("ccdm", {"classes": (-1,)})),
        (ValueError, r"classes: got \(\), expected", ("ccdm", {"classes": ()})),
    ],
)
def test_errors_name_the_argument_and_instruct(error, message, call):
    name, options = call
    with pytest.raises(error, match="^" + message):
        convention(name, **options)


def test_empty_is_checked():
    with pytest.raises(ValueError, match=r"^empty: got 2.0, expected 1.0, 0.0 or nan"):
        replace(CONVENTIONS["ccdm"], empty=2.0)

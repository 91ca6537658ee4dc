"""Energy distances worked out by hand, as fractions, for every preset."""

from fractions import Fraction as F

import pytest
import torch
from helpers.label_maps import maps

from fastpunet import PackedMasks
from fastpunet.metrics import CONVENTIONS, Convention, best_iou, convention, energy_distance, matched_iou

BINARY = ["kohl-lidc", "phiseg", "ssn", "ccdm"]
MULTI_CLASS = ["phiseg", "ssn", "ccdm"]


def check(result, **expected):
    for name, fraction in expected.items():
        assert getattr(result, name).item() == pytest.approx(float(fraction), rel=0, abs=1e-12), name


def test_every_preset_has_a_golden_answer_here():
    others = {"kohl-cityscapes", "kohl-cityscapes-strict", "d-persona", "monai"}
    assert {*BINARY, *MULTI_CLASS, *others} == set(CONVENTIONS)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("pack", [lambda masks: masks, PackedMasks.pack])
def test_binary(name, pack):
    samples = maps([1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0])
    graders = maps([1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0])
    # d = 1 - IoU     Y1            Y2          S2   S3
    # S1              1 - 2/3       1           1    1 - 2/4
    # S2, empty       1             0, by rule       1
    # S3              1 - 1/4       1
    # Y1                            1
    check(
        energy_distance(pack(samples), pack(graders), convention=name),
        cross=F(49, 72),  # (1/3 + 1 + 1 + 0 + 3/4 + 1) / 6
        sample_diversity=F(5, 9),  # 2 (1 + 1/2 + 1) / 9
        reference_diversity=F(1, 2),  # 2 (1) / 4
        value=F(11, 36),  # 49/36 - 5/9 - 1/2
        unbiased=F(-17, 36),  # 49/36 - 5/6 - 1
    )


@pytest.mark.parametrize("name", MULTI_CLASS)
def test_four_classes(name):
    samples = maps([1, 1, 2, 2, 0, 0], [1, 2, 2, 0, 0, 0], [0, 0, 0, 0, 0, 0])
    graders = maps([1, 1, 1, 2, 0, 0], [0, 0, 0, 0, 3, 0])
    # IoUs of 1, 2, 3    Y1                 Y2              S2                  S3
    # S1                 2/3, 1/2, (1)      0, 0, 0         1/2, 1/3, (1)       0, 0, (1)
    # S2                 1/3, 0, (1)        0, 0, 0                             0, 0, (1)
    # S3, background     0, 0, (1)          (1), (1), 0
    # Y1                                    0, 0, 0         (1): a class that both lack
    #
    # d                  5/18               1               7/18                2/3
    #                    5/9                1                                   2/3
    #                    2/3                1/3
    #                                       1
    check(
        energy_distance(samples, graders, convention=convention(name, num_classes=4)),
        cross=F(23, 36),  # (5/18 + 1 + 5/9 + 1 + 2/3 + 1/3) / 6
        sample_diversity=F(31, 81),  # 2 (7/18 + 2/3 + 2/3) / 9
        reference_diversity=F(1, 2),  # 2 (1) / 4
        value=F(32, 81),  # 23/18 - 31/81 - 1/2
        unbiased=F(-8, 27),  # 23/18 - 31/54 - 1
    )


# Cityscapes: road 0, sidewalk 1, person 11; their twins road_2 23, sidewalk_2 19; building 2 and wall 3 do not switch


def test_kohl_cityscapes_with_the_modes_probabilities():
    samples = maps([0, 0, 1, 1, 2, 2], [23, 23, 19, 1, 2, 11])
    modes = maps([0, 0, 19, 19, 2, 2], [23, 23, 1, 1, 3, 2])
    # IoUs of the classes that either has
    # S1, Y1    road 1, sidewalk 0, sidewalk_2 0                           d = 2/3
    # S1, Y2    road 0, sidewalk 1, road_2 0                               d = 2/3
    # S2, Y1    road 0, road_2 0, sidewalk 0, sidewalk_2 1/2, person 0     d = 9/10
    # S2, Y2    road_2 1, sidewalk 1/2, sidewalk_2 0, person 0             d = 5/8
    # S1, S2    road 0, road_2 0, sidewalk 1/2, sidewalk_2 0, person 0     d = 9/10
    # Y1, Y2    road 0, road_2 0, sidewalk 0, sidewalk_2 0                 d = 1
    check(
        energy_distance(samples, modes, convention="kohl-cityscapes", weights=torch.tensor([0.75, 0.25])),
        cross=F(719, 960),  # (3/4 2/3 + 1/4 2/3 + 3/4 9/10 + 1/4 5/8) / 2
        sample_diversity=F(9, 20),  # 2 (9/10) / 4
        reference_diversity=F(3, 8),  # 2 (3/4 1/4)
        value=F(323, 480),  # 719/480 - 9/20 - 3/8
        unbiased=F(107, 480),  # 719/480 - 9/10 - 3/8: the modes are all there are
    )


def test_kohl_cityscapes_leaves_out_pairs_without_a_class_and_ignored_pixels():
    samples, graders = maps([0, 1, 0], [2, 2, 0]), maps([0, 0, 1], [3, 2, 1])
    # the last pixel does not count; S2 and Y2 then have no class that switches
    # S1, Y1    road 1/2, sidewalk 0      d = 3/4
    # S1, Y2    road 0, sidewalk 0        d = 1
    # S2, Y1    road 0                    d = 1
    # S2, Y2    none                      left out, as are S2, S2 and Y2, Y2
    # S1, S2    road 0, sidewalk 0        d = 1
    # Y1, Y2    road 0                    d = 1
    ignore = torch.tensor([[[False, False, True]]])
    strict = energy_distance(samples, graders, convention="kohl-cityscapes-strict", ignore=ignore)
    assert strict.cross.isnan()
    assert strict.sample_diversity.isnan()
    assert strict.value.isnan()
    check(
        energy_distance(samples, graders, convention="kohl-cityscapes", ignore=ignore),
        cross=F(11, 12),  # (3/4 + 1 + 1) / 3
        sample_diversity=F(2, 3),  # (0 + 1 + 1) / 3
        reference_diversity=F(2, 3),
        value=F(1, 2),  # 11/6 - 2/3 - 2/3
        unbiased=F(-1, 6),  # 11/6 - 1 - 1
    )


def test_two_empty_masks_are_wrong_under_d_persona():
    samples, graders = maps([1, 1, 0, 0], [0, 0, 0, 0]), maps([1, 0, 0, 0], [0, 0, 0, 0])
    check(
        energy_distance(samples, graders, convention="d-persona"),
        cross=F(7, 8),  # (1/2 + 1 + 1 + 1) / 4
        sample_diversity=F(3, 4),  # (0 + 1 + 1 + 1) / 4: the empty mask differs from itself
        reference_diversity=F(3, 4),
        value=F(1, 4),
        unbiased=F(-1, 4),
    )


def test_monai_leaves_out_what_the_reference_lacks():
    samples, graders = maps([1, 1, 0, 0], [0, 0, 0, 0]), maps([1, 0, 0, 0], [0, 0, 0, 0])
    found = energy_distance(samples, graders, convention="monai")
    check(found, cross=F(3, 4))  # (1/2 + 1) / 2
    assert found.value.isnan()
    assert found.unbiased.isnan()
    assert found.sample_diversity.isnan()
    assert best_iou(samples, graders, convention="monai").item() == 0.5
    assert best_iou(samples, graders).item() == 0.75
    assert matched_iou(samples, graders, convention="monai").item() == 0.25  # all hypotheses to the one grader


def test_one_minus_dice():
    samples, graders = maps([1, 1, 0, 0], [0, 0, 0, 0]), maps([1, 0, 0, 0], [0, 0, 0, 0])
    check(
        energy_distance(samples, graders, convention=Convention("dice", overlap="dice")),
        cross=F(7, 12),  # (1/3 + 1 + 1 + 0) / 4, Dice 2/3
        sample_diversity=F(1, 2),
        reference_diversity=F(1, 2),
        value=F(1, 6),
        unbiased=F(-5, 6),
    )

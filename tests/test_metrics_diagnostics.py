"""Nestedness and presence: hand-made masks, and loops."""

import numpy as np
import pytest
import torch
from helpers import score_loops

from fastpunet import PackedMasks
from fastpunet.metrics import nestedness, pairwise_iou, presence, present_distance


def _discs(radii, size=24):
    y, x = np.mgrid[:size, :size] - size / 2
    return torch.from_numpy(np.stack([np.hypot(y, x) < radius for radius in radii])).to(torch.uint8)[None]


def test_level_sets_are_nested_and_disjoint_masks_are_not():
    assert float(nestedness(_discs([2, 5, 8, 11]))) == 1
    apart = torch.eye(4, dtype=torch.uint8).reshape(1, 4, 2, 2)
    assert float(nestedness(apart)) == 0
    both = torch.cat((_discs([2, 5]), torch.zeros(1, 1, 24, 24, dtype=torch.uint8)), dim=1)
    both[0, 2, 0, 0] = 1
    assert float(nestedness(both)) == pytest.approx(1 / 3)


def test_equal_and_empty_masks_say_nothing_about_nestedness():
    same = _discs([5]).repeat(1, 3, 1, 1)
    assert torch.isnan(nestedness(same)).all()
    assert torch.isnan(nestedness(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))).all()
    assert float(nestedness(torch.cat((same, torch.zeros_like(same), _discs([8])), 1))) == 1


def test_nestedness_equals_a_loop_over_classes_and_pairs():
    samples = torch.randint(0, 3, (2, 6, 3, 2), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for image, value in zip(samples.numpy(), nestedness(samples, num_classes=3), strict=True):
        assert float(value) == pytest.approx(score_loops.nestedness(image, (1, 2)))


def test_an_affine_f_comb_is_caught():
    scores = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    affine = (scores + torch.linspace(-0.4, 0.4, 7)[None, :, None, None] > 0.5).to(torch.uint8)
    assert float(nestedness(affine)) == 1


def test_presence_and_distance_where_present():
    discs = _discs([4, 0, 6, 0])
    assert float(presence(discs)) == 0.5
    assert float(presence(PackedMasks.pack(discs))) == 0.5
    references = _discs([5, 0])
    expected = (1 - pairwise_iou(discs[:, ::2], references[:, :1])).mean()
    assert float(present_distance(discs, references)) == pytest.approx(float(expected))
    assert float(present_distance(PackedMasks.pack(discs), PackedMasks.pack(references))) == pytest.approx(
        float(expected)
    )
    assert torch.isnan(present_distance(discs, _discs([0])))

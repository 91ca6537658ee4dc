"""Yardsticks: what empty masks, masks of other images and a grader score, against values by hand."""

import numpy as np
import pytest
import torch

from fastpunet.data import Record
from fastpunet.metrics import energy_distance
from fastpunet.scoring.mask_pool import MaskPool
from fastpunet.scoring.yardsticks import ONE_GRADER, yardsticks

CPU = torch.device("cpu")


def record(id, *masks, patient="", size=(2, 2), weights=None):
    """Masks by the pixels that are foreground, of a flattened image."""
    labels = np.zeros((len(masks), size[0] * size[1]), np.uint8)
    for row, pixels in zip(labels, masks, strict=True):
        row[list(pixels)] = 1
    return Record(np.zeros((1, *size), np.float32), labels.reshape(-1, *size), id, patient, weights)


def test_empty_masks_have_the_distance_of_nothing():
    """Graders: one outlines a pixel, one nothing. E d(S, Y) = 1/2, E d(S, S') = 0, E d(Y, Y') = 1/2: V = 1/2."""
    found = yardsticks([record(0, [0], [])], 1, [1, 4])["empty masks"]
    for n in (1, 4):
        assert found.estimate(n, "value").value == pytest.approx(0.5)
    three = yardsticks([record(0, [0], [])], 3, [4])["empty masks"]  # class 2 is nowhere: IoU 1 of either pair
    assert three.estimate(4, "value").value == pytest.approx(0.25)


def test_one_grader_is_compared_with_the_others():
    graders = [[0], [0, 1], []]
    found = yardsticks([record(0, *graders)], 1, [4])[ONE_GRADER]
    assert list(found.scores) == [1]
    labels = torch.from_numpy(record(0, *graders).masks)
    values = [
        energy_distance(labels[None, k : k + 1], labels[None, [other for other in range(3) if other != k]]).value.item()
        for k in range(3)
    ]
    assert found.estimate(1, "value").value == pytest.approx(np.mean(values))


def test_masks_of_other_images_are_of_other_patients_and_of_the_same_size():
    records = [
        record(0, [0], [0, 1], patient="a"),
        record(1, [1], patient="a"),
        record(2, [2], [3], patient="b"),
        record(3, [0, 1, 2, 3], patient="c", size=(2, 3)),
    ]
    pool = MaskPool(records, 1, CPU, seed=0, apart=False)
    drawn = pool.draw(records[:2], 400).unpack().flatten(2)
    for image in drawn:
        found, counts = image.unique(dim=0, return_counts=True)
        assert found.tolist() == [[0, 0, 0, 1], [0, 0, 1, 0]]
        assert abs(counts[0] - 200) < 60  # three standard deviations
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(pool.draw(records[1:2], 400).unpack()[0].flatten(1), drawn[1])
    assert all(pool.has_masks_for(one) for one in records)


def test_masks_are_brought_to_a_size_that_the_pool_does_not_have():
    """By nearest neighbours: twice as large, every pixel becomes four; half as wide, every second column stays."""
    pool = MaskPool([record(0, [1, 2, 7], size=(2, 4))], 1, CPU, seed=0, apart=True)
    (large,) = pool.draw([record(1, size=(4, 8))], 1).unpack()[0].numpy()
    small = np.array([[0, 1, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(large, small.repeat(2, 0).repeat(2, 1))
    (narrow,) = pool.draw([record(1, size=(2, 2))], 1).unpack()[0].numpy()
    np.testing.assert_array_equal(narrow, small[:, 1::2])
    three = MaskPool(
        [Record(np.zeros((1, 2, 4), np.float32), (2 * small[None]).astype(np.uint8), 0)], 3, CPU, 0, apart=True
    )
    np.testing.assert_array_equal(three.draw([record(1, size=(4, 8))], 1).unpack()[0, 0].numpy(), 2 * large)


def test_each_image_of_the_pool_is_as_likely_whatever_its_masks():
    """One image with three masks, one with one, one of two masks with the weights 3/4 and 1/4: 1/3 each."""
    training = [record(0, [0], [0], [0]), record(1, [1]), record(2, [2], [3], weights=np.float32([0.75, 0.25]))]
    pool = MaskPool(training, 1, CPU, seed=3, apart=True)
    drawn = pool.draw([record(0, [0])], 6000).unpack()[0].flatten(1).double().mean(0)
    expected = np.array([1 / 3, 1 / 3, 1 / 4, 1 / 12])
    np.testing.assert_array_less(np.abs(drawn.numpy() - expected), 4 * np.sqrt(expected / 6000))


def test_training_masks_take_the_place_of_other_images():
    records, training = [record(0, [0], [1])], [record(5, [2])]
    found = yardsticks(records, 1, [1, 2000], training=training)
    assert set(found) == {"empty masks", "random training masks", ONE_GRADER}
    assert list(found["random training masks"].scores) == [1]  # no n above 1000
    assert found["random training masks"].estimate(1, "value").value == pytest.approx(2 * 1 - 0 - 0.5)


def test_what_a_data_set_does_not_allow_is_left_out():
    single = [record(0, [0], patient="a"), record(1, [1], patient="a")]
    assert set(yardsticks(single, 1, [4])) == {"empty masks"}
    assert yardsticks([Record(np.zeros((1, 2, 2), np.float32), np.zeros((0, 2, 2), np.uint8), 0)], 1, [4]) == {}

"""The picture of samples in a training log."""

import numpy as np

from fastpunet.data import IGNORE, Record
from fastpunet.training.pictures import sample_picture


def tile(picture, row, column, side=6, gap=2):
    top, left = (place * (side + gap) for place in (row, column))
    return picture[top : top + side, left : left + side]


def test_rows_show_image_graders_and_hypotheses():
    masks = np.zeros((1, 6, 6), np.uint8)
    masks[0, 0, 0], masks[0, 5, 5] = 1, IGNORE
    image = np.full((1, 6, 6), 0.2, np.float32)
    records = [Record(image, masks, 0), Record(image, np.zeros((0, 6, 6), np.uint8), 1)]
    hypotheses = np.zeros((2, 2, 6, 6), np.uint8)
    hypotheses[0, 1] = 1
    picture = sample_picture(records, hypotheses)
    assert picture.shape == (2 * 6 + 2, 7 * 6 + 6 * 2, 3)
    assert (tile(picture, 0, 0) == 51).all()
    grader = tile(picture, 0, 1)
    assert (grader[0, 0] == 255).all()
    assert (grader[5, 5] == 128).all()
    assert grader.sum() == 3 * (255 + 128)
    for column in range(2, 6):  # three graders that there are not, and an empty hypothesis
        assert not tile(picture, 0, column).any()
    assert (tile(picture, 0, 6) == 255).all()
    for column in range(1, 7):  # nobody annotated the second image
        assert not tile(picture, 1, column).any()


def test_of_a_volume_the_fullest_slice_is_shown():
    masks = np.zeros((2, 3, 6, 6), np.uint8)
    masks[0, 1, :2], masks[1, 2, :3] = 1, 1
    image = np.stack([np.full((6, 6), k / 5, np.float32) for k in range(3)])[None]
    hypotheses = np.zeros((1, 1, 3, 6, 6), np.uint8)
    hypotheses[0, 0, 2, 4] = 1
    picture = sample_picture([Record(image, masks, 0)], hypotheses)
    assert (tile(picture, 0, 0) == 102).all()
    assert not tile(picture, 0, 1).any()
    assert tile(picture, 0, 2)[:3].all()
    assert tile(picture, 0, 5)[4].all()
    assert tile(picture, 0, 5).any(axis=(1, 2)).sum() == 1

"""Packed masks."""

import pytest
import torch

from fastpunet import PackedMasks


@pytest.mark.parametrize("size", [(1, 1), (4, 8), (5, 13), (1, 33)])
@pytest.mark.parametrize("classes", [None, 2, 3, 24])
def test_pack_and_unpack_are_inverse(size, classes):
    labels = torch.randint(0, classes or 2, (2, 3, *size), dtype=torch.uint8)
    packed = PackedMasks.pack(labels, classes)
    assert packed.words.shape == (2, 3, classes or 1, -(-size[0] * size[1] // 32))
    assert packed.shape == (2, 3, *size)
    assert torch.equal(packed.unpack(), labels)
    assert torch.equal(PackedMasks.pack(labels.long(), classes).words, packed.words)


def test_a_label_of_no_class_is_255():
    labels = torch.tensor([[[[0, 1, 255]]]], dtype=torch.uint8)
    assert torch.equal(PackedMasks.pack(labels, 2).unpack(), labels)


def test_area_counts_pixels():
    labels = torch.tensor([[[[0, 1, 1], [2, 1, 0]]]])
    assert PackedMasks.pack(labels, 3).area().tolist() == [[[2, 3, 1]]]
    assert PackedMasks.pack(labels > 0).area().tolist() == [[[4]]]


def test_slices_select_images_and_hypotheses():
    labels = torch.randint(0, 2, (3, 5, 4, 9), dtype=torch.uint8)
    packed = PackedMasks.pack(labels)
    assert torch.equal(packed[1:, :2].unpack(), labels[1:, :2])
    assert torch.equal(packed[:, torch.tensor([4, 0])].unpack(), labels[:, [4, 0]])
    for index in (0, (0, 0), (slice(None), slice(None), slice(None), slice(0, 1))):
        with pytest.raises(IndexError, match="takes slices"):
            packed[index]


def test_moves_between_devices():
    assert PackedMasks.pack(torch.ones(1, 1, 2, 2)).to("meta").words.device.type == "meta"


def test_bad_labels_are_named():
    with pytest.raises(ValueError, match=r"labels: got \(3, 4, 5\), expected a tensor \(B, n, H, W\)"):
        PackedMasks.pack(torch.ones(3, 4, 5))
    with pytest.raises(ValueError, match="labels: got list"):
        PackedMasks.pack([[0]])
    with pytest.raises(ValueError, match="num_classes: got 0"):
        PackedMasks.pack(torch.ones(1, 1, 2, 2), 0)


def test_words_must_fit_the_size():
    with pytest.raises(ValueError, match="words: got"):
        PackedMasks(torch.zeros(1, 1, 1, 2, dtype=torch.int32), (4, 4))

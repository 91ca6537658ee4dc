"""Packed masks."""

import numpy as np
import pytest
import torch

from fastpunet import PackedMasks


@pytest.mark.parametrize("size", [(1, 1), (4, 8), (5, 13), (1, 33), (2, 3, 5), (3, 4, 8)])
@pytest.mark.parametrize("classes", [None, 1, 2, 3, 24])
def test_pack_and_unpack_are_inverse(size, classes):
    labels = torch.randint(0, max(2, classes or 2), (2, 3, *size), dtype=torch.uint8)
    packed = PackedMasks.pack(labels, classes)
    assert packed.num_planes == (classes or 1)
    assert packed.shape == (2, 3, *size)
    assert torch.equal(packed.unpack(), labels)
    for same in (labels.long(), labels.to(torch.int8), labels.transpose(-1, -2).contiguous().transpose(-1, -2)):
        assert torch.equal(PackedMasks.pack(same, classes).words, packed.words)


@pytest.mark.parametrize("size", [(5, 13), (2, 5, 7)])
def test_words_are_those_of_numpy(size):
    """Pixel p is bit p % 32 of word p // 32, least significant bits and bytes first."""
    labels = np.random.default_rng(0).integers(0, 3, (2, 3, *size))
    planes = np.stack([labels == label for label in range(3)], axis=2).reshape(2, 3, 3, -1)
    bits = np.pad(planes, (*[(0, 0)] * 3, (0, -planes.shape[-1] % 32)))
    want = np.packbits(bits, axis=-1, bitorder="little").view("<i4")
    np.testing.assert_array_equal(PackedMasks.pack(torch.from_numpy(labels), 3).words.numpy(), want)


def test_a_label_that_is_named_belongs_to_no_class():
    labels = torch.tensor([[[[0, 1, 255]]]], dtype=torch.uint8)
    assert torch.equal(PackedMasks.pack(labels, 2, ignore_index=255).unpack(), labels)
    assert PackedMasks.pack(labels, ignore_index=255).unpack().tolist() == [[[[0, 1, 0]]]]
    negative = labels.long().masked_fill(labels == 255, -100)
    assert torch.equal(PackedMasks.pack(negative, 2, ignore_index=-100).unpack(), labels)


def test_area_counts_pixels():
    labels = torch.tensor([[[[0, 1, 1], [2, 1, 0]]]])
    assert PackedMasks.pack(labels, 3).area().tolist() == [[[2, 3, 1]]]
    assert PackedMasks.pack(labels > 0).area().tolist() == [[[4]]]


def test_slices_select_images_and_hypotheses():
    labels = torch.randint(0, 2, (3, 5, 4, 9), dtype=torch.uint8)
    packed = PackedMasks.pack(labels)
    assert torch.equal(packed[1:, :2].unpack(), labels[1:, :2])
    assert torch.equal(packed[:, torch.tensor([4, 0])].unpack(), labels[:, [4, 0]])
    everything = slice(None)
    for index in (0, (0, 0), (everything, everything, everything), (..., slice(0, 9)), None, (everything, 1)):
        with pytest.raises(IndexError, match="^index: expected slices"):
            packed[index]


def test_moves_between_devices():
    moved = PackedMasks.pack(torch.ones(1, 1, 2, 2, dtype=torch.uint8)).to("meta")
    assert moved.words.device.type == moved.device.type == "meta"


LABELS = torch.tensor([[[[0, 1], [1, 0]]]], dtype=torch.uint8)


@pytest.mark.parametrize(
    "labels",
    [
        torch.full((1, 1, 2, 2), 0.2),
        LABELS.double(),
        LABELS.bfloat16(),
        LABELS * torch.nan,
        LABELS.to(torch.complex64),
        LABELS.to(torch.uint16),
        LABELS.to(torch.uint64),
    ],
)
def test_labels_are_bool_or_integers(labels):
    for classes in (None, 2, 3):
        with pytest.raises(TypeError, match=f"^labels: got dtype {labels.dtype}, expected labels of bool, uint8 or"):
            PackedMasks.pack(labels, classes)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (LABELS * 2, None, "labels 0 .. 2, expected 0 .. 1 for 2 classes; give num_classes, or"),
        (LABELS * 255, None, "labels 0 .. 255, expected 0 .. 1 .* as ignore_index"),
        (LABELS * 255, 1, "labels 0 .. 255, expected 0 .. 1"),
        (LABELS * 3, 3, "labels 0 .. 3, expected 0 .. 2"),
        (LABELS.long() * 256, 256, "labels 0 .. 256, expected 0 .. 255"),
        (LABELS.long() * (2**32 + 1), 2, "labels 0 .. 4294967297"),
        (-LABELS.long(), None, "labels -1 .. 0"),
        (-LABELS.to(torch.int8), 4, "labels -1 .. 0"),
    ],
)
def test_labels_are_in_range(labels, classes, message):
    with pytest.raises(ValueError, match=f"^labels: got {message}"):
        PackedMasks.pack(labels, classes)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, r"labels: got shape \(1, 2, 2\), expected \(B, n, H, W\) or", (LABELS[0],)),
        (TypeError, "labels: got list, expected a tensor", ([[0]],)),
        (TypeError, "labels: got ndarray, expected a tensor", (LABELS.numpy(),)),
        (ValueError, "num_classes: got 0, expected", (LABELS, 0)),
        (ValueError, "num_classes: got 257, expected .* at most 256", (LABELS, 257)),
        (TypeError, "num_classes: got 2.0, expected", (LABELS, 2.0)),
        (TypeError, "num_classes: got True, expected", (LABELS, True)),
    ],
)
def test_bad_arguments_are_named(error, message, arguments):
    with pytest.raises(error, match=f"^{message}"):
        PackedMasks.pack(*arguments)
    with pytest.raises(ValueError, match="^ignore_index: got 1, which is a class; expected a label other than 0 .. 1"):
        PackedMasks.pack(LABELS, ignore_index=1)


def test_words_must_fit_the_size():
    with pytest.raises(ValueError, match="^words: got torch.int32"):
        PackedMasks(torch.zeros(1, 1, 1, 2, dtype=torch.int32), (4, 4))
    with pytest.raises(TypeError, match="^words: got list"):
        PackedMasks([1], (4, 4))
    for size in (16, (16,), [4, 4], (1, 1, 4, 4)):
        with pytest.raises(ValueError, match="^size: got"):
            PackedMasks(torch.zeros(1, 1, 1, 1, dtype=torch.int32), size)
    with pytest.raises(ValueError, match="^words: got bits beyond the last of 9 pixels"):
        PackedMasks(torch.full((1, 1, 1, 1), 1 << 9, dtype=torch.int32), (3, 3))
    assert PackedMasks(torch.full((1, 1, 1, 1), -1, dtype=torch.int32), (4, 8)).area().item() == 32

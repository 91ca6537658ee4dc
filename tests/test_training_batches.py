"""Batches: what a step sees, whoever asks."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fastpunet.data import Record
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.training.augmentation import Augmentation, AugmentationConfig
from fastpunet.training.batches import Batches, crop
from fastpunet.training.config import TrainingConfig

TURNS = {"flip": True, "quarter_turns": True}
ALL = {
    **TURNS,
    "rotation": 30,
    "shear": 0.1,
    "translation": 2,
    "scale": [0.8, 1.2],
    "elastic": [4, 1],
    "gamma": [0.7, 1.5],
}


def _config(**values):
    return TrainingConfig(kind="lesions", **{"steps": 9, "batch_size": 3, "seed": 5, **values})


def _same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_batches_are_a_function_of_seed_and_step():
    records = SyntheticLesions(7, size=16)
    whole = Batches(records, _config())
    later = Batches(records, _config(), first_step=4)
    assert all(_same(a, b) for a, b in zip(list(whole)[4:], later, strict=True))
    assert not torch.equal(whole[0].images, Batches(records, _config(seed=6))[0].images)
    assert whole[2].ids.tolist() == [6, 7, 8]


@pytest.mark.parametrize(("processes", "accumulate"), [(2, 1), (1, 3), (2, 3)])
def test_processes_and_parts_share_out_the_examples_of_a_step(processes, accumulate):
    records = SyntheticLesions(7, size=16)
    settings = dict(batch_size=6, augmentation=ALL, graders_per_image=2)
    whole = Batches(records, _config(**settings))
    dealt = [
        list(Batches(records, _config(**settings, accumulate=accumulate), 3, process=rank, processes=processes))
        for rank in range(processes)
    ]
    for i, step in enumerate(range(3, 9)):
        parts = [part for rank in dealt for part in rank[i * accumulate : (i + 1) * accumulate]]
        order = torch.cat([part.ids for part in parts]).argsort()
        joined = [torch.cat(columns)[order] for columns in zip(*parts, strict=True)]
        assert _same(joined, whole[step])
    with pytest.raises(ValueError, match="batch_size: got 3, expected a multiple of 2, the number of processes times"):
        Batches(records, _config(batch_size=3), processes=2)


def test_workers_change_nothing():
    records = SyntheticLesions(7, size=16)
    batches = Batches(records, _config(augmentation=ALL, steps=5), first_step=1)
    loader = DataLoader(batches, batch_size=None, num_workers=2, multiprocessing_context="spawn")
    for ours, theirs in zip(batches, loader, strict=True):
        assert _same(ours, theirs)


def test_every_record_is_seen_once_a_round_and_augmented_with_its_mask():
    rng = np.random.default_rng(0)
    records = []
    for i in range(5):
        mask = rng.integers(0, 2, (1, 8, 8), dtype=np.uint8)
        records.append(Record(mask.astype(np.float32) + i, mask, id=i))
    seen, orientations = [], set()
    for batch in Batches(records, _config(batch_size=1, seed=0, steps=200, augmentation=TURNS)):
        index = int(batch.images.min())
        torch.testing.assert_close(batch.images[0, 0], batch.labels[0, 0].float() + index)
        seen.append(index)
        orientations.add((index, batch.labels.numpy().tobytes()))
    assert all(sorted(seen[i : i + 5]) == [0, 1, 2, 3, 4] for i in range(0, 200, 5))
    assert len(orientations) > 5 * 6  # of the eight symmetries of a square


def test_graders_are_drawn_by_weight():
    masks = np.arange(3, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    image = np.zeros((1, 4, 4), np.float32)
    weighted = Record(image, masks, 0, weights=np.array([0.7, 0.0, 0.3], np.float32))
    for record, expected in ((weighted, [0.7, 0.0, 0.3]), (Record(image, masks, 0), [1 / 3] * 3)):
        labels = [int(b.labels[0, 0, 0, 0]) for b in Batches([record], _config(batch_size=1, seed=0, steps=600))]
        np.testing.assert_allclose(np.bincount(labels, minlength=3) / 600, expected, atol=0.07)


def test_several_graders_are_different_ones_as_far_as_they_go():
    masks = np.arange(3, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    record = Record(np.zeros((1, 4, 4), np.float32), masks, 0)
    for count, expected in ((2, 2), (3, 3), (5, 3)):
        batches = Batches([record], _config(batch_size=1, steps=50, graders_per_image=count))
        drawn = [batch.labels[0, :, 0, 0].tolist() for batch in batches]
        assert all(len(labels) == count and len(set(labels)) == expected for labels in drawn)
        assert len(set(map(tuple, drawn))) > 2


def test_image_and_masks_move_together():
    size = 32
    y, x = np.mgrid[:size, :size]
    mask = ((y - 10) ** 2 + (x - 20) ** 2 < 36).astype(np.uint8)
    image = mask[None].astype(np.float32)
    augment = Augmentation(AugmentationConfig(**{**ALL, "gamma": (1.0, 1.0)}))
    moved = 0
    for seed in range(20):
        changed, masks = augment(seed, (image, np.stack([mask, 1 - mask])))
        assert changed.dtype == np.float32
        assert masks.dtype == np.uint8
        assert np.abs(changed[0] - masks[0]).mean() < 0.02  # bilinear edges against nearest ones
        assert (masks[0] + masks[1] == 1).all()
        moved += (masks[0] != mask).mean() > 0.02
    assert moved > 15


def test_augmentation_is_a_function_of_its_seed_alone_and_leaves_global_generators_alone():
    example = (np.random.default_rng(0).random((1, 16, 16), np.float32), np.ones((1, 16, 16), np.uint8))
    augment = Augmentation(AugmentationConfig(**ALL))
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    expected = np.random.random(), torch.rand(1)  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    first = augment(3, example)
    augment(4, example)
    again = augment(3, example)
    assert (np.random.random(), torch.rand(1)) == expected  # noqa: NPY002
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], augment(4, example)[0])


def test_gamma_changes_the_image_alone():
    image = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    masks = (image > 0.5).astype(np.uint8)
    changed, same = Augmentation(AugmentationConfig(gamma=(2.0, 2.0)))(0, (image, masks))
    np.testing.assert_allclose(changed, image**2, atol=1e-5)
    np.testing.assert_array_equal(same, masks)


def test_crops():
    image = np.arange(42, dtype=np.float32).reshape(1, 6, 7)
    masks = image.astype(np.uint8)
    centre, _ = crop((image, masks), (2, 3))
    np.testing.assert_array_equal(centre, image[:, 2:4, 2:5])
    records = [Record(image, masks, 0)]
    corners = set()
    for batch in Batches(records, _config(batch_size=1, steps=200, crop=(2, 3), crop_anywhere=True)):
        torch.testing.assert_close(batch.images[0], batch.labels[0].float())
        corners.add(int(batch.images[0, 0, 0, 0]))
    assert len(corners) == 25  # five rows, five columns
    with pytest.raises(ValueError, match=r"crop: got \[8, 3\], expected at most the images' \[6, 7\] pixels"):
        crop((image, masks), (8, 3))


def test_quarter_turns_need_squares():
    oblong = np.zeros((1, 4, 6), np.float32), np.zeros((1, 4, 6), np.uint8)
    with pytest.raises(ValueError, match=r"augmentation.quarter_turns: got images of 4 x 6"):
        Augmentation(AugmentationConfig(quarter_turns=True))(0, oblong)


def test_volumes_are_changed_within_their_slices():
    """The slices of a volume stay where they are, and image and masks change alike."""
    slices = np.arange(1, 6, dtype=np.float32)[:, None, None]
    image = (slices * (np.arange(8) < 3)[None, :, None] * (np.arange(8) < 4)).astype(np.float32)[None]
    masks = (image[0] > 0).astype(np.uint8)[None]
    augment = Augmentation(AugmentationConfig(flip=True, quarter_turns=True))
    seen = set()
    for seed in range(12):
        changed, its = augment(seed, (image, masks))
        np.testing.assert_array_equal(changed[0].max((1, 2)), np.arange(1, 6))
        np.testing.assert_array_equal(its[0], changed[0] > 0)
        seen.add(its[0, 0].tobytes())
    assert len(seen) > 4
    moved = Augmentation(AugmentationConfig(rotation=30, translation=2, scale=(1.0, 1.2)))(1, (image, masks))
    assert moved[0].shape == image.shape
    assert not np.array_equal(moved[1], masks)
    with pytest.raises(ValueError, match="augmentation: got shear or elastic for volumes"):
        Augmentation(AugmentationConfig(shear=0.1))(0, (image, masks))


def test_parts_of_volumes():
    image = np.arange(5 * 6 * 7, dtype=np.float32).reshape(1, 5, 6, 7)
    example = (image, np.stack([image[0] % 2, image[0] % 3]).astype(np.uint8))
    part, masks = crop(example, (3, 2, 5))
    np.testing.assert_array_equal(part, image[:, 1:4, 2:4, 1:6])
    np.testing.assert_array_equal(masks[1], part[0] % 3)
    starts = {int(crop(example, (3, 2, 5), np.random.default_rng(k))[0].flat[0]) for k in range(400)}
    assert len(starts) == 3 * 5 * 3
    with pytest.raises(ValueError, match="crop: got \\[8, 32, 32\\], expected \\[height, width\\]"):
        TrainingConfig(kind="lesions-3d", crop=(8, 32, 32))
    with pytest.raises(ValueError, match="crop: got \\[32, 32\\], expected \\[slices, height, width\\]"):
        TrainingConfig(kind="lesions-3d", crop=(32, 32), model={"dims": 3})


def test_augmentation_leaves_monais_switch_as_it_was():
    from monai.data import get_track_meta

    assert get_track_meta()
    config = AugmentationConfig(rotation=15.0)
    Augmentation(config)(0, (np.zeros((1, 8, 8), np.float32), np.zeros((1, 8, 8), np.uint8)))
    assert get_track_meta()

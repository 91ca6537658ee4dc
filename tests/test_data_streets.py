"""Street scenes: CamVid bundles and Cityscapes trees."""

import shutil

import numpy as np
import pytest
from PIL import Image

from fastpunet.data import IGNORE, camvid, cityscapes
from fastpunet.metrics.conventions import CONVENTIONS


@pytest.fixture
def bundle(tmp_path):
    rng = np.random.default_rng(0)
    members = dict(
        images=rng.integers(0, 256, (3, 4, 6, 3), dtype=np.uint8),
        labels=rng.integers(0, 12, (3, 4, 6), dtype=np.uint8),
        names=np.array(["A_1", "A_2", "B_1"]),
        ignore_index=np.array(11),
    )
    return tmp_path / "camvid.npz", members


def test_camvid_records_hold_what_was_written(bundle):
    path, members = bundle
    np.savez(path, **members)
    records = camvid.read_npz(path)
    assert records.patients == ["A", "A", "B"]
    for i, record in enumerate(records):
        np.testing.assert_allclose(record.image, members["images"][i].transpose(2, 0, 1) / 255, rtol=1e-6)
        labels = members["labels"][i]
        np.testing.assert_array_equal(record.masks, np.where(labels == 11, IGNORE, labels)[None])
        assert (record.image.dtype, record.masks.dtype, record.id) == (np.float32, np.uint8, i)
    assert records[2:][0].id == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(images=np.zeros((3, 4, 6), np.uint8)), "expected uint8"),
        (dict(labels=np.zeros((3, 4, 5), np.uint8)), "expected uint8"),
        (dict(labels=np.zeros((3, 4, 6), np.int64)), "expected uint8"),
        (dict(names=np.array(["A_1"])), r"names \(1,\) and"),
        (dict(labels=np.full((3, 4, 6), 12, np.uint8)), r"has labels \[12\], expected 0 .. 10 or 11"),
    ],
)
def test_broken_camvid_bundles_are_named(bundle, change, message):
    path, members = bundle
    np.savez(path, **(members | change))
    with pytest.raises(ValueError, match=message):
        camvid.read_npz(path)


def test_an_empty_camvid_bundle_is_an_error(bundle):
    path, members = bundle
    empty = {name: value[:0] for name, value in members.items() if name != "ignore_index"}
    np.savez(path, **empty, ignore_index=11)
    with pytest.raises(ValueError, match="is empty"):
        camvid.read_npz(path)


def test_the_real_camvid(data_root):
    path = data_root / "camvid" / "camvid_val_128x160.npz"
    records = camvid.read_npz(path)
    with np.load(path) as members:
        names, labels = members["class_names"], members["labels"]
    assert tuple(names[:11]) == camvid.CLASSES
    assert set(records.patients) == {"0016E5"}
    assert (records[7].masks == IGNORE).sum() == (labels[7] == 11).sum() > 0
    assert [camvid.CLASSES[label] for label in camvid.FLIPS] == ["Pavement", "Pedestrian", "Car", "Tree", "Road"]


@pytest.fixture
def tree(tmp_path):
    """Two cities with a frame each, every label id once."""
    rng = np.random.default_rng(0)
    ids = np.append(np.arange(34), [255, 7]).astype(np.uint8).reshape(4, 9)
    for city in ("aachen", "bonn"):
        for kind, suffix, pixels in (
            ("leftImg8bit", "leftImg8bit", rng.integers(0, 256, (4, 9, 3), dtype=np.uint8)),
            ("gtFine", "gtFine_labelIds", ids),
        ):
            folder = tmp_path / kind / "train" / city
            folder.mkdir(parents=True)
            Image.fromarray(pixels).save(folder / f"{city}_000000_000019_{suffix}.png")
    return tmp_path


TRAIN_IDS = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10}
TRAIN_IDS |= {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}


def test_cityscapes_labels_become_train_ids(tree):
    records = cityscapes.read(tree)
    assert records.patients == ["aachen", "bonn"]
    assert records[1].id == 1
    assert records[0].image.shape == (3, 4, 9)
    labels = records[0].masks.reshape(-1)
    assert list(labels) == [TRAIN_IDS.get(i, IGNORE) for i in [*range(34), 255, 7]]


def test_cityscapes_are_resized(tree):
    record = cityscapes.read(tree, size=(8, 18))[0]
    assert record.image.shape == (3, 8, 18)
    np.testing.assert_array_equal(record.masks, cityscapes.read(tree)[0].masks.repeat(2, 1).repeat(2, 2))
    half = cityscapes.read(tree, size=(1, 1))[0]
    full = cityscapes.read(tree)[0].image
    np.testing.assert_allclose(half.image[:, 0, 0], full.mean(axis=(1, 2)), atol=0.1)
    with pytest.raises(ValueError, match="size: got"):
        cityscapes.read(tree, size=(0, 4))


def test_broken_cityscapes_are_named(tree):
    labels = tree / "gtFine" / "train" / "bonn" / "bonn_000000_000019_gtFine_labelIds.png"
    for image, message in (
        (Image.new("L", (9, 4), 34), r"bonn.* has labels \[34\], expected 0 .. 33 or 255"),
        (Image.new("L", (9, 5)), "5 x 9, expected 4 x 9"),
    ):
        image.save(labels)
        with pytest.raises(ValueError, match=message):
            cityscapes.read(tree)[1]
    labels.write_bytes(labels.read_bytes()[:20])
    with pytest.raises(ValueError, match="bonn.* is truncated"):
        cityscapes.read(tree)[1]
    labels.unlink()
    with pytest.raises(FileNotFoundError, match="no labels .*bonn"):
        cityscapes.read(tree)
    shutil.rmtree(tree / "leftImg8bit")
    with pytest.raises(FileNotFoundError, match="no images"):
        cityscapes.read(tree)


def test_grey_cityscapes_are_errors(tree):
    Image.new("L", (9, 4)).save(tree / "leftImg8bit" / "train" / "aachen" / "aachen_000000_000019_leftImg8bit.png")
    with pytest.raises(ValueError, match="is grey, expected RGB"):
        cityscapes.read(tree)[0]


def test_flips_are_those_of_the_convention():
    convention = CONVENTIONS["kohl-cityscapes"]
    assert set(convention.averaged) == {*cityscapes.FLIPS, *range(19, 24)}
    assert list(cityscapes.FLIPS) == [1, 11, 13, 8, 0]
    assert list(cityscapes.FLIPS.values()) == list(camvid.FLIPS.values()) == [k / 17 for k in (8, 7, 6, 5, 4)]


def test_the_real_cityscapes_layout(data_root):
    root = data_root / "formats" / "cityscapes"
    if not root.is_dir():
        pytest.skip(f"no {root}")
    records = cityscapes.read(root)
    assert (len(records), len(cityscapes.read(root, "val"))) == (4, 2)
    for record, file in zip(records, sorted(root.glob("gtFine/train/*/*.png")), strict=True):
        ids = np.asarray(Image.open(file))
        np.testing.assert_array_equal(record.masks[0], np.vectorize(lambda i: TRAIN_IDS.get(i, IGNORE))(ids))
        assert record.image.shape == (3, 224, 448)
        assert record.patient == "camtrain"

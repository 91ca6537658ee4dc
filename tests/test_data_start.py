"""What is found out before a run starts: the kind of data, and the one odd image of many."""

import shutil

import numpy as np
import pytest
from PIL import Image

from fastpunet.data import IGNORE, Record, folder, lidc, sources
from fastpunet.data.flips import ClassFlips
from fastpunet.data.graders import OneGrader
from fastpunet.data.lazy import intensity_of
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.data.splits import Subset, graded
from fastpunet.data.uniform import check_labels, check_shapes
from fastpunet.intensity import EIGHT_BIT, Intensity
from fastpunet.training.config import TrainingConfig
from fastpunet.training.datasets import read_data


@pytest.fixture
def root(tmp_path):
    """Nine grey images of 16 x 20 with the masks of two raters, 0 and 255."""
    for name in ("images", "masks/anna", "masks/ben"):
        (tmp_path / "own" / name).mkdir(parents=True)
    for i in range(9):
        values = np.random.default_rng(i).integers(0, 256, (16, 20)).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / "own" / "images" / f"p{i}.png")
        for rater in ("anna", "ben"):
            mask = (values > 128).astype(np.uint8) * 255
            Image.fromarray(mask).save(tmp_path / "own" / "masks" / rater / f"p{i}.png")
    return tmp_path / "own"


def _replace(root, size, mode="L"):
    for place in ("images", "masks/anna", "masks/ben"):
        Image.new(mode if place == "images" else "L", size).save(root / place / "p5.png")


def test_one_image_of_another_size_is_named_before_the_start(root):
    check_shapes(folder.read(root))
    _replace(root, (20, 17))
    message = r"1 of 9 images do not fit: p5.png \(17 x 20\); expected 16 x 20 .* set crop: \[16, 20\] or smaller"
    with pytest.raises(ValueError, match=message):
        check_shapes(folder.read(root))
    with pytest.raises(ValueError, match=message):
        read_data(TrainingConfig(kind="folder", data=str(root)))
    check_shapes(folder.read(root), crop=(16, 16))
    read_data(TrainingConfig(kind="folder", data=str(root), crop=[16, 16]))
    with pytest.raises(ValueError, match=r"9 of 9 .* p0.png \(16 x 20\).* and 6 more; expected at least 18 x 18"):
        check_shapes(folder.read(root), crop=(18, 18))


def test_one_image_in_colour_is_named_before_the_start(root):
    _replace(root, (20, 16), "RGB")
    with pytest.raises(ValueError, match=r"p5.png \(3 channels\); expected 1 as the others have"):
        check_shapes(folder.read(root), crop=(8, 8))
    with pytest.raises(ValueError, match=r"8 of 9 .* p0.png \(1 channels\).* expected 3 as the model takes"):
        check_shapes(folder.read(root), channels=3)


def test_one_mask_of_another_size_and_one_broken_file_are_named_before_the_start(root):
    Image.new("L", (16, 20)).save(root / "masks" / "ben" / "p5.png")
    with pytest.raises(ValueError, match="ben/p5.png is 20 x 16, expected 16 x 20, the size of its image"):
        check_shapes(folder.read(root))
    (root / "masks" / "ben" / "p5.png").unlink()
    (root / "images" / "p7.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="p7.png is truncated or not a single image"):
        check_shapes(folder.read(root))


def test_records_without_headers_are_read(data_root):
    check_shapes(SyntheticLesions(4), channels=1)
    check_shapes(lidc.read_npz(data_root / "lidc" / "lidc_tiny_test_64.npz")[:20])


@pytest.mark.parametrize("num_classes", [1, 2])
def test_two_values_are_background_and_foreground_in_training_and_evaluation(root, num_classes):
    training = read_data(TrainingConfig(kind="folder", data=str(root), model={"num_classes": num_classes})).training
    evaluation = sources.read("folder", root)
    for trained, evaluated in zip(training, evaluation, strict=True):
        np.testing.assert_array_equal(trained.masks, evaluated.masks)
        assert set(np.unique(trained.masks)) == {0, 1}


def test_two_values_are_no_class_indices_of_three_classes(root):
    with pytest.raises(ValueError, match="masks hold 0 and 255 alone.* set num_classes to 1 or 2"):
        read_data(TrainingConfig(kind="folder", data=str(root), model={"num_classes": 3}))
    Image.fromarray(np.full((16, 20), 7, np.uint8)).save(root / "masks" / "anna" / "p3.png")
    with pytest.raises(ValueError, match=r"p3.png has labels \[7\], expected 0 .. 3 for num_classes = 4"):
        check_labels(folder.read(root, binary=False), 4)
    check_labels([Record(np.zeros((1, 2, 2), np.float32), np.array([[[0, 1], [1, IGNORE]]], np.uint8), 0)], 3)


def test_images_nobody_graded_are_left_out_of_training(root):
    for rater in ("anna", "ben"):
        (root / "masks" / rater / "p5.png").unlink()
    records = folder.read(root, binary=True)
    assert records[5].masks.shape == (0, 16, 20)
    assert records[5].raters == ()
    assert [record.name for record in graded(records)] == [f"p{i}.png" for i in range(9) if i != 5]
    assert len(read_data(TrainingConfig(kind="folder", data=str(root))).training) == 8
    shutil.rmtree(root / "masks")
    assert len(folder.read(root, binary=True)) == 9
    with pytest.raises(ValueError, match="no image has a mask"):
        graded(folder.read(root, binary=True))


def test_leftovers_of_file_managers_are_ignored(root):
    for place in ("images", "masks", "masks/anna"):
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._p0.png"):
            (root / place / name).write_bytes(b"x")
    (root / "masks" / "__MACOSX").mkdir()
    (root / "masks" / "carla").mkdir()
    assert [record.raters for record in folder.read(root, binary=True)] == [("anna", "ben")] * 9


def test_masks_of_one_rater_need_no_folder(root):
    shutil.rmtree(root / "masks" / "ben")
    for file in (root / "masks" / "anna").iterdir():
        Image.open(file).save(root / "masks" / f"{file.stem}.tif")
    with pytest.raises(ValueError, match="p0.tif lies beside the folders of the raters"):
        folder.read(root, binary=True)
    shutil.rmtree(root / "masks" / "anna")
    records = folder.read(root, binary=True)
    assert [record.raters for record in records] == [("",)] * 9
    assert records[0].masks.any()


def test_kinds_are_recognised(root, data_root):
    formats = data_root / "formats"
    assert sources.recognise(root) == "folder"
    assert sources.recognise(data_root / "lidc" / "lidc_tiny_test_64.npz") == "lidc"
    assert sources.recognise(formats / "lidc_pickle" / "data_lidc.pickle") == "lidc"
    assert sources.recognise(formats / "lidc_crops" / "train") == "lidc"
    assert sources.recognise(data_root / "camvid" / "camvid_val_128x160.npz") == "camvid"
    assert sources.recognise(formats / "cityscapes" / "val") == "cityscapes"
    (root / "gt").mkdir()
    with pytest.raises(ValueError, match="could be lidc or folder; say which with --kind"):
        sources.recognise(root)
    with pytest.raises(ValueError, match="lidc_crops holds test, train, val, expected one of them"):
        sources.recognise(formats / "lidc_crops")
    with pytest.raises(ValueError, match="lidc holds lidc_test_128.npz, .*, expected one of them"):
        sources.recognise(data_root / "lidc")
    for place in (root / "images", root / "images" / "p0.png"):
        with pytest.raises(ValueError, match="is not a data set that fastpunet knows; expected a bundle"):
            sources.recognise(place)
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        sources.recognise(root / "nothing")


def test_records_name_their_origin(root, data_root):
    assert [(record.name, record.raters) for record in folder.read(root, binary=True)[3:4]] == [
        ("p3.png", ("anna", "ben"))
    ]
    members = np.load(data_root / "lidc" / "lidc_tiny_test_64.npz")
    record = lidc.read_npz(data_root / "lidc" / "lidc_tiny_test_64.npz")[7]
    assert record.name == f"{members['series_uid'][7].decode()}, nodule {members['nodule'][7]}"
    assert record.slice == members["slice"][7]
    crop = lidc.read_crops(data_root / "formats" / "lidc_crops" / "test")[0]
    assert crop.raters == ("l0", "l1", "l2", "l3")
    assert crop.name.startswith(f"{crop.patient}/z-")


def test_a_kind_that_is_left_out_is_found_and_a_wrong_one_is_put_right(root, data_root):
    assert len(sources.read(None, root)) == 9
    with pytest.raises(FileNotFoundError, match="no folder .*gt.*; it looks like .* kind folder: --kind folder"):
        sources.read("lidc", root)
    with pytest.raises(ValueError, match="no member 'labels'.*: --kind lidc"):
        sources.read("camvid", data_root / "lidc" / "lidc_tiny_test_64.npz")
    with pytest.raises(ValueError, match="kind: got 'brats', expected one of lidc, camvid, cityscapes, folder"):
        sources.read("brats", root)


def test_what_is_true_of_every_picture_is_said_of_one(root, recwarn):
    for file in (root / "images").iterdir():
        Image.fromarray(np.asarray(Image.open(file)).astype(np.uint16)).save(file)
    records = folder.read(root, binary=True)
    assert [record.image.max() for record in records] == [1] * 9
    assert len([w for w in recwarn if "more than 8 bits" in str(w.message)]) == 1
    rule = Intensity.range(0, 65535)
    assert max(record.image.max() for record in folder.read(root, binary=True, intensity=rule)) < 0.01
    assert len([w for w in recwarn if "got grey values from" in str(w.message)]) == 1
    assert records.intensity == Intensity.percentiles()
    assert folder.read(root, binary=True, intensity=rule).intensity == rule


def test_wrappers_keep_the_origin(root):
    records = folder.read(root, binary=True)
    one = OneGrader(records, seed=0)
    assert {record.raters for record in one} == {("anna",), ("ben",)}
    for place, record in enumerate(Subset(one, [3, 5])):
        index = (3, 5)[place]
        assert record.name == f"p{index}.png"
        np.testing.assert_array_equal(record.masks[0], records[index].masks[("anna", "ben").index(record.raters[0])])
    flipped = ClassFlips(one, {1: 0.25}, first_new=2)
    assert (flipped[2].name, flipped[2].raters, len(flipped[2].masks)) == ("p2.png", (), 2)
    assert [wrapped.header(2).masks for wrapped in (records, one, flipped)] == [2, 1, 2]
    assert flipped.intensity == EIGHT_BIT
    (root / "masks" / "anna" / "p0.png").unlink()
    (root / "masks" / "ben" / "p0.png").unlink()
    with pytest.raises(ValueError, match="nobody annotated record 0 .p0.png."):
        OneGrader(folder.read(root, binary=True), seed=0)[0]


def test_training_reads_grey_values_by_the_rule_of_its_config(root):
    for file in (root / "images").iterdir():
        Image.fromarray(np.asarray(Image.open(file)).astype(np.uint16) * 16).save(file)
    for name in ("train", "val"):
        shutil.copytree(root, root.parent / name)
    places = {"data": str(root.parent), "file": "train", "validation": "val"}
    config = TrainingConfig(kind="folder", intensity="range:0:4080", **places)
    training, validation, _ = read_data(config)
    assert intensity_of(training) == intensity_of(validation) == Intensity.range(0, 4080)
    stored = np.asarray(Image.open(root / "images" / "p0.png")) / 4080
    np.testing.assert_allclose(training[0].image[0], stored, atol=1e-6)
    np.testing.assert_allclose(validation[0].image[0], stored, atol=1e-6)
    with pytest.raises(ValueError, match="intensity: got 'range:0', expected range:LOW:HIGH"):
        TrainingConfig(kind="folder", intensity="range:0")

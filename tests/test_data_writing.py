"""Hypotheses written with their image's geometry."""

import nibabel
import numpy as np
import pytest
from PIL import Image

from fastpunet.data import folder
from fastpunet.data.writing import write_hypotheses

AFFINE = np.array([[0, 0.8, 0, 10], [-0.7, 0, 0, -20], [0, 0, 2.5, 5], [0, 0, 0, 1]])


@pytest.fixture
def records(tmp_path):
    """A volume that nobody graded, slice by slice."""
    (tmp_path / "images").mkdir()
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    image = nibabel.Nifti1Image(voxels, AFFINE)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "images" / "x.nii.gz")
    return folder.read(tmp_path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_hypotheses_of_a_slice_lie_where_the_slice_does(records, tmp_path, suffix):
    labels = np.random.default_rng(1).integers(0, 2, (3, 4, 5), dtype=np.uint8)
    record = records[2]
    assert (record.slice, len(record.masks)) == (2, 0)
    path = write_hypotheses(tmp_path / f"h{suffix}", labels, like=records.files[2], slice=record.slice)
    written = nibabel.load(path)
    assert written.shape == (4, 5, 1, 3)
    assert written.header.get_xyzt_units()[0] == "mm"
    for hypothesis in range(3):
        np.testing.assert_array_equal(np.asarray(written.dataobj)[:, :, 0, hypothesis], labels[hypothesis])
    image = nibabel.load(records.files[2])
    np.testing.assert_allclose(written.affine @ [1, 2, 0, 1], image.affine @ [1, 2, 2, 1], atol=1e-5)


def test_a_hypothesis_of_a_volume_can_be_read_as_its_mask(records, tmp_path):
    labels = np.random.default_rng(1).integers(0, 2, (1, 6, 4, 5), dtype=np.uint8)
    rater = tmp_path / "masks" / "model"
    rater.mkdir(parents=True)
    write_hypotheses(rater / "x.nii.gz", labels, like=records.files[0])
    whole = folder.read(tmp_path, whole=True, binary=True)[0]
    np.testing.assert_array_equal(whole.masks, labels)
    assert whole.raters == ("model",)


def test_pictures_hold_the_class_indices(tmp_path):
    labels = np.random.default_rng(1).integers(0, 4, (3, 4, 5), dtype=np.uint8)
    with Image.open(write_hypotheses(tmp_path / "h.tif", labels)) as pages:
        assert pages.n_frames == 3
        for k in range(3):
            pages.seek(k)
            np.testing.assert_array_equal(np.asarray(pages), labels[k])
    np.testing.assert_array_equal(np.asarray(Image.open(write_hypotheses(tmp_path / "h.png", labels[:1]))), labels[0])


@pytest.mark.parametrize(
    ("name", "labels", "place", "error", "message"),
    [
        ("h.nii", np.zeros((3, 4, 5), np.int64), 2, TypeError, "labels: got int64, expected a NumPy array of uint8"),
        ("h.nii", np.zeros((4, 5), np.uint8), 2, ValueError, "labels: got .4, 5., expected .n, H, W."),
        ("h.nii", np.zeros((3, 5, 4), np.uint8), 2, ValueError, "expected the size of x.nii.gz, 4 x 5 x 6"),
        ("h.nii", np.zeros((3, 4, 5), np.uint8), None, ValueError, "expected the size of x.nii.gz"),
        ("h.nii", np.zeros((3, 4, 5), np.uint8), 6, ValueError, "and slice 6, expected"),
        ("h.png", np.zeros((3, 4, 5), np.uint8), None, ValueError, "one image .1, H, W.; write a .nii.gz"),
        ("h.tif", np.zeros((3, 6, 4, 5), np.uint8), None, ValueError, "images .n, H, W.; write a .nii.gz"),
        ("h.jpg", np.zeros((3, 4, 5), np.uint8), None, ValueError, "expected a name that ends in .nii, .nii.gz, .tif"),
    ],
)
def test_what_cannot_be_written_is_named(records, tmp_path, name, labels, place, error, message):
    with pytest.raises(error, match=message):
        write_hypotheses(tmp_path / name, labels, like=records.files[0], slice=place)
    assert not (tmp_path / name).exists()

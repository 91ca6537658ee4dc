"""A user's own folder of images and masks."""

import gzip
import sys

import nibabel
import numpy as np
import pytest
from PIL import Image

from fastpunet.data import IGNORE, folder
from fastpunet.intensity import Intensity


@pytest.fixture
def root(tmp_path):
    for name in ("images", "masks/anna", "masks/ben"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def _picture(path, values, size=(4, 3)):
    values = np.asarray(values, np.uint8)
    Image.fromarray(np.resize(values, size) if values.ndim < 2 else values).save(path)


def _volume(path, values):
    nibabel.save(nibabel.Nifti1Image(np.asarray(values), np.eye(4)), path)


def test_raters_may_lack_images(root):
    _picture(root / "images" / "p1__a.png", [0, 51, 255])
    _picture(root / "images" / "p1__b.png", [7])
    _picture(root / "images" / "p2.png", np.full((4, 3, 3), 51))
    for rater, name, value in (("anna", "p1__a", 1), ("ben", "p1__a", 2), ("ben", "p1__b", 3), ("anna", "p2", 4)):
        _picture(root / "masks" / rater / f"{name}.png", [0, value, IGNORE])
    (root / "images" / ".hidden").touch()
    records = folder.read(root)
    assert records.patients == ["p1", "p1", "p2"]
    assert [record.image.shape for record in records] == [(1, 4, 3), (1, 4, 3), (3, 4, 3)]
    assert [record.id for record in records] == [0, 1, 2]
    np.testing.assert_allclose(records[0].image[0, 0], [0, 0.2, 1], rtol=1e-6)
    assert [record.masks[:, 0].tolist() for record in records] == [
        [[0, 1, 255], [0, 2, 255]],
        [[0, 3, 255]],
        [[0, 4, 255]],
    ]


def test_binary_masks(root):
    _picture(root / "images" / "x.png", [9])
    mask = root / "masks" / "anna" / "x.png"
    (root / "masks" / "ben").rmdir()
    _picture(mask, [0, 255])
    with pytest.warns(UserWarning, match="hold only 0 and 255 are taken as background and foreground"):
        assert set(folder.read(root)[0].masks.ravel()) == {0, 1}
    assert set(folder.read(root, binary=True)[0].masks.ravel()) == {0, 1}
    assert set(folder.read(root, binary=False)[0].masks.ravel()) == {0, IGNORE}
    for values, expected in (([0, 1], {0, 1}), ([0], {0}), ([255], {1})):
        _picture(mask, values)
        assert set(folder.read(root, binary=True)[0].masks.ravel()) == expected
    _picture(mask, [0, 3, 255])  # class indices, and pixels that are not annotated
    assert set(folder.read(root)[0].masks.ravel()) == {0, 3, IGNORE}
    for values in ([0, 2], [0, 1, 255]):
        _picture(mask, values)
        with pytest.raises(ValueError, match="expected 0 and 1, or 0 and 255"):
            folder.read(root, binary=True)[0]


def test_raters_with_two_conventions_for_two_values_are_said(root):
    _picture(root / "images" / "x.png", [9])
    _picture(root / "masks" / "anna" / "x.png", [0, 255])
    _picture(root / "masks" / "ben" / "x.png", [0, 1])
    with pytest.warns(UserWarning, match="some masks of an image hold 0 and 255, others 0 and 1"):
        masks = folder.read(root)[0].masks
    assert [set(mask.ravel().tolist()) for mask in masks] == [{0, IGNORE}, {0, 1}]
    masks = folder.read(root, binary=True)[0].masks
    assert np.array_equal(masks[0], masks[1])


def test_palette_masks_give_indices_and_colours_are_refused(root):
    (root / "masks" / "ben").rmdir()
    Image.fromarray(np.full((4, 3), 9, np.uint16)).save(root / "images" / "x.tif")
    image = Image.fromarray(np.full((4, 3), 2, np.uint8), mode="L").convert("P")
    image.putpalette([0, 0, 0, 9, 9, 9, 200, 0, 0])
    image.save(root / "masks" / "anna" / "x.png")
    record = folder.read(root, intensity=Intensity.range(0, 90))[0]
    assert (record.masks == 2).all()
    np.testing.assert_allclose(record.image, 0.1, rtol=1e-6)
    Image.new("RGB", (3, 4)).save(root / "masks" / "anna" / "x.png")
    with pytest.raises(ValueError, match="x.png has mode RGB, expected one 8-bit class index"):
        folder.read(root, intensity=Intensity.range(0, 90))[0]


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_volumes_are_read_as_marked_slices(root, suffix):
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    anna, ben = np.zeros((2, 4, 5, 6), np.uint8)
    anna[1, 2, 3], ben[0, 0, 3], ben[3, 4, 5], anna[0, 0, 0] = 1, 2, 3, IGNORE
    for name, values in (("images", voxels), ("masks/anna", anna), ("masks/ben", ben)):
        _volume(root / name / f"p1.{suffix}", values)
    records = folder.read(root)
    assert records.patients == ["p1", "p1"]
    low, high = np.percentile(voxels, (0.5, 99.5))
    for record, k in zip(records, (3, 5), strict=True):
        np.testing.assert_array_equal(record.masks, [anna[..., k], ben[..., k]])
        np.testing.assert_allclose(record.image[0], ((voxels[..., k] - low) / (high - low)).clip(0, 1), atol=1e-6)


def test_flat_and_constant_nifti(root):
    (root / "masks" / "ben").rmdir()
    _volume(root / "images" / "x.nii", np.full((4, 5), 7, np.int16))
    _volume(root / "masks" / "anna" / "x.nii", np.zeros((4, 5), np.float64))
    record = folder.read(root)[0]
    assert record.image.shape == (1, 4, 5)
    assert not record.image.any()
    assert record.masks.dtype == np.uint8


def test_volumes_without_a_mark_are_an_error(root):
    (root / "masks" / "ben").rmdir()
    for name in ("images", "masks/anna"):
        _volume(root / name / "x.nii", np.zeros((4, 5, 2), np.uint8))
    with pytest.raises(ValueError, match="no slice in which a rater marked"):
        folder.read(root)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("images", np.full((4, 5, 2), np.nan), "x.nii has NaN or infinite voxels"),
        ("images", np.zeros((4, 5, 2, 2)), r"x.nii holds float64 \(4, 5, 2, 2\), expected"),
        ("images", np.zeros((4, 5, 2), np.complex64), "expected real numbers"),
        ("masks/anna", np.full((4, 5, 2), 0.5), "not all whole numbers"),
        ("masks/anna", np.full((4, 5, 2), -1, np.int16), "from -1 to -1"),
        (
            "masks/anna",
            np.ones((4, 5, 3), np.uint8),
            "another grid, of 4 x 5 x 3 voxels, than its image x.nii of 4 x 5 x 2",
        ),
        ("masks/anna", np.ones((4, 5), np.uint8), "another grid, of 4 x 5 voxels, than its image x.nii of 4 x 5 x 2"),
    ],
)
def test_broken_volumes_are_named(root, name, values, message):
    (root / "masks" / "ben").rmdir()
    for place in ("images", "masks/anna"):
        _volume(root / place / "x.nii", np.ones((4, 5, 2), np.uint8))
    _volume(root / name / "x.nii", values)
    with pytest.raises(ValueError, match=message):
        folder.read(root)


def test_truncated_volumes_are_named(root):
    (root / "masks" / "ben").rmdir()
    noise = np.random.default_rng(0).integers(0, 2, (16, 16, 16)).astype(np.uint8)
    for suffix in ("nii", "nii.gz"):
        for place in ("images", "masks/anna"):
            _volume(root / place / f"x.{suffix}", noise)
        file = root / "images" / f"x.{suffix}"
        for content in (file.read_bytes()[:-200], file.read_bytes()[:100], b"", gzip.compress(b"no")):
            file.write_bytes(content)
            with pytest.raises(ValueError, match=f"x.{suffix} is (truncated or not a NIfTI file|empty)"):
                folder.read(root)
        for place in ("images", "masks/anna"):
            (root / place / f"x.{suffix}").unlink()


def test_incomplete_folders_are_errors(root):
    with pytest.raises(FileNotFoundError, match="no files .*images"):
        folder.read(root)
    _picture(root / "images" / "x.png", [1])
    assert folder.read(root)[0].masks.shape == (0, 4, 3)  # nobody graded it
    (root / "masks" / "ben").rmdir()
    _picture(root / "masks" / "anna" / "y.png", [1])
    with pytest.raises(ValueError, match="y.png is a mask without its image"):
        folder.read(root)
    _picture(root / "masks" / "anna" / "z.png", [1])
    with pytest.raises(ValueError, match=r"y.png is a mask without its image \(so is 1 other\), expected "):
        folder.read(root)
    (root / "masks" / "anna" / "z.png").unlink()
    _picture(root / "images" / "y.png", [1])
    assert [len(record.masks) for record in folder.read(root)] == [0, 1]
    _picture(root / "images" / "y.jpg", [1])
    with pytest.raises(ValueError, match="y.jpg and .*y.png have the same name"):
        folder.read(root)
    (root / "images" / "y.jpg").rename(root / "images" / "y.bmp")
    with pytest.raises(ValueError, match="y.bmp has another format, expected .png"):
        folder.read(root)


def test_masks_of_another_size_are_named(root):
    (root / "masks" / "ben").rmdir()
    _picture(root / "images" / "x.png", [1])
    _picture(root / "masks" / "anna" / "x.png", [1], size=(3, 4))
    with pytest.raises(ValueError, match="anna.x.png is 3 x 4, expected 4 x 3"):
        folder.read(root)[0]


@pytest.mark.parametrize(("package", "module"), [("PIL", "PIL.Image"), ("nibabel", "nibabel")])
def test_missing_packages_are_named(root, monkeypatch, package, module):
    (root / "masks" / "ben").rmdir()
    suffix = "png" if package == "PIL" else "nii"
    for place in ("images", "masks/anna"):
        (root / place / f"x.{suffix}").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"needs {package}.*pip install 'fastpunet\[data\]'"):
        folder.read(root)[0]

"""Images that nobody graded, found in files, folders and patterns."""

import gzip
import os

import nibabel
import numpy as np
import pytest
from PIL import Image

from fastpunet.data.inputs import find_inputs
from fastpunet.data.inputs.finding import look
from fastpunet.data.inputs.names import distinct, safe
from fastpunet.intensity import EIGHT_BIT, PERCENTILES

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (4, 6), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)


def _save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def _nifti(path, values, affine=None, unit="mm"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.diag((0.7, 0.5, 2, 1)) if affine is None else affine)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize(
    ("name", "values", "kind", "rule"),
    [
        ("a.png", GREY, "png", EIGHT_BIT),
        ("b.tif", GREY.astype(np.uint16) * 16, "tiff", PERCENTILES),
        ("c.tiff", GREY.astype(np.float32) - 3.5, "tiff", PERCENTILES),
        ("d.PNG", COLOUR, "png", EIGHT_BIT),
        ("e.png", GREY > 99, "png", EIGHT_BIT),
    ],
)
def test_stored_values_of_pictures(tmp_path, name, values, kind, rule):
    (found,) = find_inputs([_save(tmp_path / name, values)])
    expected = values.transpose(2, 0, 1) if values.ndim == 3 else values[None]
    expected = expected.astype(np.uint8) * np.uint8(255) if expected.dtype == bool else expected
    np.testing.assert_array_equal(found.read(), expected)
    assert found.read().dtype == expected.dtype
    assert (found.format, found.channels, found.size) == (kind, len(expected), (4, 6))
    assert (found.default_intensity, found.spacing, found.grid) == (rule, None, None)
    assert found.slices() == [found]


def test_what_is_known_of_a_picture_needs_no_pixels(tmp_path):
    path = _save(tmp_path / "a.png", GREY)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"IDAT") + 8])
    (found,) = find_inputs([path])
    assert found.size == (4, 6)
    with pytest.raises(ValueError, match=r"a.png is truncated or not a single image"):
        found.read()


def test_volumes_of_nifti_and_their_slices(tmp_path):
    values = RNG.normal(size=(4, 6, 5)).astype(np.float32)
    (found,) = find_inputs([_nifti(tmp_path / "v.nii.gz", values)])
    assert (found.name, found.format, found.channels, found.size) == ("v", "nifti", 1, (5, 4, 6))
    np.testing.assert_allclose(found.spacing, (2, 0.7, 0.5), rtol=1e-6)
    np.testing.assert_array_equal(found.read()[0], values.transpose(2, 0, 1))
    third = found.slices()[3]
    assert (third.name, third.size) == ("v_slice003", (4, 6))
    np.testing.assert_array_equal(third.read()[0], values[:, :, 3])
    np.testing.assert_allclose(third.grid.affine @ [1, 2, 0, 1], found.grid.affine @ [1, 2, 3, 1])
    assert third.spacing == found.spacing[1:]


def test_flat_nifti_files_are_images(tmp_path):
    values = RNG.integers(-9, 9, (4, 6)).astype(np.int16)
    (found,) = find_inputs([_nifti(tmp_path / "x.nii", values)])
    assert found.size == (4, 6)
    np.testing.assert_array_equal(found.read(), values[None])
    assert found.read().dtype == np.int16
    np.testing.assert_allclose(found.spacing, (0.7, 0.5), rtol=1e-6)


def test_spacing_is_in_mm_whatever_the_unit(tmp_path):
    affine = np.diag((700, 500, 2000, 1))
    (found,) = find_inputs([_nifti(tmp_path / "x.nii", np.zeros((2, 3, 4), np.uint8), affine, "micron")])
    np.testing.assert_allclose(found.spacing, (2, 0.7, 0.5), rtol=1e-6)


@pytest.mark.parametrize(
    ("members", "channels", "names"),
    [
        ({"images": RNG.integers(0, 256, (3, 4, 6), dtype=np.uint8)}, 1, ["b_0", "b_1", "b_2"]),
        ({"images": RNG.normal(size=(2, 4, 6, 3)), "names": np.array(["left", "../right"])}, 3, ["left", "right"]),
        ({"image": RNG.normal(size=(4, 6, 2))}, 2, ["b"]),
        ({"image": RNG.integers(0, 9, (4, 6)), "spacing_mm": np.array(0.5)}, 1, ["b"]),
    ],
)
def test_bundles(tmp_path, members, channels, names):
    np.savez(tmp_path / "b.npz", other=np.array([object()]), **members)
    found = find_inputs([tmp_path / "b.npz"])
    assert [image.name for image in found] == names
    stored = members.get("images", [members.get("image")])
    for image, values in zip(found, stored, strict=True):
        expected = values[None] if channels == 1 else values.transpose(2, 0, 1)
        np.testing.assert_array_equal(image.read(), expected)
        assert image.read().dtype == values.dtype
        assert image.spacing == ((0.5, 0.5) if "spacing_mm" in members else None)
        assert image.channels == channels


def test_single_arrays(tmp_path):
    np.save(tmp_path / "x.npy", GREY.astype(np.float16))
    (found,) = find_inputs([tmp_path / "x.npy"])
    np.testing.assert_array_equal(found.read(), GREY[None].astype(np.float16))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"volume": GREY}, "has neither images nor image"),
        ({"images": GREY[None], "image": GREY}, "has both images and image"),
        ({"image": np.zeros((4, 6, 20))}, r"holds image of float64 \(4, 6, 20\) per image, expected real numbers"),
        ({"image": GREY.astype(complex)}, "expected numbers or text"),
        ({"image": GREY > 3}, "holds image of bool"),
        ({"images": np.zeros((0, 4, 6))}, "no image in"),
        ({"images": np.zeros((2, 0, 6))}, "expected real numbers"),
        ({"images": np.zeros((2, 4, 6)), "spacing_mm": np.array([0.5, -1])}, r"spacing_mm float64\(2,\), expected num"),
    ],
)
def test_bundles_of_something_else(tmp_path, members, message):
    np.savez(tmp_path / "b.npz", **members)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        find_inputs([tmp_path / "b.npz"])


def test_formats_are_told_by_content(tmp_path):
    png = _save(tmp_path / "x.png", GREY)
    png.rename(tmp_path / "photo")
    volume = _nifti(tmp_path / "y.nii", np.zeros((2, 3, 4), np.uint8))
    volume.rename(tmp_path / "scan.img.v2")
    assert [image.format for image in find_inputs([tmp_path])] == ["png", "nifti"]


def test_folders_hold_what_they_hold(tmp_path):
    _save(tmp_path / "a.png", GREY)
    _nifti(tmp_path / "b.nii.gz", np.zeros((2, 3, 4), np.uint8))
    np.savez(tmp_path / "c.npz", image=GREY)
    _save(tmp_path / "within" / "d.png", GREY)  # may be masks, or hypotheses
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "Thumbs.db").write_text("of a file manager")
    found = look([tmp_path])
    assert [image.name for image in found.inputs] == ["a", "b", "c"]
    assert [path.name for path in found.ignored] == ["notes.txt", "d.png"]
    assert found.refused == []


def test_of_a_data_set_the_images_are_taken(tmp_path):
    for name in ("images/p1/x.png", "images/p2/x.png", "gt/p1/x_l0.png", "masks/anna/x.png"):
        _save(tmp_path / name, GREY)
    assert [image.name for image in find_inputs([tmp_path])] == ["p1_x", "p2_x"]
    _save(tmp_path / "leftImg8bit" / "val" / "ulm" / "u.png", COLOUR)
    assert [image.name for image in find_inputs([tmp_path / "val"])] == ["u"]


def test_a_folder_called_images_is_not_taken_for_more_than_it_is(tmp_path):
    _save(tmp_path / "a.png", GREY)
    _save(tmp_path / "images" / "old.png", GREY)
    assert [image.name for image in find_inputs([tmp_path])] == ["a"]
    (tmp_path / "masks").mkdir()
    assert [image.name for image in find_inputs([tmp_path])] == ["old"]


def test_links_to_nothing_are_named(tmp_path):
    _save(tmp_path / "a.png", GREY)
    (tmp_path / "b.png").symlink_to(tmp_path / "store" / "b.png")
    with pytest.raises(ValueError, match="no file .*b.png.; if it is a link"):
        find_inputs([tmp_path])


def test_what_is_read_is_the_readers_own(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.stack([GREY, GREY]))
    for image in find_inputs([tmp_path / "x.npz", _save(tmp_path / "y.png", COLOUR)]):
        before = image.read().copy()
        image.read()[:] = 0
        np.testing.assert_array_equal(image.read(), before)


def test_patterns_and_repeated_paths(tmp_path, monkeypatch):
    for name in ("a1.png", "a2.png", "b1.png", "deep/er/a3.png"):
        _save(tmp_path / name, GREY)
    monkeypatch.chdir(tmp_path)
    assert [image.name for image in find_inputs(["a*.png", tmp_path / "a1.png"])] == ["a1", "a2"]
    assert len(find_inputs(["**/*.png"])) == 4
    _save(tmp_path / "a[1].png", GREY)
    assert [image.name for image in find_inputs(["a[1].png"])] == ["a_1_"]
    for path in ("c*.png", "c.png"):
        with pytest.raises(FileNotFoundError, match="input: no file"):
            find_inputs([path])
    with pytest.raises(FileNotFoundError, match="no image in nothing"):
        find_inputs([])
    with pytest.raises(TypeError, match="expected a list of paths"):
        find_inputs("a1.png")


HOSTILE = [
    "..",
    "...",
    "-rf",
    ".hidden",
    "a/b",
    "a\\b",
    "a\nb",
    "\udcff",
    "CON",
    "x" * 400,
    "é" * 400,
    "",
    "a\0b",
    "*?",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_safe_for_files(tmp_path, name):
    made = safe(name)
    assert made == os.path.basename(made)
    assert made[0] not in ".-"
    assert made.isprintable()
    (tmp_path / f"{made}-hypotheses-0000.png").touch()
    assert len(list(tmp_path.iterdir())) == 1
    assert safe(made) == made


def test_names_are_distinct_where_case_does_not_count():
    assert distinct([["a"], ["A"], ["a-2"], ["a"]]) == ["a", "A-3", "a-2", "a-4"]
    assert distinct([["x", "p_x"], ["x", "q_x"], ["x_y"]]) == ["p_x", "q_x", "x_y"]
    assert distinct([[name] for name in HOSTILE])[:2] == ["image", "image-2"]


def test_files_that_only_their_endings_tell_apart_are_named_with_them(tmp_path):
    for name in ("x.png", "a/x.png", "a/y.png", "a/y.jpg"):
        _save(tmp_path / name, GREY)
    _nifti(tmp_path / "a" / "x.nii.gz", GREY)
    with (tmp_path / "a" / "X.NPY").open("wb") as file:
        np.save(file, GREY)

    def names(*paths):
        return [image.name for image in find_inputs([tmp_path / path for path in paths])]

    assert names("a/x.png", "a/X.NPY", "a/x.nii.gz") == ["x_png", "X_npy", "x_nii_gz"]
    assert names("a/x.nii.gz", "a/x.png") == ["x_nii_gz", "x_png"]
    assert names("a") == ["X_npy", "x_nii_gz", "x_png", "y_jpg", "y_png"]
    assert names("x.png", "a/x.png") == [f"{tmp_path.name}_x", "a_x"]
    assert names("x.png", "a/x.png", "a/X.NPY") == [f"{tmp_path.name}_x", "a_x_png", "a_X_npy"]
    (tmp_path / "a" / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert [image.name for image in look([tmp_path / "a" / "x.png", tmp_path / "a" / "X.NPY"]).inputs] == ["X_npy"]


def test_files_that_neither_folders_nor_endings_tell_apart_are_numbered(tmp_path):
    """And do not take the names of folders, which would not help."""
    for name in ("a b.png", "a_b.png", "x.npy", "x.tif", "x_tif.png"):
        _save(tmp_path / "x.png", GREY).rename(tmp_path / name)
    assert [image.name for image in find_inputs([tmp_path])] == ["a_b", "a_b-2", "x_npy", "x_tif", "x_tif-2"]


def test_hostile_names_of_files(tmp_path):
    for name in ("..png", "-rf.png", "a b;$(touch x).png", "ünï 中.png", "line\nbreak.png"):
        _save(tmp_path / "x.png", GREY).rename(tmp_path / name)
    names = [image.name for image in find_inputs([tmp_path / name for name in sorted(os.listdir(tmp_path))])]
    assert names == ["rf", "image", "a_b___touch_x_", "line_break", "ünï_中"]
    (tmp_path / "line\nbreak.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="line break.png") as caught:
        find_inputs([tmp_path / "line\nbreak.png"])
    assert "\n" not in str(caught.value)


def test_two_files_of_one_stem(tmp_path):
    _save(tmp_path / "x.png", GREY)
    _save(tmp_path / "x.tif", GREY)
    _save(tmp_path / "X.jpg", GREY)
    names = [image.name for image in find_inputs([tmp_path])]
    assert len({name.lower() for name in names}) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.png", b"", "x.png is empty .0 bytes.; copy it again"),
        ("x.bmp", b"BM123456", "x.bmp has an unknown format, expected png, jpeg, tiff, nifti, dicom, npz"),
        ("x.tif", b"II*\0 and no more", "x.tif is truncated or not a single image"),
        ("x.jpg", b"\xff\xd8\xff", "x.jpg is truncated or not a single image"),
        ("x.nii.gz", gzip.compress(b"short", mtime=0), "x.nii.gz is truncated or not a NIfTI file"),
        ("x.nii.gz", gzip.compress(b"short", mtime=0)[:-4], "x.nii.gz is truncated or not a NIfTI file"),
        ("x.npz", b"PK\3\4", "x.npz is truncated or not an npz bundle"),
        ("x.npy", b"\x93NUMPY", "x.npy is truncated or not a NumPy array"),
        ("x.dcm", b"text", "x.dcm is truncated or not a DICOM file"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        find_inputs([tmp_path / name])
    assert len(str(caught.value).splitlines()) == 1


def test_names_do_not_depend_on_which_other_files_can_be_read(tmp_path):
    files = [tmp_path / name for name in ("a/x.png", "b/x.png", "b/y y.png", "b/y_y.png", "b/z.png")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(file)
    names = dict(zip(files, (image.name for image in find_inputs(files)), strict=True))
    assert list(names.values())[:2] == ["a_x", "b_x"]
    assert names[files[3]] == f"{names[files[2]]}-2"
    for broken in files[:3]:
        content = broken.read_bytes()
        broken.write_bytes(content[:20])
        found = look(files)
        assert len(found.refused) == 1
        assert {image.files[0]: image.name for image in found.inputs} == {
            file: name for file, name in names.items() if file != broken
        }
        broken.write_bytes(content)


def test_broken_files_of_a_folder_are_counted(tmp_path):
    for index in range(5):
        (tmp_path / f"{index}.png").write_bytes(b"broken")
    _save(tmp_path / "good.png", GREY)
    with pytest.raises(ValueError, match=r"0.png is truncated.*; .*1.png.*2.png.*; and 2 more, see fastpunet check"):
        find_inputs([tmp_path])
    found = look([tmp_path])
    assert (len(found.refused), [image.name for image in found.inputs]) == (5, ["good"])


@pytest.mark.parametrize("name", ["x.tif", "x.nii", "x.npz"])
def test_nan_is_refused(tmp_path, name):
    values = np.full((3, 4), np.nan, np.float32)
    if name.endswith("nii"):
        _nifti(tmp_path / name, values)
    elif name.endswith("npz"):
        np.savez(tmp_path / name, image=values)
    else:
        _save(tmp_path / name, values)
    (found,) = find_inputs([tmp_path / name])
    with pytest.raises(ValueError, match=rf"{name} has NaN or infinite .*, expected finite ones"):
        found.read()


def test_a_file_that_changed_is_noticed(tmp_path):
    (found,) = find_inputs([_save(tmp_path / "x.png", GREY)])
    _save(tmp_path / "x.png", GREY[:2])
    with pytest.raises(ValueError, match=r"x.png holds \(1, 2, 6\), expected \(1, 4, 6\) as its header says"):
        found.read()

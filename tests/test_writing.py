"""Hypotheses and maps written in the format, and with the geometry, of their image."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from PIL import Image

from fastpunet.data import folder
from fastpunet.data.inputs import find_inputs
from fastpunet.data.inputs.recognising import FORMATS as READABLE
from fastpunet.data.writing import write_hypotheses, write_map

RNG = np.random.default_rng(0)
OBLIQUE = np.array([[0.48, 0.6, -1.2, 10], [-0.64, 0.45, -1.6, -20], [0, 0.4, 0.5, 5], [0, 0, 0, 1]])


def _picture(path, size=(5, 7)):
    Image.fromarray(RNG.integers(0, 256, size, dtype=np.uint8)).save(path)
    return find_inputs([path])[0]


def _nifti(path, size, affine, unit="mm", codes=(1, 1), kind=nibabel.Nifti1Image):
    image = kind(RNG.integers(0, 99, size).astype(np.int16), affine)
    image.header.set_xyzt_units(unit)
    image.set_qform(affine, codes[0])
    image.set_sform(affine, codes[1])
    nibabel.save(image, path)
    return find_inputs([path])[0]


def _labels(n, size, classes=2):
    return RNG.integers(0, classes, (n, *size), dtype=np.uint8)


def test_every_format_that_is_read_has_one_to_write(tmp_path):
    """DICOM images, which need their own files to write to, have tests of their own."""
    image, endings = _picture(tmp_path / "x.png"), {}
    for format in {*READABLE, "unheard-of"} - {"dicom"}:
        asked = replace(image, format=format)
        (path,) = write_hypotheses(tmp_path / format, asked, _labels(1, image.size), num_classes=1)
        endings[format] = path.name.partition(".")[2]
    own = {"png": "png", "tiff": "tif", "nifti": "nii.gz", "npz": "npz"}
    assert endings == {**own, "jpeg": "png", "unheard-of": "npz"}


@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("format", ["png", "tiff"])
def test_pictures_read_back_equal(tmp_path, format, classes):
    image = _picture(tmp_path / "x.png")
    labels = _labels(12, image.size, max(2, classes))
    paths = write_hypotheses(tmp_path, image, labels, num_classes=classes, format=format)
    pages = []
    for path in paths:
        with Image.open(path) as file:
            assert file.mode == ("1" if classes < 3 else "L")
            for page in range(getattr(file, "n_frames", 1)):
                file.seek(page)
                pages.append(np.asarray(file).astype(np.uint8))
    np.testing.assert_array_equal(pages, labels)
    assert paths[0].name == ("hypotheses-0000.png" if format == "png" else "hypotheses.tif")


@pytest.mark.parametrize("binary", [True, False, None])
def test_two_classes_of_a_png_are_read_as_0_and_1_whatever_is_asked(tmp_path, binary):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    image = _picture(tmp_path / "images" / "x.png")
    labels = _labels(1, image.size)
    (path,) = write_hypotheses(tmp_path / "masks", image, labels, num_classes=1)
    path.rename(tmp_path / "masks" / "x.png")
    np.testing.assert_array_equal(folder.read(tmp_path, binary=binary)[0].masks, labels)


def test_fewer_hypotheses_leave_none_of_before(tmp_path):
    image = _picture(tmp_path / "x.png")
    kept = tmp_path / "hypotheses-of-mine.png"
    kept.touch()
    write_hypotheses(tmp_path, image, _labels(5, image.size), num_classes=1)
    write_hypotheses(tmp_path, image, _labels(2, image.size), num_classes=1)
    assert sorted(path.name for path in tmp_path.glob("hyp*")) == [
        "hypotheses-0000.png",
        "hypotheses-0001.png",
        "hypotheses-of-mine.png",
    ]


@pytest.mark.parametrize("unit", ["mm", "micron", "meter", "unknown"])
@pytest.mark.parametrize("affine", [OBLIQUE, np.diag((-0.7, 0.5, 2, 1))])
def test_nifti_has_the_affine_zooms_and_units_of_the_image(tmp_path, unit, affine):
    image = _nifti(tmp_path / "x.nii.gz", (5, 7, 3), affine, unit)
    labels = _labels(4, image.size, 3)
    (path,) = write_hypotheses(tmp_path, image, labels, num_classes=3)
    source, written = nibabel.load(tmp_path / "x.nii.gz"), nibabel.load(path)
    np.testing.assert_array_equal(written.affine, source.affine)
    np.testing.assert_allclose(written.header.get_zooms()[:3], source.header.get_zooms(), rtol=1e-6)
    assert written.header.get_xyzt_units()[0] == source.header.get_xyzt_units()[0] == unit
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels.transpose(2, 3, 1, 0))


@pytest.mark.parametrize("codes", [(0, 2), (1, 0), (0, 0)])
def test_nifti_of_one_form_or_none(tmp_path, codes):
    image = _nifti(tmp_path / "x.nii", (5, 7, 3), np.diag((0.7, 0.5, 2, 1)), codes=codes)
    (path,) = write_hypotheses(tmp_path, image, _labels(2, image.size), num_classes=1)
    source, written = nibabel.load(tmp_path / "x.nii"), nibabel.load(path)
    assert int(written.header["sform_code"]) == max(codes)
    np.testing.assert_allclose(written.header.get_zooms()[:3], (0.7, 0.5, 2), rtol=1e-6)
    if max(codes):
        np.testing.assert_allclose(written.affine, source.affine, atol=1e-6)


@pytest.mark.parametrize("number", [0.0, np.nan])
def test_an_affine_that_leads_nowhere_is_not_copied(tmp_path, number):
    _nifti(tmp_path / "x.nii", (5, 7, 3), OBLIQUE, codes=(0, 1))
    content = bytearray((tmp_path / "x.nii").read_bytes())
    content[280:328] = np.full(12, number, np.float32).tobytes()  # the sform
    (tmp_path / "x.nii").write_bytes(content)
    (image,) = find_inputs([tmp_path / "x.nii"])
    assert (image.grid, image.spacing) == (None, None)
    (path,) = write_hypotheses(tmp_path, image, _labels(2, image.size), num_classes=1)
    assert int(nibabel.load(path).header["sform_code"]) == 0


def test_nifti_of_images_and_of_slices(tmp_path):
    image = _nifti(tmp_path / "x.nii", (5, 7, 3), OBLIQUE).slices()[2]
    labels = _labels(4, image.size)
    (path,) = write_hypotheses(tmp_path, image, labels, num_classes=1)
    written, source = nibabel.load(path), nibabel.load(tmp_path / "x.nii")
    assert written.shape == (5, 7, 1, 4)
    np.testing.assert_array_equal(np.asarray(written.dataobj)[:, :, 0], labels.transpose(1, 2, 0))
    np.testing.assert_allclose(written.affine @ [1, 2, 0, 1], source.affine @ [1, 2, 2, 1], atol=1e-5)
    flat = _nifti(tmp_path / "flat.nii", (5, 7), OBLIQUE)
    (path,) = write_map(tmp_path, flat, RNG.random((5, 7)), stem="mean")
    np.testing.assert_array_equal(nibabel.load(path).affine, nibabel.load(tmp_path / "flat.nii").affine)


def test_a_hypothesis_of_a_volume_can_be_read_as_its_mask(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks" / "model").mkdir(parents=True)
    image = _nifti(tmp_path / "images" / "x.nii.gz", (5, 7, 3), OBLIQUE)
    labels = _labels(1, image.size)
    write_hypotheses(tmp_path / "masks" / "model", image, labels, num_classes=1, stem="x")
    whole = folder.read(tmp_path, whole=True, binary=True)[0]
    np.testing.assert_array_equal(whole.masks, labels)
    assert whole.raters == ("model",)


def test_a_volume_in_mm3_equals_the_phantoms(tmp_path):
    """A ball of radius 8 mm on a grid that is neither straight nor isotropic."""
    spacing = np.array((0.8, 0.5, 0.35))
    places = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in (41, 40, 60)], indexing="ij"), -1) * spacing
    ball = (np.linalg.norm(places, axis=-1) <= 8).astype(np.uint8)
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing[[1, 2, 0]]
    image = _nifti(tmp_path / "x.nii.gz", (40, 60, 41), affine)
    (path,) = write_hypotheses(tmp_path, image, ball[None], num_classes=1)
    written = nibabel.load(path)
    volume = np.asarray(written.dataobj).sum() * abs(np.linalg.det(written.affine[:3, :3]))
    assert volume == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.01)


def test_npz(tmp_path):
    image = _nifti(tmp_path / "x.nii", (5, 7, 3), OBLIQUE)
    labels, mean = _labels(4, image.size, 3), RNG.random((3, *image.size)).astype(np.float32)
    (path,) = write_hypotheses(tmp_path, image, labels, num_classes=3, format="npz", titles=list("abcd"))
    with np.load(path) as members:
        np.testing.assert_array_equal(members["labels"], labels)
        assert members["titles"].tolist() == ["a", "b", "c", "d"]
        np.testing.assert_array_equal(members["spacing_mm"], image.spacing)
        np.testing.assert_array_equal(members["affine"], image.grid.affine)
    with np.load(write_map(tmp_path, image, mean, stem="mean", format="npz")[0]) as members:
        np.testing.assert_array_equal(members["values"], mean)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("format", ["png", "tiff", "nifti"])
def test_maps_of_real_numbers(tmp_path, format, classes):
    image = _picture(tmp_path / "x.png")
    values = (RNG.random((classes, *image.size)) * np.log(3)).astype(np.float32)
    paths = write_map(
        tmp_path, image, values if classes > 1 else values[0], stem="entropy", largest=np.log(3), format=format
    )
    if format == "nifti":
        read = np.asarray(nibabel.load(paths[0]).dataobj).reshape(5, 7, classes).transpose(2, 0, 1)
    elif format == "tiff":
        with Image.open(paths[0]) as file:
            read = [(file.seek(page), np.array(file))[1] for page in range(classes)]
    else:
        read = [np.asarray(Image.open(path)) / 65535 * np.log(3) for path in paths]
        assert len(paths) == classes
        assert Image.open(paths[0]).text["Description"] == "value = pixel / 65535 * 1.09861229"
    np.testing.assert_allclose(read, values, rtol=0, atol=np.log(3) / 65535 / 1.99 if format == "png" else 0)


def test_a_picture_with_a_spacing_that_somebody_knows(tmp_path):
    image = replace(_picture(tmp_path / "x.png"), spacing=(0.5, 0.25))
    (path,) = write_hypotheses(tmp_path, image, _labels(2, image.size), num_classes=1, format="nifti")
    header = nibabel.load(path).header
    assert header.get_zooms()[:2] == (0.5, 0.25)
    assert header.get_xyzt_units()[0] == "mm"
    assert (int(header["sform_code"]), int(header["qform_code"])) == (0, 0)


ZEROS = np.zeros((2, 5, 7), np.uint8)


@pytest.mark.parametrize(
    ("labels", "changes", "error", "message"),
    [
        (ZEROS.astype(int), {}, TypeError, "labels: got int64, expected a NumPy array of uint8"),
        (ZEROS[0], {}, ValueError, r"labels: got \(5, 7\), expected \(n, 5, 7\) with n >= 1, the size of x"),
        (ZEROS[:, :4], {}, ValueError, r"labels: got \(2, 4, 7\)"),
        (ZEROS[:0], {}, ValueError, "with n >= 1"),
        (ZEROS + 2, {}, ValueError, "labels: got a class 2, expected 0 .. 1 for 2 classes"),
        (ZEROS, dict(num_classes=0), ValueError, "num_classes"),
        (ZEROS, dict(titles=["one"]), ValueError, "titles: got 1 for 2 hypotheses"),
        (ZEROS, dict(format="jpeg"), ValueError, "format: got 'jpeg', expected one of png, tiff, nifti, seg, npz"),
        (ZEROS, dict(format="seg"), ValueError, "got seg for x, which is png, expected a DICOM image"),
        (ZEROS, dict(stem="../up"), ValueError, "stem: got '../up', expected letters, digits"),
        (ZEROS, dict(stem=""), ValueError, "stem: got ''"),
        (ZEROS, dict(stem=".."), ValueError, "stem: got '..'"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, labels, changes, error, message):
    image = _picture(tmp_path / "x.png")
    with pytest.raises(error, match=message) as caught:
        write_hypotheses(tmp_path, image, labels, **{"num_classes": 1, **changes})
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize(
    ("values", "largest", "error", "message"),
    [
        (np.zeros((5, 7), np.uint8), 1, TypeError, "values: got uint8, expected a NumPy array of floats"),
        (np.zeros((7, 5)), 1, ValueError, r"values: got \(7, 5\), expected \(5, 7\)"),
        (np.full((5, 7), np.nan), 1, ValueError, "values: got numbers from nan to nan"),
        (np.full((5, 7), 1.2), 1, ValueError, r"values: got numbers from 1.2 to 1.2, expected 0 .. 1; raise largest"),
        (np.zeros((5, 7)), 0, ValueError, "largest: got 0"),
    ],
)
def test_maps_that_cannot_be_written(tmp_path, values, largest, error, message):
    with pytest.raises(error, match=message):
        write_map(tmp_path, _picture(tmp_path / "x.png"), values, stem="mean", largest=largest)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_volumes_are_no_pictures(tmp_path, format):
    image = _nifti(tmp_path / "x.nii", (5, 7, 3), OBLIQUE)
    for write in (
        lambda: write_hypotheses(tmp_path, image, _labels(2, image.size), num_classes=1, format=format),
        lambda: write_map(tmp_path, image, RNG.random(image.size), stem="mean", format=format),
    ):
        with pytest.raises(ValueError, match="a volume of 3 x 5 x 7; expected nifti, seg or npz"):
            write()


@pytest.mark.parametrize("format", ["png", "tiff", "nifti", "npz"])
def test_where_nothing_can_be_written_what_was_there_stays(tmp_path, format, monkeypatch):
    image = _picture(tmp_path / "x.png")
    with pytest.raises(OSError, match="x.png"):
        write_hypotheses(tmp_path / "x.png", image, ZEROS, num_classes=1, format=format)
    (first, *_) = write_hypotheses(tmp_path, image, ZEROS, num_classes=1, format=format)
    before, names = first.read_bytes(), {path.name for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr("fastpunet.files.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_map(tmp_path, image, np.ones((5, 7)), stem="hypotheses" if format != "png" else "mean", format=format)
    assert first.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == names

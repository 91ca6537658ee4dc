"""DICOM files and series as inputs."""

from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

from helpers.dicom_series import AXIAL, OBLIQUE, write_enhanced, write_series, write_slice  # noqa: E402
from pydicom.data import get_testdata_file  # noqa: E402

from fastpunet.data.inputs import find_inputs  # noqa: E402
from fastpunet.data.inputs.finding import look  # noqa: E402
from fastpunet.intensity import EIGHT_BIT, PERCENTILES  # noqa: E402

VOLUME = np.random.default_rng(0).integers(0, 2000, (5, 4, 6))


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
def test_a_series_is_a_volume_in_hounsfield_units(tmp_path, orientation):
    files = write_series(tmp_path / "chest", VOLUME, orientation=orientation)
    (found,) = find_inputs([tmp_path])
    assert (found.name, found.format, found.channels, found.size) == ("chest", "dicom", 1, VOLUME.shape)
    assert found.files == tuple(files)  # in the order of their places, not of their names
    np.testing.assert_array_equal(found.read()[0], VOLUME * 2 - 1000)
    np.testing.assert_allclose(found.spacing, (2.5, 0.5, 0.7))
    assert found.default_intensity == PERCENTILES
    np.testing.assert_array_equal(found.slices()[1].read()[0], VOLUME[1] * 2 - 1000)
    assert found.slices()[1].files == (files[1],)


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
def test_the_grid_leads_where_dicom_says(tmp_path, orientation):
    (found,) = find_inputs(write_series(tmp_path / "s", VOLUME, orientation=orientation))
    row, column, place = 1, 4, 3
    across, down = np.array(orientation[:3]), np.array(orientation[3:])
    lps = np.array((10, -20, 30)) + column * 0.7 * across + row * 0.5 * down + place * 2.5 * np.cross(across, down)
    np.testing.assert_allclose((found.grid.affine @ (row, column, place, 1))[:3], lps * (-1, -1, 1), atol=1e-6)
    np.testing.assert_allclose(
        (found.slices()[place].grid.affine @ (row, column, 0, 1))[:3], lps * (-1, -1, 1), atol=1e-6
    )


def test_geometry_and_values_equal_those_of_highdicom(tmp_path):
    files = write_series(tmp_path / "s", VOLUME, orientation=OBLIQUE)
    (found,) = find_inputs([tmp_path / "s"])
    theirs = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in files])
    np.testing.assert_array_equal(theirs.array[::-1], found.read()[0])  # they count from the head
    centre = np.array(VOLUME.shape) // 2
    lps = theirs.affine @ (*((4 - centre[0]), centre[1], centre[2]), 1)
    np.testing.assert_allclose(
        found.grid.affine @ (centre[1], centre[2], centre[0], 1), lps * (-1, -1, 1, 1), atol=1e-5
    )


def test_two_series_in_one_folder(tmp_path):
    write_series(tmp_path / "scan", VOLUME)
    for path in write_series(tmp_path / "other", VOLUME[:3], SeriesInstanceUID="1.2.9", SeriesNumber=7):
        path.rename(tmp_path / "scan" / f"b{path.name}")
    assert [(image.name, image.size[0]) for image in find_inputs([tmp_path])] == [
        ("scan_series3", 5),
        ("scan_series7", 3),
    ]


def test_a_file_alone_is_an_image(tmp_path):
    (found,) = find_inputs([write_slice(tmp_path / "one.dcm", VOLUME[0])])
    assert (found.name, found.size, found.spacing) == ("one", (4, 6), (0.5, 0.7))
    np.testing.assert_array_equal(found.read()[0], VOLUME[0] * 2 - 1000)
    assert found.grid is not None


def test_radiographs_have_no_place_and_are_images_each(tmp_path):
    lacking = dict(ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None, Modality="DX")
    for index in range(3):
        write_slice(tmp_path / f"{index}", VOLUME[index], ImagerPixelSpacing=[0.1, 0.1], **lacking)
    found = find_inputs([tmp_path])
    assert [(image.name, image.size, image.spacing, image.grid) for image in found] == [
        (str(index), (4, 6), None, None) for index in range(3)
    ]


@pytest.mark.parametrize(("modality", "expected"), [("DX", lambda v: 4095 - v), ("CT", lambda v: v)])
def test_monochrome1_is_inverted_unless_numbers_are_measurements(tmp_path, modality, expected):
    stored = dict(BitsStored=12, HighBit=11, PixelRepresentation=0, RescaleSlope=1, RescaleIntercept=0)
    path = write_slice(
        tmp_path / "x.dcm", VOLUME[0], PhotometricInterpretation="MONOCHROME1", Modality=modality, **stored
    )
    (found,) = find_inputs([path])
    np.testing.assert_array_equal(found.read()[0], expected(VOLUME[0]))
    assert found.read().dtype == np.uint16  # not rescaled: as stored


def test_slices_with_factors_of_their_own(tmp_path):
    """As in PET."""
    for index, factor in enumerate((0.5, 4.0)):
        write_slice(
            tmp_path / f"{index}",
            VOLUME[index],
            ImagePositionPatient=[0, 0, 3 * index],
            RescaleSlope=factor,
            Modality="PT",
        )
    (found,) = find_inputs([tmp_path])
    np.testing.assert_array_equal(found.read()[0], np.stack([VOLUME[0] * 0.5 - 1000, VOLUME[1] * 4 - 1000]))


@pytest.mark.parametrize(
    ("name", "size", "least", "most", "dtype"),
    [
        ("CT_small.dcm", (128, 128), -896, 1167, np.float32),
        ("MR_small.dcm", (64, 64), 127, 2145, np.int16),
        ("MR_small_RLE.dcm", (64, 64), 127, 2145, np.int16),
        ("MR_small_bigendian.dcm", (64, 64), 127, 2145, np.int16),
    ],
)
def test_real_files_that_come_with_pydicom(name, size, least, most, dtype):
    (found,) = find_inputs([get_testdata_file(name)])
    values = found.read()
    file = pydicom.dcmread(get_testdata_file(name))
    expected = pydicom.pixels.apply_modality_lut(file.pixel_array, file)
    np.testing.assert_array_equal(values[0], expected)
    assert (found.size, values.min(), values.max(), values.dtype) == (size, least, most, dtype)
    assert found.spacing == tuple(float(step) for step in file.PixelSpacing)


def test_colours():
    (found,) = find_inputs([get_testdata_file("SC_rgb_rle.dcm")])
    assert (found.channels, found.default_intensity) == (3, EIGHT_BIT)
    expected = pydicom.dcmread(found.files[0]).pixel_array
    np.testing.assert_array_equal(found.read(), expected.transpose(2, 0, 1))


def _series(tmp_path, **changes):
    """Five slices; `change` is applied to the third one."""
    change = changes.pop("change", {})
    files = write_series(tmp_path / "s", VOLUME, **changes)
    if change:
        file = pydicom.dcmread(files[2])
        for name, value in change.items():
            setattr(file, name, value)
        file.save_as(files[2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(places=(0, 1, 3, 4, 5)),
            r"s/0004 is 5 mm from the next slice, 0003, expected 2.5 mm as between the others",
        ),
        (
            dict(places=(0, 1, 1, 2, 3)),
            r"s/000\d has the same position as .*s/000\d, expected one slice at each position; remove copies, or",
        ),
        (dict(places=(0, 1, 2.02, 3, 4)), None),  # a scanner's rounding
        (
            dict(change=dict(ImageOrientationPatient=list(OBLIQUE))),
            r"s/0003 has orientation \(0.8, .*, but the rest of its series has",
        ),
        (dict(change=dict(ImageOrientationPatient=[1, 0, 1e-5, 0, 1, 0])), None),
        (dict(change=dict(ImagePositionPatient=[12, -20, 35])), r"do not form a regular stack: .* tilted gantry"),
        (
            dict(change=dict(PixelSpacing=[0.5, 0.8])),
            r"s/0003 has spacing \(0.5, 0.8\), but the rest of its series has \(0.5, 0.7\)",
        ),
        (dict(change=dict(PixelSpacing=[0.5, 0])), r"s/0003 has pixels of 0.5 x 0.0 mm, expected numbers above 0"),
        (dict(change=dict(ImageOrientationPatient=[1, 0, 0, 1, 0, 0])), r"expected two unit vectors at a right angle"),
        (dict(change=dict(ImagePositionPatient=[0, 0, "nan"])), r"s/0003 "),
        (
            dict(change=dict(Rows=2)),
            r"s/0003 has size and channels \(2, 6, 1\), but the rest of its series has \(4, 6, 1\)",
        ),
        (dict(change=dict(NumberOfFrames=2)), r"s/0003 holds 2 frames that are not slices of a volume"),
        (dict(change=dict(PhotometricInterpretation="PALETTE COLOR")), r"1 samples of 16 bits per pixel as PALETTE"),
    ],
)
def test_series_that_are_no_regular_volume_are_refused_by_name(tmp_path, changes, message):
    _series(tmp_path, **changes)
    if message is None:
        assert len(find_inputs([tmp_path])) == 1
        return
    with pytest.raises(ValueError, match=message) as caught:
        find_inputs([tmp_path])
    assert "\n" not in str(caught.value)


def test_damaged_files(tmp_path):
    path = write_slice(tmp_path / "x.dcm", VOLUME[0])
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    (found,) = find_inputs([path])
    with pytest.raises(ValueError, match=r"x.dcm is truncated or not a DICOM file"):
        found.read()
    path.write_bytes(content[:300])
    for named in (path, tmp_path):
        with pytest.raises(ValueError, match=r"x.dcm holds no pixels; copy it again"):
            find_inputs([named])
    huge = pydicom.dcmread(write_slice(path, VOLUME[0]))
    huge.Rows = huge.Columns = 65535
    huge.save_as(path)
    with pytest.raises(ValueError, match=r"x.dcm claims to unpack to 32,767 MiB"):
        find_inputs([path])


def test_compressions_without_a_decoder_are_named():
    path = get_testdata_file("SC_rgb_jpeg_gdcm.dcm")
    decoder = pydicom.pixels.get_decoder(pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID)
    if decoder.is_available:
        pytest.skip("a decoder is installed")
    with pytest.raises(ValueError, match=r"is compressed as JPEG Lossless.*, for which no decoder is installed"):
        find_inputs([path])


def test_objects_without_an_image_are_passed_over_in_folders(tmp_path):
    write_series(tmp_path / "s", VOLUME)
    write_slice(tmp_path / "s" / "seg.dcm", VOLUME[0], Modality="SEG")
    report = get_testdata_file("reportsi.dcm")
    (tmp_path / "s" / "report.dcm").write_bytes(Path(report).read_bytes())
    found = look([tmp_path])
    assert (len(found.inputs), found.refused) == (1, [])
    assert [path.name for path in found.ignored] == ["report.dcm", "seg.dcm"]
    with pytest.raises(ValueError, match="reportsi.dcm holds no pixels; copy it again if it is an image"):
        find_inputs([report])


def test_archives_are_searched_for_dicom_files(tmp_path):
    write_series(tmp_path / "p1" / "study" / "ct", VOLUME, SeriesInstanceUID="1.1")
    write_series(tmp_path / "p2" / "study" / "ct", VOLUME, SeriesInstanceUID="1.2")
    assert [image.name for image in find_inputs([tmp_path])] == ["p1_study_ct_series3", "p2_study_ct_series3"]


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
def test_an_enhanced_file_equals_the_series(tmp_path, orientation):
    files = write_series(tmp_path / "s", VOLUME, orientation=orientation)
    (series,) = find_inputs([tmp_path / "s"])
    (found,) = find_inputs([write_enhanced(tmp_path / "e.dcm", files)])
    assert (found.name, found.format, found.size, found.spacing) == ("e", "dicom", series.size, (2.5, 0.5, 0.7))
    np.testing.assert_array_equal(found.read(), series.read())
    np.testing.assert_allclose(found.grid.affine, series.grid.affine, atol=1e-6)
    np.testing.assert_array_equal(found.slices()[3].read(), series.slices()[3].read())


def test_an_enhanced_file_of_one_slice(tmp_path):
    files = write_series(tmp_path / "s", VOLUME[:1])
    (found,) = find_inputs([write_enhanced(tmp_path / "e.dcm", files)])
    np.testing.assert_array_equal(found.read()[0], VOLUME[:1] * 2 - 1000)


def test_enhanced_files_that_are_no_volume_are_refused(tmp_path):
    files = write_series(tmp_path / "s", VOLUME, places=(0, 1, 2, 5, 9))
    path = write_enhanced(tmp_path / "e.dcm", files)
    with pytest.raises(ValueError, match=r"e.dcm holds 5 frames that do not form a regular stack of slices"):
        find_inputs([path])
    write_enhanced(path, write_series(tmp_path / "t", VOLUME))
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    (found,) = find_inputs([path])
    with pytest.raises(ValueError, match=r"e.dcm is truncated or not a DICOM file"):
        found.read()

"""DICOM segmentations, read back by highdicom and pydicom."""

import nibabel
import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

from helpers.dicom_series import AXIAL, OBLIQUE, write_enhanced, write_series, write_slice  # noqa: E402
from pydicom.data import get_testdata_file  # noqa: E402

from fastpunet.data.inputs import find_inputs  # noqa: E402
from fastpunet.data.writing import write_hypotheses, write_map  # noqa: E402

RNG = np.random.default_rng(0)
VOLUME = RNG.integers(0, 2000, (5, 4, 6))


def _labels(n, size, classes=2):
    return RNG.integers(0, classes, (n, *size), dtype=np.uint8)


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
def test_geometry_and_pixels_equal_those_of_the_series(tmp_path, orientation):
    files = write_series(tmp_path / "s", VOLUME, orientation=orientation)
    (image,) = find_inputs([tmp_path / "s"])
    labels = _labels(3, image.size)
    labels[1, 2:] = 0
    labels[2] = 0  # nothing there, which is a hypothesis too
    titles = ["mode 1, 61 %", "mode 2, 30 %", "Möglichkeit 3, 9 %"]
    (path,) = write_hypotheses(tmp_path, image, labels, num_classes=1, titles=titles)
    assert path.name == "hypotheses.dcm"
    written = highdicom.seg.segread(path)
    assert written.segmentation_type == highdicom.seg.SegmentationTypeValues.BINARY
    assert [one.SegmentLabel for one in written.SegmentSequence] == titles
    source = highdicom.get_volume_from_series([pydicom.dcmread(file) for file in files])
    volume = written.get_volume(combine_segments=False, allow_missing_positions=True)
    assert volume.geometry_equal(source)
    assert volume.frame_of_reference_uid == source.frame_of_reference_uid
    np.testing.assert_array_equal(volume.array[::-1].transpose(3, 0, 1, 2), labels)
    by_position = {tuple(pydicom.dcmread(file).ImagePositionPatient): pydicom.dcmread(file) for file in files}
    for frame in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence:
        slice_ = by_position[tuple(frame.PlanePositionSequence[0].ImagePositionPatient)]
        (derivation,) = frame.DerivationImageSequence
        (reference,) = derivation.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == slice_.SOPInstanceUID


def test_what_the_file_says_for_pydicom(tmp_path):
    write_series(tmp_path / "s", VOLUME)
    (image,) = find_inputs([tmp_path / "s"])
    (path,) = write_hypotheses(tmp_path, image, _labels(2, image.size), num_classes=2)
    source, written = pydicom.dcmread(image.files[0]), pydicom.dcmread(path)
    for name in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID", "Rows", "Columns"):
        assert written[name].value == source[name].value
    assert (written.Modality, written.SOPClassUID.name) == ("SEG", "Segmentation Storage")
    assert (written.BitsAllocated, written.SegmentsOverlap) == (1, "YES")
    assert written.SeriesInstanceUID != source.SeriesInstanceUID
    assert {uid.ReferencedSOPInstanceUID for uid in written.ReferencedSeriesSequence[0].ReferencedInstanceSequence} == {
        pydicom.dcmread(file).SOPInstanceUID for file in image.files
    }
    measures = written.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert ([*measures.PixelSpacing], measures.SpacingBetweenSlices) == ([0.5, 0.7], 2.5)
    assert written.pixel_array.shape[1:] == (4, 6)
    again = highdicom.seg.segread(write_hypotheses(tmp_path, image, _labels(2, image.size), num_classes=2)[0])
    assert again.SOPInstanceUID != written.SOPInstanceUID


def test_each_class_of_a_hypothesis_is_a_segment(tmp_path):
    write_series(tmp_path / "s", VOLUME)
    (image,) = find_inputs([tmp_path / "s"])
    labels = _labels(2, image.size, 4)
    (path,) = write_hypotheses(tmp_path, image, labels, num_classes=4, titles=["a", "b"])
    written = highdicom.seg.segread(path)
    assert [one.SegmentLabel for one in written.SegmentSequence] == [f"{t}, class {k}" for t in "ab" for k in (1, 2, 3)]
    stack = written.get_volume(combine_segments=False).array[::-1].transpose(3, 0, 1, 2).reshape(2, 3, *image.size)
    np.testing.assert_array_equal(sum(k * stack[:, k - 1] for k in (1, 2, 3)), labels)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm"])
def test_real_files_that_come_with_pydicom(tmp_path, name):
    (image,) = find_inputs([get_testdata_file(name)])
    labels = _labels(3, image.size)
    (path,) = write_hypotheses(tmp_path, image, labels, num_classes=1)
    written, source = highdicom.seg.segread(path), pydicom.dcmread(image.files[0])
    pixels = written.get_pixels_by_source_instance([source.SOPInstanceUID])
    np.testing.assert_array_equal(pixels[0].transpose(2, 0, 1), labels)
    frame = written.PerFrameFunctionalGroupsSequence[0]
    assert frame.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient


def test_a_slice_of_a_series_and_a_radiograph(tmp_path):
    write_series(tmp_path / "s", VOLUME)
    lacking = dict(ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None, SliceThickness=None)
    computed = pydicom.uid.ComputedRadiographyImageStorage
    write_slice(tmp_path / "x.dcm", VOLUME[0], Modality="CR", SOPClassUID=computed, **lacking)
    for image in (find_inputs([tmp_path / "s"])[0].slices()[2], find_inputs([tmp_path / "x.dcm"])[0]):
        labels = _labels(3, image.size)
        (path,) = write_hypotheses(tmp_path, image, labels, num_classes=1)
        uid = pydicom.dcmread(image.files[0]).SOPInstanceUID
        pixels = highdicom.seg.segread(path).get_pixels_by_source_instance([uid])
        np.testing.assert_array_equal(pixels[0].transpose(2, 0, 1), labels)


def test_maps_of_a_series_are_nifti_where_its_slices_are(tmp_path):
    write_series(tmp_path / "s", VOLUME, orientation=OBLIQUE)
    (image,) = find_inputs([tmp_path / "s"])
    (path,) = write_map(tmp_path, image, RNG.random(image.size), stem="mean")
    written = nibabel.load(path)
    position = pydicom.dcmread(image.files[3]).ImagePositionPatient
    np.testing.assert_allclose((written.affine @ (0, 0, 3, 1))[:3], np.array(position) * (-1, -1, 1), atol=1e-4)
    np.testing.assert_allclose(written.header.get_zooms(), (0.5, 0.7, 2.5), rtol=1e-6)


@pytest.mark.parametrize(
    ("attributes", "changes", "message"),
    [
        (dict(StudyInstanceUID=None), {}, "lacks StudyInstanceUID, expected all that a DICOM segmentation refers to"),
        (dict(FrameOfReferenceUID=None), {}, "lacks FrameOfReferenceUID"),
        (dict(SliceThickness=None), {}, "lacks SliceThickness"),
        ({}, dict(titles=["x" * 65]), "titles: got 'xxx.*, expected 1 to 64 printable characters"),
        ({}, dict(titles=["a\\b"]), "titles: got"),
        ({}, dict(titles=[""]), "titles: got"),
    ],
)
def test_what_a_segmentation_cannot_be_written_for(tmp_path, attributes, changes, message):
    (image,) = find_inputs([write_slice(tmp_path / "x.dcm", VOLUME[0], **attributes)])
    with pytest.raises(ValueError, match=message) as caught:
        write_hypotheses(tmp_path, image, _labels(1, image.size), num_classes=1, **changes)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["x.dcm"]


def test_files_with_little_else_are_enough(tmp_path):
    few = dict.fromkeys(("PatientID", "PatientName", "StudyDate", "SpecificCharacterSet", "SeriesNumber"))
    write_series(tmp_path / "s", VOLUME, SliceThickness=None, **few)
    (image,) = find_inputs([tmp_path / "s"])
    labels = _labels(2, image.size)
    (path,) = write_hypotheses(tmp_path, image, labels, num_classes=1)
    volume = highdicom.seg.segread(path).get_volume(combine_segments=False)
    np.testing.assert_array_equal(volume.array[::-1].transpose(3, 0, 1, 2), labels)


def test_segmentations_of_an_enhanced_file(tmp_path):
    files = write_series(tmp_path / "s", VOLUME, orientation=OBLIQUE)
    (image,) = find_inputs([write_enhanced(tmp_path / "e.dcm", files)])
    labels = _labels(3, image.size)
    (path,) = write_hypotheses(tmp_path, image, labels, num_classes=1)
    written, source = highdicom.seg.segread(path), highdicom.imread(image.files[0])
    volume = written.get_volume(combine_segments=False)
    assert volume.geometry_equal(source.get_volume_geometry())
    np.testing.assert_array_equal(volume.array[::-1].transpose(3, 0, 1, 2), labels)
    frames = source.PerFrameFunctionalGroupsSequence
    for frame in written.PerFrameFunctionalGroupsSequence:
        (reference,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        place = frames[int(reference.ReferencedFrameNumber) - 1].PlanePositionSequence[0].ImagePositionPatient
        assert frame.PlanePositionSequence[0].ImagePositionPatient == place
    with pytest.raises(ValueError, match="got seg for e_slice002, one of the slices in .*e.dcm, expected the volume"):
        write_hypotheses(tmp_path, image.slices()[2], labels[:, 2], num_classes=1)


def test_names_of_patients_are_not_told_and_values_that_are_none_are_refused(tmp_path, recwarn, capfd):
    write_series(tmp_path / "s", VOLUME, PatientName="Secret")  # highdicom warns of names of one component
    (image,) = find_inputs([tmp_path / "s"])
    (path,) = write_hypotheses(tmp_path, image, _labels(2, image.size), num_classes=1)
    assert str(pydicom.dcmread(path).PatientName) == "Secret"
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")
    data = pydicom.dcmread(image.files[0])
    data["StudyDate"]._value = "long ago"
    data.save_as(image.files[0])
    recwarn.clear()
    with pytest.raises(ValueError, match=r"s/0005 is truncated or not what a DICOM segmentation can refer to"):
        write_hypotheses(tmp_path, image, _labels(2, image.size), num_classes=1)

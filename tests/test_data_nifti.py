"""NIfTI volumes: masks brought to their image's axes, slices, whole volumes, and headers that claim too much."""

import gzip
import itertools
import struct

import nibabel
import numpy as np
import pytest

from fastpunet.data import folder
from fastpunet.data.nifti import AS_STORED, read, read_header
from fastpunet.data.nifti_grids import axes_onto
from fastpunet.intensity import Intensity

AFFINE = np.array([[0.7, 0, 0, -20], [0, 0.8, 0, 10], [0, 0, 2.5, 5], [0, 0, 0, 1]])


@pytest.fixture
def root(tmp_path):
    for name in ("images", "masks/anna", "masks/ben"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def _save(path, values, affine=AFFINE, kind=nibabel.Nifti1Image):
    nibabel.save(kind(np.asarray(values), affine), path)


def _oriented(values, affine, codes):
    """The same volume stored with other axes."""
    image = nibabel.Nifti1Image(values, affine)
    turns = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(affine), nibabel.orientations.axcodes2ornt(codes)
    )
    turned = image.as_reoriented(turns)
    return np.asarray(turned.dataobj), turned.affine


def _all_codes():
    for axes in itertools.permutations(("RL", "AP", "SI")):
        yield from itertools.product(*axes)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_masks_are_brought_to_the_axes_of_their_image(root, suffix):
    rng = np.random.default_rng(0)
    image, mask = rng.normal(size=(4, 5, 6)), rng.integers(0, 3, (4, 5, 6)).astype(np.uint8)
    _save(root / "images" / f"x.{suffix}", image)
    for codes in _all_codes():
        stored, affine = _oriented(mask, AFFINE, codes)
        _save(root / "masks" / "anna" / f"x.{suffix}", mask)
        _save(root / "masks" / "ben" / f"x.{suffix}", stored, affine)
        for k, record in enumerate(folder.read(root, binary=False, unmarked=True)):
            np.testing.assert_array_equal(record.masks[0], mask[..., k])
            np.testing.assert_array_equal(record.masks[1], record.masks[0], err_msg=str(codes))


def test_oblique_volumes_agree_as_well(root):
    angle = 0.3
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = turn @ AFFINE
    mask = np.random.default_rng(0).integers(0, 2, (4, 5, 6)).astype(np.uint8)
    stored, other = _oriented(mask, affine, "SPL")
    _save(root / "images" / "x.nii", mask, affine)
    _save(root / "masks" / "anna" / "x.nii", stored, other)
    for k, record in enumerate(folder.read(root, unmarked=True)):
        np.testing.assert_array_equal(record.masks[0], mask[..., k])


def test_other_grids_are_refused_and_rounding_is_not(root):
    ones = np.ones((4, 5, 6), np.uint8)
    _save(root / "images" / "x.nii", ones)
    rounded = AFFINE + 1e-4
    rounded[3] = AFFINE[3]
    _save(root / "masks" / "anna" / "x.nii", ones, rounded)
    assert len(folder.read(root)) == 6
    moved, scaled = AFFINE.copy(), AFFINE.copy()
    moved[0, 3] += 0.7  # one voxel
    scaled[0, 0] *= 1.1
    for affine, apart in ((moved, "1 voxels"), (scaled, "0.3 voxels"), (np.eye(4), "voxels")):
        _save(root / "masks" / "anna" / "x.nii", ones, affine)
        with pytest.raises(ValueError, match=f"anna/x.nii lies on another grid.*corners are .*{apart} apart; resample"):
            folder.read(root)
    _save(root / "masks" / "anna" / "x.nii", ones, None)
    with pytest.raises(ValueError, match="x.nii does not say where its voxels lie"):
        folder.read(root)
    _save(root / "images" / "x.nii", ones, None)  # neither says
    assert len(folder.read(root)) == 6


def test_axes_of_one_grid_are_as_stored(root):
    _save(root / "a.nii", np.zeros((3, 4, 5)))
    _save(root / "b.nii", np.zeros((3, 4, 5)), kind=nibabel.Nifti2Image)
    volumes = [read_header(root / name) for name in ("a.nii", "b.nii")]
    assert axes_onto(*volumes) == AS_STORED
    np.testing.assert_allclose(volumes[1].spacing, (0.7, 0.8, 2.5), rtol=1e-6)


def test_slices_whole_volumes_and_volumes_nobody_graded(root):
    voxels = np.random.default_rng(0).integers(-1000, 400, (4, 5, 6)).astype(np.int16)
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 2, 3] = 1
    _save(root / "images" / "x.nii", voxels)
    _save(root / "images" / "y.nii", voxels)
    _save(root / "masks" / "anna" / "x.nii", mask)
    records = folder.read(root, binary=True)
    assert [(record.name, record.slice, len(record.masks)) for record in records] == [
        ("x.nii", 3, 1),
        *[("y.nii", k, 0) for k in range(6)],
    ]
    np.testing.assert_allclose(records[0].spacing, (0.7, 0.8), rtol=1e-6)
    assert [record.slice for record in folder.read(root, unmarked=True)] == [*range(6), *range(6)]  # false alarms
    rule = Intensity.range(-1000, 400)
    whole = folder.read(root, whole=True, intensity=rule)
    assert [record.image.shape for record in whole] == [(1, 6, 4, 5)] * 2
    assert [record.masks.shape for record in whole] == [(1, 6, 4, 5), (0, 6, 4, 5)]
    np.testing.assert_allclose(whole[0].image[0], (voxels.transpose(2, 0, 1) + 1000) / 1400, atol=1e-6)
    np.testing.assert_array_equal(whole[0].masks[0], mask.transpose(2, 0, 1))
    np.testing.assert_allclose(whole[0].spacing, (2.5, 0.7, 0.8), rtol=1e-6)
    np.testing.assert_array_equal(folder.read(root, intensity=rule)[2].image[0], whole[1].image[0, 1])


def test_axes_of_length_one_behind_are_no_axes(root):
    for shape in ((4, 5), (4, 5, 1), (4, 5, 1, 1)):
        _save(root / "images" / "x.nii", np.arange(20).reshape(shape).astype(np.int16))
        record = folder.read(root)[0]
        assert record.image.shape == (1, 4, 5)
        assert record.image.max() == 1


def _header(shape, dtype_code=4, bits=16, offset=352.0):
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<hh", header, 70, dtype_code, bits)
    struct.pack_into("<8f", header, 76, *[1.0] * 8)
    struct.pack_into("<f", header, 108, offset)
    header[344:348] = b"n+1\0"
    return bytes(header)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_header((30000, 30000, 8)) + bytes(400), "claims 14,400,000,352 bytes"),
        (_header((4, 5), offset=float("nan")) + bytes(400), "truncated or not a NIfTI file"),
        (_header((4, 5), offset=1e9) + bytes(400), "claims 1,000,000,040 bytes"),
        (_header((4, -5)) + bytes(400), r"holds int16 \(4, -5\)"),
        (_header((4, 5), dtype_code=128, bits=24) + bytes(400), "expected real numbers"),
        (_header((4, 5))[:300], "its header is incomplete"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_headers_that_claim_too_much_are_refused(root, content, message, packed):
    file = root / "images" / ("x.nii.gz" if packed else "x.nii")
    file.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=message) as caught:
        folder.read(root)
    assert "\n" not in str(caught.value)


def test_gzip_bombs_are_refused_before_they_are_unpacked(root):
    file = root / "images" / "x.nii.gz"
    side = 1300
    with gzip.open(file, "wb") as packed:
        packed.write(_header((side, side, side), dtype_code=2, bits=8))
        packed.writelines(bytes(side * side) for _ in range(20))
    file.write_bytes(file.read_bytes() + bytes(3 << 20))  # as large as the rest would be
    with pytest.raises(ValueError, match="claims to unpack to 2,095 MiB, expected at most 512 MiB"):
        read_header(file)


def test_a_slice_is_the_slice_of_the_whole(root):
    values = np.random.default_rng(0).normal(size=(3, 4, 5))
    _save(root / "x.nii.gz", values)
    volume = read_header(root / "x.nii.gz")
    axes = ((2, -1), (0, 1), (1, -1))
    whole = read(volume, None, axes)
    np.testing.assert_array_equal(whole, values[:, ::-1, ::-1].transpose(2, 0, 1))
    for k in range(whole.shape[2]):
        np.testing.assert_array_equal(read(volume, k, axes), whole[..., k])

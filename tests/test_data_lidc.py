"""LIDC records: npz bundles and crops as PNG files."""

import shutil

import numpy as np
import pytest
from PIL import Image

from fastpunet.data import lidc
from fastpunet.intensity import Intensity


@pytest.fixture
def bundle(tmp_path):
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 2, (3, 4, 6, 10), dtype=np.uint8)
    members = dict(
        images=rng.integers(0, 256, (3, 6, 10), dtype=np.uint8),
        masks_packed=np.packbits(masks, axis=-1),
        patient=np.array(["a", "b", "b"]),
    )
    return tmp_path / "bundle.npz", members, masks


def test_npz_records_hold_what_was_written(bundle):
    path, members, masks = bundle
    np.savez(path, **members)
    records = lidc.read_npz(path)
    assert len(records) == 3
    for i, record in enumerate(records):
        np.testing.assert_allclose(record.image, members["images"][i][None] / 255, rtol=1e-6)
        assert record.image.dtype == np.float32
        np.testing.assert_array_equal(record.masks, masks[i])
        assert (record.id, record.patient, record.weights) == (i, members["patient"][i], None)
    assert records[-1].id == 2
    np.testing.assert_array_equal(records[1:][0].masks, masks[1])
    assert [record.id for record in records[1:]] == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(images=None), "has no member 'images"),
        (dict(patient=None), "has no member 'patient"),
        (dict(images=np.zeros((3, 6, 17), np.uint8)), "expected uint8"),
        (dict(images=np.zeros((2, 6, 10), np.uint8)), "expected uint8"),
        (dict(images=np.zeros((3, 6, 10), np.float32)), "expected uint8"),
        (dict(images=np.zeros((6, 10), np.uint8)), "expected uint8"),
        (dict(patient=np.array([object()])), "holds patient of dtype object, expected numbers or text"),
    ],
)
def test_broken_bundles_are_named(bundle, change, message):
    path, members, _ = bundle
    np.savez(path, **{name: value for name, value in (members | change).items() if value is not None})
    with pytest.raises(ValueError, match=message):
        lidc.read_npz(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_bundles_are_errors(bundle, share):
    path, members, _ = bundle
    np.savez(path, **members)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="is (truncated or not an npz bundle|empty)"):
        lidc.read_npz(path)


def test_a_missing_bundle_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="path: no file"):
        lidc.read_npz(tmp_path / "none.npz")


def test_the_real_bundle(data_root):
    records = lidc.read_npz(data_root / "lidc" / "lidc_tiny_test_64.npz")
    assert len(records) == 200
    assert all(record.masks.any() for record in records)
    empty = np.mean([~record.masks.any((1, 2)) for record in records])
    assert 0.3 < empty < 0.45
    assert 0 <= records[0].image.min() < records[0].image.max() <= 1


def test_an_empty_bundle_is_an_error(bundle):
    path, members, _ = bundle
    np.savez(path, **{name: value[:0] for name, value in members.items()})
    with pytest.raises(ValueError, match="is empty: .*at least one record"):
        lidc.read_npz(path)


def test_a_single_array_is_no_bundle(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros(3))
    with pytest.raises(ValueError, match="not an npz bundle"):
        lidc.read_npz(tmp_path / "images.npy")


def test_patients_of_records_and_slices(bundle):
    path, members, _ = bundle
    np.savez(path, **members)
    assert lidc.read_npz(path).patients == ["a", "b", "b"]
    assert lidc.read_npz(path)[:2][::-1].patients == ["b", "a"]
    with pytest.raises(IndexError, match="got 2, expected less than 2"):
        lidc.read_npz(path)[1:][2]


@pytest.fixture
def crops(tmp_path):
    """Two patients with an image each, masks of labellers 0 to 3; what was written."""
    rng = np.random.default_rng(0)
    written = {}
    for patient, name in (("P1", "z--1.5_c0"), ("P2", "z-3.0_c1")):
        (tmp_path / "images" / patient).mkdir(parents=True)
        (tmp_path / "gt" / patient).mkdir(parents=True)
        image = rng.integers(0, 256, (8, 6), dtype=np.uint8)
        masks = rng.integers(0, 2, (4, 8, 6), dtype=np.uint8)
        masks[3] = 0
        Image.fromarray(image).save(tmp_path / "images" / patient / f"{name}.png")
        for k, mask in enumerate(masks):
            Image.fromarray(mask * 255).save(tmp_path / "gt" / patient / f"{name}_l{k}.png")
        written[patient] = image, masks
    return tmp_path, written


def test_crops_hold_what_was_written(crops):
    root, written = crops
    records = lidc.read_crops(root)
    assert records.patients == ["P1", "P2"]
    for i, (record, (image, masks)) in enumerate(zip(records, written.values(), strict=True)):
        np.testing.assert_allclose(record.image, image[None] / 255, rtol=1e-6)
        np.testing.assert_array_equal(record.masks, masks)
        assert (record.image.dtype, record.masks.dtype, record.id) == (np.float32, np.uint8, i)
    assert records[1:][0].id == 1


def test_labellers_may_count_from_1_and_masks_be_0_and_1(crops):
    root, written = crops
    for file in sorted(root.glob("gt/*/*.png"), reverse=True):
        stem, k = file.stem.split("_l")
        Image.fromarray(np.asarray(Image.open(file)) // 255).save(file)
        file.rename(file.with_name(f"{stem}_l{int(k) + 1}.png"))
    for record in lidc.read_crops(root):
        np.testing.assert_array_equal(record.masks, written[record.patient][1])


def test_16_bit_crops(crops):
    root, _ = crops
    values = np.array([[0, 65535], [256, 1]], np.uint16).repeat(4, 0).repeat(3, 1)
    Image.fromarray(values).save(root / "images" / "P1" / "z--1.5_c0.png")
    given = lidc.read_crops(root, intensity=Intensity.range(0, 65535))
    np.testing.assert_allclose(given[0].image[0], values / 65535, rtol=1e-6)
    with pytest.warns(UserWarning, match="pictures of more than 8 bits are scaled by the percentiles"):
        image = lidc.read_crops(root)[0].image[0]
    low, high = np.percentile(values, (0.5, 99.5))
    np.testing.assert_allclose(image, ((values - low) / (high - low)).clip(0, 1), atol=1e-6)


def _cut(file):
    file.write_bytes(file.read_bytes()[:-30])


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("images/P1/z--1.5_c0.png", _cut, "z--1.5_c0.png is truncated or not a single image"),
        ("images/P1/z--1.5_c0.png", lambda file: file.write_text("no"), "truncated or not a single image"),
        ("gt/P1/z--1.5_c0_l2.png", _cut, "c0_l2.png is truncated"),
        ("gt/P1/z--1.5_c0_l2.png", lambda f: Image.new("L", (6, 7)).save(f), "c0_l2.png is 7 x 6, expected 8 x 6"),
        (
            "gt/P1/z--1.5_c0_l2.png",
            lambda f: Image.new("L", (6, 8), 2).save(f),
            "c0_l2.png holds values .2. besides 0, expected",
        ),
        ("gt/P1/z--1.5_c0_l2.png", lambda f: Image.new("RGB", (6, 8)).save(f), "has mode RGB, expected one 8-bit"),
        ("images/P1/z--1.5_c0.png", lambda f: Image.new("RGBA", (6, 8)).save(f), "has mode RGBA, expected 8-bit grey"),
    ],
)
def test_broken_crops_are_named(crops, name, spoil, message):
    root, _ = crops
    spoil(root / name)
    records = lidc.read_crops(root)
    with pytest.raises(ValueError, match=message):
        records[0]


def test_crops_without_all_masks_are_errors(crops):
    root, _ = crops
    (root / "gt" / "P2" / "z-3.0_c1_l1.png").unlink()
    with pytest.raises(ValueError, match=r"z-3.0_c1.png has masks of labellers \[0, 2, 3\], expected \[0, 1, 2, 3\]"):
        lidc.read_crops(root)
    shutil.rmtree(root / "gt" / "P2")
    with pytest.raises(ValueError, match=r"z-3.0_c1.png has masks of labellers \[\]"):
        lidc.read_crops(root)
    shutil.rmtree(root / "images")
    with pytest.raises(FileNotFoundError, match="no folder .*images.*give one split"):
        lidc.read_crops(root)
    (root / "images").mkdir()
    with pytest.raises(FileNotFoundError, match="no images"):
        lidc.read_crops(root)


def test_decompression_bombs_are_errors(crops, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match="too large"):
        lidc.read_crops(crops[0])[0]


def test_the_real_crops(data_root):
    formats = data_root / "formats"
    if not formats.is_dir():
        pytest.skip(f"no {formats}")
    from_0 = lidc.read_crops(formats / "lidc_crops" / "test")
    from_1 = lidc.read_crops(formats / "lidc_crops_l1to4" / "test")
    assert len(from_0) == 3
    for a, b, file in zip(from_0, from_1, sorted(formats.glob("lidc_crops/test/images/*/*.png")), strict=True):
        np.testing.assert_array_equal(a.masks, b.masks)
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal((a.image[0] * 255).round(), np.asarray(Image.open(file)))
        gt = formats / "lidc_crops" / "test" / "gt" / a.patient
        for k, mask in enumerate(a.masks):
            np.testing.assert_array_equal(mask * 255, np.asarray(Image.open(gt / f"{file.stem}_l{k}.png")))
    assert lidc.read_crops(formats / "lidc_crops" / "train").patients.count("LIDC-IDRI-0003") == 3


def test_patients_written_as_bytes_are_read_as_text(bundle):
    path, members, _ = bundle
    np.savez(path, **{**members, "patient": members["patient"].astype("S4")})
    assert lidc.read_npz(path).patients == ["a", "b", "b"]

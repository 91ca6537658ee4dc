"""Records: the LIDC bundles and the synthetic lesions."""

import numpy as np
import pytest

from fastpunet.data import lidc
from fastpunet.data.lesions import MODES, SyntheticLesions, mode_probabilities


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
        (dict(patient=np.array([object()])), "truncated or not an npz"),
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
    with pytest.raises(ValueError, match="truncated or not an npz bundle"):
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


def test_lesions_are_a_function_of_seed_and_index():
    few, many = SyntheticLesions(3, seed=1), SyntheticLesions(10, seed=1)
    np.testing.assert_array_equal(few[2].image, many[2].image)
    np.testing.assert_array_equal(few[-1].masks, many[2].masks)
    assert not np.array_equal(few[0].image, SyntheticLesions(3, seed=2)[0].image)
    assert len(many[2:8:3]) == 2
    with pytest.raises(IndexError):
        few[3]


def test_lesion_modes_are_nested_and_weighted():
    for record in SyntheticLesions(50, seed=3, size=48):
        absent, tight, medium, wide = record.masks.astype(int)
        assert absent.sum() == 0 < tight.sum() < medium.sum() < wide.sum()
        assert (tight <= medium).all()
        assert (medium <= wide).all()
        assert record.weights.sum() == pytest.approx(1, abs=1e-6)
        assert len(record.weights) == len(MODES)
        assert record.image.shape == (1, 48, 48)
        assert 0 <= record.image.min() <= record.image.max() <= 1


def test_contrast_sets_the_probabilities():
    assert mode_probabilities(0, 0.5)[0] == pytest.approx(0.85)
    assert mode_probabilities(1, 0.5)[0] == pytest.approx(0.05)
    np.testing.assert_allclose(mode_probabilities(0.5, 0.5), [0.45, 0.55 / 4, 0.55 / 2, 0.55 / 4], rtol=1e-6)
    tight_seen, wide_seen = mode_probabilities(0.5, 0.0), mode_probabilities(0.5, 1.0)
    assert tight_seen[1] > 0.75 * 0.55 > 0.05 > wide_seen[1]
    records = SyntheticLesions(100, 0)[:]
    contrast = [r.image[0][r.masks[1] > 0].mean() - r.image[0][r.masks[2] > r.masks[1]].mean() for r in records]
    assert np.corrcoef(contrast, [1 - r.weights[0] for r in records])[0, 1] > 0.9

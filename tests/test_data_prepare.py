"""Raw LIDC-IDRI to bundles, on small phantoms with the real schema."""

import json
import sqlite3

import numpy as np
import pytest

from fastpunet.cli import main
from fastpunet.data import lidc

pydicom = pytest.importorskip("pydicom")

from helpers import lidc_phantom  # noqa: E402
from helpers.lidc_phantom import BOX, PHANTOM, Z_MM, outline, write_series  # noqa: E402

from fastpunet.data.lidc.prepare import partial, prepare, records, run  # noqa: E402
from fastpunet.data.lidc.prepare.database import Annotation, Contour, Scan, read_database  # noqa: E402
from fastpunet.data.lidc.prepare.nodules import group_annotations  # noqa: E402
from fastpunet.data.lidc.prepare.outlines import fill  # noqa: E402
from fastpunet.data.lidc.prepare.tiny import write_tiny  # noqa: E402
from fastpunet.training.config_file import read_config, recipes  # noqa: E402


@pytest.fixture
def raw(tmp_path):
    return lidc_phantom.write_raw(tmp_path)


def members(paths):
    bundles = [np.load(path) for path in paths]
    return {name: np.concatenate([bundle[name] for bundle in bundles]) for name in bundles[0].files}


def test_images_and_masks_lie_where_they_were_outlined(raw):
    told = []
    paths = prepare(**raw, say=told.append)
    assert [path.name for path in paths] == ["lidc_train_48.npz", "lidc_val_48.npz", "lidc_test_48.npz"]
    assert not told
    assert sorted(path.name for path in raw["output"].iterdir()) == sorted(path.name for path in paths)
    for path in paths:
        first, second = lidc.read_npz(path)
        assert [mask.any() for mask in first.masks] == [True, False, False, False]
        assert [mask.any() for mask in second.masks] == [True, True, False, False]
        window = np.s_[7:55, 15:63]  # 48 x 48 around (30.5, 38.5)
        np.testing.assert_array_equal(first.masks[0], PHANTOM[window] == 50)
        np.testing.assert_array_equal(second.masks[1], first.masks[0])
        np.testing.assert_array_equal(first.image[0], np.rint((PHANTOM[window] + 1000) / 1400 * 255).astype("f4") / 255)
    bundle = members(paths)
    assert bundle["slice"].tolist() == [0, 1] * 3
    assert bundle["z_mm"].tolist() == [-10, -7.5] * 3
    assert bundle["malignancy"].tolist() == [[2, 3, 0, 0]] * 6
    assert bundle["n_graders"].tolist() == [2] * 6
    assert sorted(set(bundle["patient"].tolist())) == [f"LIDC-IDRI-000{i}" for i in (1, 2, 3)]


def test_pixels_need_not_be_square(raw):
    for file in raw["dicom"].rglob("*.dcm"):
        data = pydicom.dcmread(file)
        data.PixelSpacing = [1.0, 0.5]
        data.save_as(file)
    bundle = members(prepare(**raw))
    rows, columns = np.nonzero(np.unpackbits(bundle["masks_packed"], axis=-1)[0, 0])
    assert np.ptp(columns) + 1 == 16
    assert np.ptp(rows) + 1 == pytest.approx(40, abs=1)
    bright = np.nonzero(bundle["images"][0] > 96)
    assert (bright[0].min(), bright[0].max()) == (rows.min(), rows.max())
    assert (bright[1].min(), bright[1].max()) == (columns.min(), columns.max())
    assert bundle["native_spacing_mm"][0] == 1


def test_beyond_the_slice_there_is_air(raw):
    bundle = members(prepare(**raw | dict(size=96))[:3])
    assert bundle["masks_packed"].shape[1:] == (4, 96, 12)
    slice_in_crop = np.zeros((96, 96))
    slice_in_crop[17:81, 9:89] = PHANTOM + 1000
    np.testing.assert_array_equal(bundle["images"][0], np.rint(slice_in_crop / 1400 * 255))


def test_contours_enclose_what_they_should():
    outer, inner = outline(2, 12, 3, 15), outline(5, 9, 6, 10)
    mask = fill([Contour(0, False, inner), Contour(0, True, outer)], np.array([0, 0]), np.array([14, 17]))
    expected = np.zeros((14, 17), bool)
    expected[3:12, 4:15] = True
    expected[5:10, 6:11] = False
    np.testing.assert_array_equal(mask, expected)


def test_filling_agrees_with_another_rasteriser():
    path = pytest.importorskip("matplotlib.path")
    rng = np.random.default_rng(0)
    for _ in range(20):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 12))
        radius = rng.uniform(4, 14, (12, 1))
        points = np.rint(15 + radius * np.stack([np.sin(angle), np.cos(angle)], axis=1)).astype(int)
        steps = [
            np.rint(a + (b - a) * np.linspace(0, 1, max(abs(b - a).max(), 1) + 1)[:, None])
            for a, b in zip(points, np.roll(points, -1, 0), strict=True)
        ]
        points = np.concatenate(steps).astype(int)
        pixels = np.indices((31, 31)).reshape(2, -1).T
        inside = path.Path(points).contains_points(pixels).reshape(31, 31)
        inside[tuple(points.T)] = False
        np.testing.assert_array_equal(fill([Contour(0, True, points)], np.array([0, 0]), np.array([31, 31])), inside)


def scan_of(*boxes):
    annotations = tuple(Annotation(3, (Contour(0.0, True, outline(*box)),)) for box in boxes)
    return Scan("1.2.3", "a", 2.5, 0.5, np.array([0.0]), annotations)


def test_close_nodules_are_told_apart():
    left, right = (10, 20, 10, 20), (10, 20, 22, 30)  # 2 pixels apart, under the first tolerance
    nodules, crowded = group_annotations(scan_of(left, right, left, right, left, right))
    assert [len(nodule.annotations) for nodule in nodules] == [3, 3]
    assert crowded == 0
    np.testing.assert_array_equal(nodules[0].centre, [15, 15])
    nodules, crowded = group_annotations(scan_of(left, right, left))
    assert [len(nodule.annotations) for nodule in nodules] == [3]
    nodules, crowded = group_annotations(scan_of(*[left] * 5, (40, 45, 40, 45)))
    assert ([nodule.index for nodule in nodules], crowded) == ([1], 1)


def test_an_interrupted_run_goes_on(raw, monkeypatch):
    whole = members(prepare(**raw))
    calls = []

    def stop_at_second(scan, *rest):
        calls.append(scan.series_uid)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return records.scan_records(scan, *rest)

    monkeypatch.setattr(partial, "scan_records", stop_at_second)
    again = raw | dict(output=raw["output"].with_name("again"))
    with pytest.raises(KeyboardInterrupt, match="stopped after 1 of 3 scans"):
        prepare(**again)
    (again["output"] / "partial" / "1.2.2.npz").write_bytes(b"PK damaged")
    resumed = members(prepare(**again))
    assert calls == ["1.2.1", "1.2.2", "1.2.2", "1.2.3"]
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(ValueError, match="output: .* holds lidc_train_48.npz, .*, lidc_test_48.npz already"):
        prepare(**again)


def test_scans_made_with_other_settings_are_made_again(raw, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_bundles", lambda *_: [])
        prepare(**raw, say=lambda _: None)
    assert members(prepare(**raw | dict(size=32)))["images"].shape[1:] == (32, 32)


def test_a_given_split_is_followed(raw, tmp_path):
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["LIDC-IDRI-0003"], "val": ["LIDC-IDRI-0001"], "test": []}))
    told = []
    train, val = prepare(**raw, split=split, say=told.append)
    assert set(np.load(train)["patient"]) == {"LIDC-IDRI-0003"}
    assert set(np.load(val)["patient"]) == {"LIDC-IDRI-0001"}
    assert told == [
        "1 scans are of patients that the split does not name",
        "test has no record; lidc_test_48.npz is not written",
    ]


def test_what_is_not_there_is_told(raw):
    for file in (raw["dicom"] / "LIDC-IDRI-0002").rglob("*.dcm"):
        file.unlink()
    (raw["dicom"] / "LIDC-IDRI-0003" / "ct" / "1-001.dcm").unlink()
    told = []
    paths = prepare(**raw, say=told.append)
    assert len(members(paths)["images"]) == 3
    assert told[0] == "1 of 3 annotated scans have no DICOM files here"
    assert told[1] == "1 outlined slices are missing from their series"


@pytest.mark.parametrize("end", [100, -1000])
def test_broken_files_are_named_and_the_rest_is_kept(raw, end):
    file = raw["dicom"] / "LIDC-IDRI-0002" / "ct" / "1-000.dcm"
    content = file.read_bytes()
    file.write_bytes(content[:end])
    with pytest.raises(ValueError, match=r"dicom: cannot read these.*LIDC-IDRI-0002.ct.1-000.dcm"):
        prepare(**raw)
    file.write_bytes(content)
    assert len(members(prepare(**raw))["images"]) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(size=0), "size: got 0"),
        (dict(spacing=float("nan")), "spacing: got nan"),
        (dict(shares=(0, 0, 0)), "shares: got"),
        (dict(seed=-1), "seed: got -1"),
        (dict(dicom="{}/nothing"), "dicom: no .*dcm under"),
        (dict(dicom="{}/other"), "dicom: .* holds no series of"),
        (dict(database="{}/nothing"), "database: no file"),
        (dict(database="{}/text"), "database: .* is damaged or no SQLite"),
        (dict(database="{}/lacking"), "database: .* has no table scans of stored values"),
        (dict(database="{}/short"), "database: .* has no scans.patient_id"),
        (dict(split="{}/nothing"), "split: no file"),
        (dict(split="{}/text"), "split: .* is truncated or not JSON"),
        (dict(split="{}/half.json"), "split: .* holds .'train'.; expected"),
        (dict(split="{}/twice.json"), "split: .* has a twice"),
    ],
)
def test_unusable_input_is_named(raw, tmp_path, change, message):
    write_series(tmp_path / "other", "1.2.9")
    (tmp_path / "text").write_text("no database, no JSON" * 100)
    (tmp_path / "half.json").write_text('{"train": []}')
    (tmp_path / "twice.json").write_text('{"train": ["a"], "val": ["a"], "test": []}')
    sqlite3.connect(tmp_path / "lacking").execute("CREATE TABLE scan (id INTEGER)")
    sqlite3.connect(tmp_path / "short").execute("CREATE TABLE scans (id INTEGER, series_instance_uid TEXT)")
    change = {key: value.format(tmp_path) if isinstance(value, str) else value for key, value in change.items()}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepare(**raw | change)
    assert not raw["output"].exists()


def test_the_command(raw, capsys):
    given = [f"--{name}={raw[name]}" for name in ("dicom", "database", "output", "size")]
    assert main(["prepare", "lidc", *given, "--shares", "1", "1", "1"]) == 0
    assert capsys.readouterr().out.split() == [str(raw["output"] / f"lidc_{part}_48.npz") for part in run.PARTS]
    assert main(["prepare", "lidc", *given]) == 2
    assert "fastpunet prepare: output:" in capsys.readouterr().err


def test_the_database_is_read_as_it_is(raw):
    scan = read_database(raw["database"])[0]
    assert (scan.series_uid, scan.patient, scan.slice_thickness_mm) == ("1.2.1", "LIDC-IDRI-0001", 5)
    assert [annotation.malignancy for annotation in scan.annotations] == [2, 3]
    np.testing.assert_array_equal(scan.z_mm, Z_MM)
    np.testing.assert_array_equal(scan.annotations[0].contours[0].points, outline(*BOX))


def test_the_recipes_find_their_files(raw):
    """What `prepare lidc` writes by default is what the LIDC recipes ask for."""
    names = {path.name for path in prepare(**raw | dict(size=128))}
    wanted = [read_config(name) for name in recipes() if name.startswith("lidc")]
    assert {name for config in wanted for name in (config.file, config.validation)} <= names
    train, tiny = (lidc.read_npz(raw["output"] / name) for name in ("lidc_train_128.npz", "lidc_tiny_train_64.npz"))
    np.testing.assert_array_equal(tiny[1].image, train[1].image[:, 32:96, 32:96])
    np.testing.assert_array_equal(tiny[1].masks, train[1].masks[:, 32:96, 32:96])
    assert tiny[1].masks.any()
    assert (tiny[1].name, tiny[1].slice, tiny[1].spacing) == (train[1].name, 1, (0.5, 0.5))


@pytest.mark.parametrize("part", ["val", "test"])  # train takes ten seconds
def test_small_bundles_are_those_of_the_published_weights(data_root, tmp_path, part):
    made = np.load(write_tiny(data_root / "lidc" / f"lidc_{part}_128.npz", part, tmp_path))
    published = np.load(data_root / "lidc" / f"lidc_tiny_{part}_64.npz")
    assert set(made.files) == set(published.files)
    for name in published.files:
        np.testing.assert_array_equal(made[name], published[name], err_msg=name)

"""Raw LIDC-IDRI to bundles, on small phantoms with the real schema."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from fastpunet.cli import main
from fastpunet.data import lidc

pydicom = pytest.importorskip("pydicom")

from fastpunet.data.lidc.prepare import prepare, records, run  # noqa: E402
from fastpunet.data.lidc.prepare.database import Annotation, Contour, Scan, read_database  # noqa: E402
from fastpunet.data.lidc.prepare.nodules import group_annotations  # noqa: E402
from fastpunet.data.lidc.prepare.outlines import fill  # noqa: E402

SCHEMA = """
CREATE TABLE scans (id INTEGER NOT NULL, study_instance_uid VARCHAR, series_instance_uid VARCHAR, patient_id VARCHAR,
    slice_thickness FLOAT, pixel_spacing FLOAT, contrast_used BOOLEAN, is_from_initial BOOLEAN,
    sorted_dicom_file_names VARCHAR, PRIMARY KEY (id));
CREATE TABLE annotations (id INTEGER NOT NULL, scan_id INTEGER, _nodule_id VARCHAR, subtlety INTEGER,
    "internalStructure" INTEGER, calcification INTEGER, sphericity INTEGER, margin INTEGER, lobulation INTEGER,
    spiculation INTEGER, texture INTEGER, malignancy INTEGER, PRIMARY KEY (id));
CREATE TABLE contours (id INTEGER NOT NULL, annotation_id INTEGER, inclusion BOOLEAN, image_z_position FLOAT,
    dicom_file_name VARCHAR, coords VARCHAR, PRIMARY KEY (id));
CREATE TABLE zvals (id INTEGER NOT NULL, scan_id INTEGER, val FLOAT, PRIMARY KEY (id));
"""
Z_MM = (-10.0, -7.5, -5.0)
BOX = (20, 41, 30, 47)  # first and last row and column of an outline
PHANTOM = np.full((64, 80), -1000)
PHANTOM[21:41, 31:47] = 50  # what BOX encloses
PHANTOM[10:13, 50:55] = 400  # makes it asymmetric


def outline(top, bottom, left, right):
    """(P, 2) pixels along a rectangle."""
    down, across = np.arange(top, bottom), np.arange(left, right)
    sides = [(0 * across + top, across), (down, 0 * down + right)]
    sides += [(0 * across + bottom, across[::-1] + 1), (down[::-1] + 1, 0 * down + left)]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def write_database(path, scans):
    """scans: list of (uid, patient, annotations); annotations: lists of (z, inclusion, points)."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        for scan, (uid, patient, annotations) in enumerate(scans):
            connection.execute("INSERT INTO scans VALUES (?,'',?,?,5,0.5,0,0,'')", (scan, uid, patient))
            connection.executemany("INSERT INTO zvals (scan_id, val) VALUES (?,?)", [(scan, z) for z in Z_MM])
            for place, contours in enumerate(annotations):
                cursor = connection.execute(
                    "INSERT INTO annotations (scan_id, malignancy) VALUES (?,?)", (scan, place + 2)
                )
                for z, inclusion, points in contours:
                    coords = "\n".join(f"{x},{y}" for y, x in points)
                    connection.execute(
                        "INSERT INTO contours (annotation_id, inclusion, image_z_position, coords) VALUES (?,?,?,?)",
                        (cursor.lastrowid, inclusion, z, coords),
                    )


def write_series(folder, uid, native_mm=(0.5, 0.5), z_mm=Z_MM):
    """A slice for each z, all PHANTOM."""
    folder.mkdir(parents=True)
    pixels = ((PHANTOM + 1000) // 2).astype(np.int16)
    for number, z in enumerate(z_mm):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = pydicom.uid.CTImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = pydicom.uid.generate_uid()
        data.SeriesInstanceUID, data.InstanceNumber = uid, number
        data.ImagePositionPatient, data.PixelSpacing = [0, 0, z], list(native_mm)
        data.Rows, data.Columns = pixels.shape
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 1
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.RescaleSlope, data.RescaleIntercept = 2, -1000
        data.PixelData = pixels.tobytes()
        data.save_as(folder / f"1-{number:03}.dcm", enforce_file_format=True)


@pytest.fixture
def raw(tmp_path):
    """Three patients of one nodule each, which two graders outlined; the second on one slice only."""
    twice = [[(z, 1, outline(*BOX)) for z in Z_MM[:2]], [(Z_MM[1], 1, outline(*BOX))]]
    write_database(tmp_path / "db.sqlite", [(f"1.2.{i}", f"LIDC-IDRI-000{i}", twice) for i in (1, 2, 3)])
    for i in (1, 2, 3):
        write_series(tmp_path / "dicom" / f"LIDC-IDRI-000{i}" / "ct", f"1.2.{i}")
    (tmp_path / "dicom" / "LICENSE").write_text("not an image")
    return dict(
        dicom=tmp_path / "dicom", database=tmp_path / "db.sqlite", output=tmp_path / "out", shares=(1, 1, 1), size=48
    )


def members(paths):
    bundles = [np.load(path) for path in paths]
    return {name: np.concatenate([bundle[name] for bundle in bundles]) for name in bundles[0].files}


def test_images_and_masks_lie_where_they_were_outlined(raw):
    told = []
    paths = prepare(**raw, say=told.append)
    assert [path.name for path in paths] == ["lidc_train.npz", "lidc_val.npz", "lidc_test.npz"]
    assert not told
    assert sorted(path.name for path in raw["output"].iterdir()) == ["lidc_test.npz", "lidc_train.npz", "lidc_val.npz"]
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
    bundle = members(prepare(**raw | dict(size=96)))
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

    monkeypatch.setattr(run, "scan_records", stop_at_second)
    again = raw | dict(output=raw["output"].with_name("again"))
    with pytest.raises(KeyboardInterrupt, match="stopped after 1 of 3 scans"):
        prepare(**again)
    (again["output"] / "partial" / "1.2.2.npz").write_bytes(b"PK damaged")
    resumed = members(prepare(**again))
    assert calls == ["1.2.1", "1.2.2", "1.2.2", "1.2.3"]
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(ValueError, match="output: .* holds lidc_train.npz, lidc_val.npz, lidc_test.npz already"):
        prepare(**again)


def test_scans_made_with_other_settings_are_made_again(raw, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(run, "_write_bundles", lambda *_: [])
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
        "test has no record; lidc_test.npz is not written",
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
        (dict(database="{}/lacking"), "database: .* has no scans.id"),
        (dict(split="{}/nothing"), "split: no file"),
        (dict(split="{}/text"), "split: .* is no JSON"),
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
    change = {key: value.format(tmp_path) if isinstance(value, str) else value for key, value in change.items()}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        prepare(**raw | change)
    assert not raw["output"].exists()


def test_the_command(raw, capsys):
    given = [f"--{name}={raw[name]}" for name in ("dicom", "database", "output", "size")]
    assert main(["prepare", "lidc", *given, "--shares", "1", "1", "1"]) == 0
    assert capsys.readouterr().out.split() == [str(raw["output"] / f"lidc_{part}.npz") for part in run.PARTS]
    assert main(["prepare", "lidc", *given]) == 2
    assert "fastpunet prepare: output:" in capsys.readouterr().err


def test_the_database_is_read_as_it_is(raw):
    scan = read_database(raw["database"])[0]
    assert (scan.series_uid, scan.patient, scan.slice_thickness_mm) == ("1.2.1", "LIDC-IDRI-0001", 5)
    assert [annotation.malignancy for annotation in scan.annotations] == [2, 3]
    np.testing.assert_array_equal(scan.z_mm, Z_MM)
    np.testing.assert_array_equal(scan.annotations[0].contours[0].points, outline(*BOX))

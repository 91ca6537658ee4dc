"""Databases and DICOM files of LIDC-IDRI that are damaged, or made to fill the memory or never to end."""

import sqlite3
from contextlib import closing

import pytest

pydicom = pytest.importorskip("pydicom")

from helpers import lidc_phantom  # noqa: E402

from fastpunet.data.lidc.prepare import prepare  # noqa: E402
from fastpunet.data.lidc.prepare.database import read_database  # noqa: E402


@pytest.fixture
def raw(tmp_path):
    return lidc_phantom.write_raw(tmp_path)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE scans SET slice_thickness = 1e300", "slice_thickness 1e.300, expected a number in 0 .. 100"),
        ("UPDATE scans SET slice_thickness = NULL", "slice_thickness None"),
        ("UPDATE contours SET coords = '1,2' || char(10) || '9999999999999,3'", "coords from 1 to 9999999999999"),
        ("UPDATE contours SET coords = '99999999999999999999999,3'", "is damaged"),
        ("UPDATE contours SET coords = 7", "is damaged"),
        ("UPDATE contours SET coords = ''", "is damaged"),
        ("UPDATE contours SET image_z_position = 'low'", "image_z_position 'low'"),
        ("UPDATE annotations SET malignancy = 700", "malignancy 700"),
        ("UPDATE scans SET patient_id = x'00ff'", "patient_id of type bytes"),
        ("DELETE FROM zvals", "has annotations, but no slices or outlines"),
        ("DELETE FROM contours", "has annotations, but no slices or outlines"),
    ],
)
def test_values_that_no_ct_has_are_refused(raw, statement, message):
    with closing(sqlite3.connect(raw["database"])) as connection, connection:
        connection.execute(statement)
    with pytest.raises(ValueError, match=message) as caught:
        read_database(raw["database"])
    assert "\n" not in str(caught.value)


def test_views_that_never_end_are_refused(raw):
    with closing(sqlite3.connect(raw["database"])) as connection, connection:
        connection.execute("ALTER TABLE zvals RENAME TO once")
        connection.execute(  # ten million million rows
            "CREATE VIEW zvals AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1e13) "
            "SELECT 0 AS id, 0 AS scan_id, i AS val FROM n"
        )
    with pytest.raises(ValueError, match="has no table zvals of stored values"):
        read_database(raw["database"])


def test_dicom_files_that_unpack_to_too_much_are_named(raw):
    file = next(raw["dicom"].rglob("*.dcm"))
    data = pydicom.dcmread(file)
    data.Rows = data.Columns = 65535
    data.save_as(file)
    with pytest.raises(ValueError, match="cannot read these.*dcm .claims to unpack to 32,767 MiB"):
        prepare(**raw)
    data.Rows, data.Columns = lidc_phantom.PHANTOM.shape
    data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    data.save_as(file)
    with pytest.raises(ValueError, match="cannot read these.*dcm .has the deflated transfer syntax"):
        prepare(**raw)

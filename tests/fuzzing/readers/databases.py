"""The database of LIDC-IDRI's annotations."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from helpers import lidc_phantom
from helpers.mutated_files import read_scans

from fuzzing.target import Target


def _seeds():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA page_size = 512")
            connection.execute("VACUUM")
        corners = [[(z, 1, lidc_phantom.outline(1, 3, 1, 3)) for z in lidc_phantom.Z_MM[:2]]]
        lidc_phantom.write_database(path, [("1.2", "LIDC-IDRI-0001", corners)])
        return [path.read_bytes()]


def targets():
    yield Target("database", "x.sqlite", read_scans, _seeds)

"""Patients who are in two parts of a data set, so that scores of the one part say little of other patients."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from fastpunet.data.checking.report import Report, listed, several
from fastpunet.data.lazy import patients_of
from fastpunet.data.record import Records


def find_shared_patients(report: Report, parts: Mapping[str, Records]) -> None:
    """Note the patients, by their names, that two parts share. Images that are there twice are `find_duplicates`'."""
    patients = {name: set(filter(None, patients_of(records))) for name, records in parts.items()}
    for first, second in combinations(parts, 2):
        shared = sorted(patients[first] & patients[second])
        if shared:
            report.note(
                f"{several(len(shared), 'name')} of patients both in {first} and in {second}: {listed(shared)}; if they"
                " are the same people, scores of the one part are too good"
            )

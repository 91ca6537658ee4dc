"""Damaged files of every kind are taken or refused in one line; `python -m helpers.mutated_files 20000` tries more."""

import numpy as np
import pytest

pytest.importorskip("pydicom")

from helpers import mutated_files

_EACH = 12


@pytest.fixture(scope="module")
def cases():
    return mutated_files.cases()


def test_damaged_files_are_taken_or_refused_in_one_line(cases, tmp_path, capfd):
    outcomes = [
        mutated_files.check(tmp_path, case, np.random.default_rng([seed, place]))
        for place, case in enumerate(cases.values())
        for seed in range(_EACH)
    ]
    assert outcomes.count("refused") > len(outcomes) / 2  # the damage is such that readers notice it
    assert capfd.readouterr() == ("", "")

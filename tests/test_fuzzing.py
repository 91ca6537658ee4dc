"""What fuzzing starts from, what it found, and damage of both; `python tests/fuzzing/run.py` finds more."""

import os
import sys

import numpy as np
import pytest

pytest.importorskip("pydicom")
pytest.importorskip("zarr")

from fuzzing import readers
from fuzzing.contract import check
from fuzzing.target import KEPT
from helpers.mutated_files import mutate

pytestmark = pytest.mark.filterwarnings("ignore::fastpunet.warning.FastpunetWarning")  # readers may warn
_DAMAGED = 4  # inputs for each seed


@pytest.mark.parametrize("name", readers.NAMES)
def test_readers_keep_their_promise(name, tmp_path):
    target, rng = readers.target(name), np.random.default_rng(0)
    seeds = target.seeds()[:4]
    for data in [*seeds, *target.kept(), *(mutate(seed, rng) for seed in seeds for _ in range(_DAMAGED))]:
        assert check(target.read, target.write(data, tmp_path), target.refusals) is None


def test_every_kept_input_belongs_to_a_target():
    assert {path.name for path in KEPT.iterdir()} <= set(readers.NAMES)


def _runs(_):
    os.system("true")


def _writes(path):
    (path.parent.parent / "elsewhere").write_text("")


def _refuses(error):
    def read(_):
        raise error

    return read


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (lambda path: path.write_text("own"), None),
        (_refuses(ValueError("one line")), None),
        (_refuses(SystemExit(0)), None),
        (_refuses(ValueError("two\nlines")), "message at"),
        (_refuses(ValueError("")), "message at"),
        (_refuses(ValueError("x" * 2000)), "message at"),
        (_refuses(KeyError("a")), "KeyError at"),
        (_refuses(RecursionError("deep")), "RecursionError at"),
        (_runs, "executed os.system"),
        (_writes, "executed open"),
    ],
)
def test_broken_promises_are_found(read, kind, tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "file"
    path.write_bytes(b"")
    found = check(read, path)
    assert (found is None) if kind is None else found.kind.startswith(kind)


@pytest.mark.slow
def test_fuzzing_runs(tmp_path):
    pytest.importorskip("atheris")
    import subprocess

    command = [sys.executable, "tests/fuzzing/run.py", "--seconds", "2", "--target", "split", "--folder", tmp_path]
    done = subprocess.run(command, cwd=readers.__file__.partition("tests")[0], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "executions" in done.stdout
    assert list((tmp_path / "split" / "corpus").iterdir())

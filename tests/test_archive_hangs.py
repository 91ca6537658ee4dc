"""Archives of images for which nothing goes on: they are given up, and the rest is drawn."""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("zarr")
pytest.importorskip("pyarrow")
from helpers.killing import REQUEST, contents, sample
from helpers.small_model import save_pictures, save_small_model

from fastpunet.archive.committing import sweep
from fastpunet.archive.tries import Tries
from fastpunet.prediction.archiving import work
from fastpunet.prediction.archiving.life import GivenUp
from fastpunet.prediction.archiving.run import run_archive
from fastpunet.prediction.archiving.turns import Turns

SOURCES = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "in", 12)


@pytest.fixture(scope="module")
def undisturbed(model, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "a.zarr"
    sample(model, images, path)
    return path


def _hang(monkeypatch, names, seconds):
    """Reading images of these names takes long, in a system call; how many were begun and not given back is counted."""
    prepare = work.prepare

    def slow(source, *arguments):
        if source.name in names:
            select.select([], [], [], seconds)
        return prepare(source, *arguments)

    monkeypatch.setattr(work, "prepare", slow)


def test_an_image_that_hangs_is_given_up_and_the_rest_is_drawn(model, images, undisturbed, tmp_path, monkeypatch):
    _hang(monkeypatch, {"case03", "case07", "case08", "case09", "case11"}, 60)  # more than there are threads
    path, said = tmp_path / "a.zarr", []
    began = time.monotonic()
    tally = run_archive(model, [images], path, REQUEST, stall_seconds=3, say=said.append)
    assert time.monotonic() - began < 50
    assert tally == {"done": 7, "failed": 5}
    (first, *_) = [one for one in said if one.status == "failed"]
    assert "nothing was done for it for 3 s" in first.message
    lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    assert {line["name"] for line in lines} == {"case03", "case07", "case08", "case09", "case11"}
    monkeypatch.undo()
    assert run_archive(model, [images], path, REQUEST, skip_existing=True) == {"done": 5, "kept": 7}
    assert contents(path) == contents(undisturbed)


def test_what_was_given_up_writes_nothing_later(model, images, tmp_path, monkeypatch):
    _hang(monkeypatch, {"case01"}, 5)
    inputs = [images / "case00.png", images / "case01.png"]
    assert run_archive(model, inputs, tmp_path / "a.zarr", REQUEST, stall_seconds=2) == {"done": 1, "failed": 1}
    there = contents(tmp_path / "a.zarr")
    time.sleep(4)
    assert contents(tmp_path / "a.zarr") == there


def test_a_thread_that_hangs_while_it_computes_loses_its_turn():
    turns, waits = Turns(1), []
    entered, leave = threading.Event(), threading.Event()

    def hang():
        with turns.one(lambda: None):
            entered.set()
            leave.wait()

    hanging = threading.Thread(target=hang)
    hanging.start()
    entered.wait()

    def waiting():
        waits.append(True)
        turns.take_from(hanging)

    for _ in range(2):
        with turns.one(waiting):
            pass
    assert waits == [True]
    leave.set()
    hanging.join()
    with turns.one(waiting), pytest.raises(GivenUp), turns.one(_given_up):
        pass


def _given_up():
    raise GivenUp


def test_a_process_with_a_thread_that_hangs_ends(model, images, tmp_path):
    out = str(tmp_path / "a.zarr")
    code = f"""
import ctypes, sys
from fastpunet.cli import main
from fastpunet.archive.committing import sweep
from fastpunet.archive.tries import Tries
from fastpunet.prediction.archiving import work
prepare = work.prepare
def slow(source, *rest):
    if source.name == "case01":
        ctypes.CDLL(None).sleep(600)
    return prepare(source, *rest)
work.prepare = slow
sys.exit(main(["sample", {str(model)!r}, {str(images)!r}, "-o", {out!r}, "-n", "4", "--stall-seconds", "9"]))
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "11 of 12 images have hypotheses" in done.stdout
    assert "case01: nothing was done for it for 9 s" in done.stderr


def test_seconds_that_are_none_are_refused(model, images, tmp_path):
    for seconds in (0, -1, float("nan"), "ten"):
        with pytest.raises(ValueError, match="^stall_seconds: got .*, expected a positive number of seconds"):
            run_archive(model, [images], tmp_path / "a.zarr", REQUEST, stall_seconds=seconds)


def test_tries_count_unless_they_end(tmp_path):
    tries = Tries(tmp_path)
    assert tries.before("a") == 0
    with tries.one("a"):
        with tries.one("b"):
            assert (tries.before("a"), tries.before("b")) == (1, 1)
        assert Tries(tmp_path).before("b") == 0
        with contextlib.suppress(ValueError), tries.one("b"):
            raise ValueError
    assert (tries.before("a"), tries.before("b")) == (0, 0)
    for count in range(1, 4):
        subprocess.run([sys.executable, "-c", _ENDS.format(folder=str(tmp_path))], check=False, env=environment())
        assert tries.before("a") == count
    sweep(tmp_path)
    assert tries.before("a") == 0


_ENDS = """
import os
from pathlib import Path
from fastpunet.archive.tries import Tries
with Tries(Path({folder!r})).one("a"):
    os._exit(9)
"""


def environment():
    paths = os.pathsep.join((str(SOURCES), str(SOURCES / "kernels"), os.environ.get("PYTHONPATH", "")))
    return os.environ | {"PYTHONPATH": paths}

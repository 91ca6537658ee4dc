"""The walks of docs/contributing work as they stand: followed in a copy of the tree, their tests pass."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers.walks import commands, follow
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = ("method", "metric", "dataset", "reader", "kernel")
PLACES = {"method": 2, "metric": 4, "dataset": 3, "reader": 6, "kernel": 10}  # files, those of tests included

TESTS = """
import shlex, sys, pytest
for command in sys.stdin.read().splitlines():
    status = pytest.main(["-q", "-p", "no:cacheprovider", *shlex.split(command)])
    print(f"status {int(status)} of {command}")
"""
COMMANDS = """
import torch
from fastpunet import cli, models, save
save(models.NoisyUNet(channels=(4, 6), convs_per_block=1), "noisy.safetensors")
for command in ("info noisy.safetensors", "check table.csv", "evaluate noisy.safetensors --data table.csv -n 4",
                "sample noisy.safetensors scan.pgm -n 4 -o answers"):
    print(f"+ {command}", flush=True)
    assert cli.main(command.split()) == 0
"""


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A copy in which all walks have been followed, and the changed files. Nothing is compiled."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("fastpunet", "kernels", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "corpus", ".fuzzing"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    changed = {page: follow(ROOT / "docs" / "contributing" / f"{page}.md", tree) for page in PAGES}
    assert {page: len(files) for page, files in changed.items()} == PLACES
    return tree, [path for files in changed.values() for path in files]


@pytest.fixture
def tree(walked):
    return walked[0]


def _run(tree, code, said=""):
    paths = os.pathsep.join((str(tree), str(tree / "kernels")))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tree,
        input=said,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tests_that_they_name_pass(tree):
    wanted = [line for page in PAGES for line in commands(ROOT / "docs" / "contributing" / f"{page}.md")]
    tests = [line.removeprefix("pytest ") for line in wanted if line.startswith("pytest ")]
    tests = [
        f"-k 'not native' {line}" if "votes" in line else line for line in tests
    ]  # which would have to be compiled
    told = _run(tree, TESTS, "\n".join(tests))
    assert re.findall(r"^status (\d) of", told, re.MULTILINE) == ["0"] * len(tests), told
    assert len(re.findall(r"\d+ passed", told)) == len(tests) >= len(PAGES)


@pytest.mark.skipif(find_spec("ruff") is None, reason="no ruff")
@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")])
def test_the_linter_has_nothing_to_say(walked, arguments):
    files = [path for path in walked[1] if path.suffix == ".py"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_line_knows_what_was_added(tree):
    pixels, mask = np.arange(64, dtype=np.uint8).reshape(8, 8), np.eye(8, dtype=np.uint8)
    Image.fromarray(pixels).save(tree / "scan.png")
    Image.fromarray(mask).save(tree / "mask.png")
    (tree / "scan.pgm").write_bytes(b"P5 8 8 63 " + pixels.tobytes())
    (tree / "table.csv").write_text("image,mask,patient\nscan.png,mask.png,a\nscan.png,mask.png,a\n")
    info, check, evaluation, sample = _run(tree, COMMANDS).split("\n+ ")
    assert "NoisyUNet" in info
    assert re.search(r"^masks +2 per image$", check, re.MULTILINE)
    assert re.search(r"area of hypotheses minus graders', pixels", evaluation)
    assert (tree / "answers" / "scan").is_dir(), sample


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_the_kernel_for_cpus_compiles(tree):
    pybind11 = pytest.importorskip("pybind11")
    includes = [f"-I{folder}" for folder in (pybind11.get_include(), sysconfig.get_path("include"))]
    native = tree / "kernels" / "fastpunet_kernels" / "native"
    files = [str(native / name) for name in ("votes.cpp", "bindings.cpp")]
    subprocess.run(["g++", "-std=c++17", "-fopenmp", "-fsyntax-only", "-Wall", *includes, *files], check=True)

"""Runs every code block of the pages, page by page, in a folder of the page's own.

The Python blocks of a page share their variables, and the bash blocks are run by bash. A block that cannot run in a
test has the reason in a comment before it: <!-- skip: next "trains for an hour" -->. What is not meant to be run as
it stands, such as a command with placeholders, is a block of text.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

collect_ignore = ["conf.py", "conftest.py", "_extensions", "contributing/draw_house.py"]  # they have no tests

BIN = Path(sys.executable).parent
SOURCES = Path(__file__).parents[1]


def run_bash(example: Example) -> None:
    paths = {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join((str(SOURCES), str(SOURCES / "kernels"))),
    }
    command = ["bash", "-euo", "pipefail", "-c", example.parsed]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | paths, check=False)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"


def enter_folder(namespace: dict[str, Any]) -> None:
    namespace["_folder"] = tempfile.TemporaryDirectory()
    namespace["_before"] = Path.cwd()
    os.chdir(namespace["_folder"].name)


def leave_folder(namespace: dict[str, Any]) -> None:
    os.chdir(namespace["_before"])
    namespace["_folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[
        SkipParser(),
        PythonCodeBlockParser(),
        CodeBlockParser("bash", run_bash),
    ],
    patterns=["*.md"],
    excludes=["contributing/*.md"],  # tests/test_walks.py follows these
    setup=enter_folder,
    teardown=leave_folder,
).pytest()

"""Runs every code block of the pages, page by page, in a folder of the page's own.

The Python blocks of a page share their variables, and the bash blocks are run by bash. A console block has what the
Python block before it prints, with "..." in place of an end that is left out. A block that cannot run in a test has
the reason in a comment before it: <!-- skip: next "trains for an hour" -->. What is not meant to be run as it stands,
such as a command with placeholders, is a block of text.
"""

import io
import math
import os
import re
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

collect_ignore = ["conf.py", "conftest.py", "_extensions", "contributing/draw_house.py"]  # they have no tests

BIN = Path(sys.executable).parent
SOURCES = Path(__file__).parents[1]


def run_python(example: Example) -> None:
    with redirect_stdout(io.StringIO()) as printed:
        PythonEvaluator()(example)
    example.namespace["_printed"] = printed.getvalue()


def check_printed(example: Example) -> None:
    """Words must be the same; numbers may differ a little, as they do between processors."""
    printed, said = example.namespace["_printed"], example.parsed.strip()
    (words, numbers), (said_words, said_numbers) = _split(printed), _split(said.removesuffix("..."))
    if said.endswith("..."):
        words, numbers = words[: len(said_words)], numbers[: len(said_numbers)]
    close = len(numbers) == len(said_numbers) and all(
        math.isclose(own, other, rel_tol=0.1, abs_tol=1) for own, other in zip(numbers, said_numbers, strict=True)
    )
    same = words == said_words and close
    assert same, f"the page says\n{said}\nbut this is printed\n{printed}"


def _split(text: str) -> tuple[str, list[float]]:
    """The words, with # for each number, and the numbers."""
    number = re.compile(r"\d[\d,]*(?:\.\d+)?")
    return " ".join(number.sub("#", text).split()), [float(n.replace(",", "")) for n in number.findall(text)]


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
        CodeBlockParser("python", run_python),
        CodeBlockParser("console", check_printed),
        CodeBlockParser("bash", run_bash),
    ],
    patterns=["*.md"],
    excludes=["contributing/*.md"],  # tests/test_walks.py follows these
    setup=enter_folder,
    teardown=leave_folder,
).pytest()

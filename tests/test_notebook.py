"""The notebook runs from start to end, and shows what it would show if it were run today."""

import re
from pathlib import Path

import nbformat
import pytest
from helpers.notebooks import execute

NOTEBOOK = Path(__file__).parents[1] / "examples" / "hypotheses.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def shown(notebook):
    """What each cell shows: kinds of pictures and tables, and printed text without its numbers."""
    return [
        [
            re.sub(r"[\d.]+", "#", output.text) if output.output_type == "stream" else sorted(output.data)
            for output in cell.get("outputs", [])
        ]
        for cell in notebook.cells
    ]


def test_the_file_is_small_and_without_warnings_errors_and_paths(notebook):
    nbformat.validate(notebook)
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 500_000
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert all(output.output_type in ("stream", "execute_result") for output in outputs)
    assert all(output.name == "stdout" for output in outputs if output.output_type == "stream")
    assert not re.search(r"/(tmp|home|root|work)/", text)


@pytest.mark.slow
def test_it_runs_and_shows_what_the_file_shows(notebook, tmp_path):
    before = shown(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    execute(notebook, tmp_path)
    assert shown(notebook) == before

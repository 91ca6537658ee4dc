"""The examples are short, run, and show what they say."""

import csv
import re
import runpy
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from helpers.notebooks import execute
from PIL import Image

from fastpunet.data.lesions import SyntheticLesions

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
MOST_LINES = 60
notebooks = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


def _run(name, *arguments):
    return runpy.run_path(str(EXAMPLES / name), run_name="imported")["main"](*arguments)


def test_there_are_five_scripts_and_two_notebooks_which_the_readme_lists():
    assert (len(SCRIPTS), len(NOTEBOOKS)) == (5, 2)
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([\w./]+)\]\(\1\)", text, re.MULTILINE)
    assert {file.name for file in (*SCRIPTS, *NOTEBOOKS)} <= set(listed)
    assert all((EXAMPLES / name).exists() for name in listed)


@pytest.mark.parametrize(
    "file", [*SCRIPTS, *EXAMPLES.glob("integrations/*.py"), *NOTEBOOKS], ids=lambda file: file.name
)
def test_an_example_is_short(file):
    if file.suffix == ".ipynb":
        cells = nbformat.read(file, as_version=4).cells
        lines = [line for cell in cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    else:
        lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) < MOST_LINES


def test_a_folder_of_pictures_becomes_a_table_and_modes(tmp_path):
    pictures, cases = tmp_path / "pictures", SyntheticLesions(2, seed=1)[:]
    pictures.mkdir()
    for number, case in enumerate(cases):
        Image.fromarray((255 * case.image[0]).astype(np.uint8)).save(pictures / f"scan{number}.png")
    table = _run("sample_a_folder.py", pictures, tmp_path / "answers", 0.5)
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [row["picture"] for row in rows] == ["scan0", "scan1"]
    for case, row in zip(cases, rows, strict=True):
        assert float(row["anything"]) == pytest.approx(1 - case.weights[0], abs=0.25)
        assert 0 < float(row["15 mm or more"]) < float(row["anything"])
        modes = re.findall(r"(\d+)% (\d+) mm2", row["modes"])
        assert sum(int(share) for share, _ in modes) == pytest.approx(100, abs=2)
        for number, (_, area) in enumerate(modes):
            mask = np.asarray(Image.open(tmp_path / "answers" / f"{row['picture']}_modes-{number:04}.png"))
            assert int(area) == pytest.approx(mask.sum() * 0.25, abs=0.51)


def test_a_model_of_the_port_has_the_same_distribution_as_its_own_loop():
    found = _run("port_model.py", 200, 8)
    assert found["fastpunet"] == pytest.approx(found["own loop"], abs=0.02)
    assert 0 < found["fastpunet"] < 0.3


def test_a_network_of_another_library_is_trained_and_loaded(capsys, monkeypatch):
    pytest.importorskip("monai")
    monkeypatch.setattr(sys, "argv", ["own_unet.py", "monai", "8"])
    runpy.run_path(str(EXAMPLES / "own_unet.py"), run_name="__main__")
    first, last = re.search(r"(\d+) nats at first, (\d+) after 8 steps", (out := capsys.readouterr().out)).groups()
    assert int(last) < int(first)
    assert "equal after loading: True" in out


def test_stored_hypotheses_are_scored_and_found_worse_than_the_model(tmp_path):
    example = runpy.run_path(str(EXAMPLES / "score_stored.py"), run_name="imported")
    table, difference = example["main"](*example["write_example"](tmp_path))
    assert re.search(r"^\| n = 16 \| thresholds \| lesions \|$", table, re.MULTILINE)
    values = re.search(r"^\| energy distance, V, expected ↓ \| (\S+) \[.*\] \| (\S+) \[", table, re.MULTILINE)
    theirs, ours = map(float, values.groups())
    assert theirs - ours == pytest.approx(difference.value, abs=0.001)
    assert difference.low > 0
    assert difference.p < 0.01


def _shown(notebook):
    """What each cell shows: kinds of pictures and tables, and printed text without its numbers."""
    return [
        [
            re.sub(r"[\d.]+", "#", output.text) if output.output_type == "stream" else sorted(output.data)
            for output in cell.get("outputs", [])
        ]
        for cell in notebook.cells
    ]


@notebooks
def test_a_notebook_is_small_and_without_warnings_errors_and_paths(file):
    notebook, text = nbformat.read(file, as_version=4), file.read_text(encoding="utf-8")
    nbformat.validate(notebook)
    assert len(text) < 500_000
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs
    assert all(output.output_type in ("stream", "execute_result", "display_data") for output in outputs)
    assert all(output.name == "stdout" for output in outputs if output.output_type == "stream")
    assert not re.search(r"/(tmp|home|root|work)/", text)


@pytest.mark.slow
@notebooks
def test_a_notebook_runs_and_shows_what_its_file_shows(file, tmp_path):
    notebook = nbformat.read(file, as_version=4)
    before = _shown(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    execute(notebook, tmp_path)
    assert _shown(notebook) == before

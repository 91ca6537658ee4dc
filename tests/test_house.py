"""The picture of the house is that of the layers which CI enforces, and no room is left out of them."""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("importlinter")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def house():
    place = ROOT / "docs" / "contributing" / "draw_house.py"
    spec = importlib.util.spec_from_file_location("draw_house", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_that_of_the_layers_and_docstrings(house):
    drawn = house.svg()
    assert drawn == house.PICTURE.read_text(encoding="utf-8"), "run python docs/contributing/draw_house.py"
    assert all(f">{room.removeprefix('fastpunet.')}<" in drawn for layer in house.layers() for room in layer)


def test_every_module_has_a_layer_and_a_purpose(house):
    rooms = {
        path.stem for path in (ROOT / "fastpunet").iterdir() if (path / "__init__.py").exists() or path.suffix == ".py"
    }
    named = [room for layer in house.layers() for room in layer]
    assert {f"fastpunet.{room}" for room in rooms - {"__init__"}} | {"fastpunet_kernels"} == set(named)
    assert all(map(house.purpose, named))


def test_pre_commit_runs_the_tools_of_ci():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    scripts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / ".ci").iterdir() if path.is_file())
    for tool in ("ruff check", "ruff format", "codespell", "lint-imports", "mypy"):
        assert f"entry: {tool}" in hooks
        assert re.search(rf'^step "\w+" {tool}\b', scripts, re.MULTILINE)


def test_issue_templates_ask_for_info():
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert len(forms) >= 2
    assert all("fastpunet info" in form.read_text(encoding="utf-8") for form in forms)

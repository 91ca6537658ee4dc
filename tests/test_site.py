"""The documentation as a site: built without a warning, and fit for phones."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastpunet.cli import COMMANDS

DOCS = Path(__file__).parents[1] / "docs"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("furo")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """The built page of every page in docs/."""
    return [site / path.relative_to(DOCS).with_suffix(".html") for path in sorted(DOCS.rglob("*.md"))]


def measured(chromium, pages, size, expression):
    """What a JavaScript expression gives on each page at this size of the window."""
    context = chromium.new_context(viewport=size, offline=True)
    tab = context.new_page()
    found = {}
    for page in pages:
        tab.goto(page.as_uri())
        found["/".join(page.parts[-2:])] = tab.evaluate(expression)
    context.close()
    return found


@pytest.mark.slow
def test_every_page_is_built(pages):
    assert len(pages) > 50
    assert [page.name for page in pages if not page.is_file()] == []


@pytest.mark.slow
def test_every_command_has_its_help(site):
    page = (site / "reference" / "command-line.html").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"usage: fastpunet {name} " not in page] == []
    assert "usage: fastpunet COMMAND" in page


@pytest.mark.slow
def test_no_page_scrolls_sideways_on_a_phone(chromium, pages):
    widths = measured(chromium, pages, PHONE, "document.documentElement.scrollWidth")
    assert {name: width for name, width in widths.items() if width > PHONE["width"]} == {}


@pytest.mark.slow
def test_long_pages_have_pictures_or_tables(chromium, pages):
    screens = f"document.documentElement.scrollHeight / {DESK['height']}"
    shown = "document.querySelectorAll('article img, article table').length"
    found = measured(chromium, pages, DESK, f"[{screens}, {shown}]")
    assert {name: long for name, (long, pictures) in found.items() if long > 2 and not pictures} == {}

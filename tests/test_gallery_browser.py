"""The index of a folder of pages in a real browser: sorting, searching, links, and that nobody is shut out."""

import base64
import json
from html import escape

import numpy as np
import pytest
from helpers.browsing import AXE, at, serious_findings

import fastpunet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.prediction.opening import Outcome
from fastpunet.reports.page.entry import Entry
from fastpunet.reports.page.existing import read_meta
from fastpunet.reports.page.gallery import INDEX, write_index
from fastpunet.reports.page.image_scores import ImageScores

HOSTILE = "</script><script>window.hacked = 1</script>\"'><img src=x onerror='window.hacked = 2'>"
LONG = "best IoU, which is good where it is high, and whose name is too long for a phone"
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four pages about lesions, one with a hostile name, with an index that has scores and a failure."""
    folder = tmp_path_factory.mktemp("site")
    names = {"case 10": "case 10", "case 9": "case 9", "%3Cb%3E#?": HOSTILE, "ümlaut": "ümlaut"}
    for place, (file, title) in enumerate(names.items()):
        fastpunet.report("lesions", SyntheticLesions(4, seed=2)[place], n=12, title=title).save(folder / f"{file}.html")
    ids = [read_meta(folder / f"{file}.html", "fastpunet-entry")["id"] for file in names]
    scores = ImageScores(
        8,
        {
            "expected_value": "energy distance",
            "best_iou": LONG,
        },
        {
            id: {"expected_value": value, "best_iou": 1 - value}
            for id, value in zip(ids[:3], (0.2, 0.9, 0.5), strict=True)
        },
    )
    write_index(folder, [Outcome("x", "failed", HOSTILE)], scores, [f"{file}.html" for file in names])
    return folder


@pytest.fixture
def tab(chromium, folder):
    with at(chromium, folder / INDEX) as tab:
        yield tab


def shown(tab):
    return tab.locator("#images > li:visible h2").all_inner_texts()


def entries(folder):
    found = [
        Entry.from_dict(read_meta(path, "fastpunet-entry")) for path in folder.glob("*.html") if path.name != INDEX
    ]
    return {entry.title: entry for entry in found}


def test_images_are_sorted_by_what_is_chosen(tab, folder):
    known = entries(folder)
    assert shown(tab) == ["case 9", HOSTILE, "case 10", "ümlaut"]  # the worst; without a score last
    choose = tab.get_by_label("Sort by")
    choose.select_option("most ambiguous")
    assert shown(tab) == sorted(known, key=lambda name: -known[name].ambiguity)
    choose.select_option("presence nearest to one half")
    distances = [abs(known[name].presence - 0.5) for name in shown(tab)]
    assert distances == sorted(distances)
    choose.select_option("name")
    assert [name for name in shown(tab) if name.startswith("case")] == ["case 9", "case 10"]
    choose.select_option(f"worst {LONG}")
    assert shown(tab)[0] == "case 9"


def test_names_are_searched(tab):
    tab.get_by_label("Name or file contains").fill("CASE 1")
    assert shown(tab) == ["case 10"]
    assert tab.get_by_role("status").inner_text() == "1 of 4 images"
    tab.get_by_label("Name or file contains").fill("")
    assert len(shown(tab)) == 4
    assert tab.get_by_role("status").inner_text() == ""


def test_nothing_in_a_page_runs_in_the_index(tab):
    assert tab.evaluate("window.hacked") is None
    assert tab.locator(".warnings li").inner_text() == HOSTILE


def test_links_lead_to_pages_and_back(tab):
    for title in ("case 10", HOSTILE, "ümlaut"):
        tab.get_by_label("Sort by").select_option("most ambiguous")
        before = shown(tab)
        tab.get_by_role("link", name=title, exact=True).click()
        tab.evaluate("async () => { await window.fastpunet }")
        assert tab.title() == title
        tab.go_back()
        assert tab.get_by_label("Sort by").input_value() == "ambiguity"
        assert shown(tab) == before


def test_the_keyboard_reaches_everything(tab):
    reached = []
    for _ in range(12):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.tagName + ' ' + (document.activeElement.id || '')").strip())
    assert reached[:2] == ["SELECT order", "INPUT search"]
    assert reached.count("A") == 4
    assert reached.count("SUMMARY") == 3
    tab.locator("summary").first.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("details dt").first.is_visible()


def test_pictures_are_shown(tab):
    sizes = tab.evaluate("[...document.querySelectorAll('#images img')].map((img) => img.naturalWidth)")
    assert sizes == [160] * 4


def test_it_needs_no_javascript(chromium, folder):
    with at(chromium, folder / INDEX, java_script_enabled=False) as tab:
        assert shown(tab) == ["case 9", HOSTILE, "case 10", "ümlaut"]
        assert not tab.get_by_label("Sort by").is_visible()


def test_it_fits_a_phone(chromium, folder):
    with at(chromium, folder / INDEX, viewport=PHONE) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core; run npm ci in page/")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_accessibility_checker_finds_nothing_serious(chromium, folder, scheme):
    with at(chromium, folder / INDEX, color_scheme=scheme) as tab:
        assert serious_findings(tab) == []


def test_an_index_of_hundreds_answers_at_once(chromium, tmp_path):
    picture = base64.b64encode(np.random.default_rng(0).bytes(4000)).decode()
    for place in range(500):
        entry = Entry(f"case {place}", "", place, "2 alternatives", "usual", picture, place / 500, 0.5)
        content = escape(json.dumps(entry.to_dict()))
        metas = f'<meta name="fastpunet-entry" content="{content}"><meta name="fastpunet-request" content="{{}}">'
        (tmp_path / f"{place}.html").write_text(metas)
    write_index(tmp_path, [])
    with at(chromium, tmp_path / INDEX) as tab:
        assert len(shown(tab)) == 500
        assert shown(tab)[0] == "case 499"
        tab.get_by_label("Name or file contains").fill("case 49")
        assert len(shown(tab)) == 11

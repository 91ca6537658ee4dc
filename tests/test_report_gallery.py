"""The index of a folder of pages: what it holds, its order, and what interrupts a run; see `test_gallery_browser`."""

import base64
import io
import json
import os
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image

from fastpunet import load, sample
from fastpunet.cli import main
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.data.npz import write_members
from fastpunet.data.sources import read
from fastpunet.metrics import energy_distance
from fastpunet.prediction.opening import Outcome
from fastpunet.prediction.request import Request
from fastpunet.reports.page import page_run
from fastpunet.reports.page.entry import Entry
from fastpunet.reports.page.gallery import INDEX, write_index
from fastpunet.reports.page.image_scores import read_scores
from fastpunet.reports.page.page_files import report_files
from fastpunet.reports.page.thumbnail import SIDE, thumbnail
from fastpunet.scoring.registry import SCORES

ENTRY = Entry("a", "a.png", 3, "2 alternatives", "usual", "iVBO", 0.5, 0.75, 1.5, 0.25)


class _Cards(HTMLParser):
    """The cards of an index: name, link and values; and all texts."""

    def __init__(self, html):
        super().__init__()
        self.cards, self.texts, self.tags = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        if tag == "li" and "data-name" in attributes:
            self.cards.append({"name": attributes["data-name"], "values": json.loads(attributes["data-values"])})
        elif tag == "a":
            self.cards[-1]["link"] = unquote(attributes["href"])

    def handle_data(self, data):
        self.texts.append(data)


def _read(folder):
    return _Cards((folder / INDEX).read_text())


def _page(folder, name, entry=ENTRY, model="lidc-tiny"):
    content = entry if isinstance(entry, dict) else entry.to_dict()
    metas = {"fastpunet-entry": content, "fastpunet-request": {"model": {"source": model}}}
    escaped = "".join(
        f'<meta name="{key}" content="{json.dumps(value).replace("&", "&amp;").replace(chr(34), "&quot;")}">'
        for key, value in metas.items()
    )
    (folder / f"{name}.html").write_text(escaped)


def _changed(**changes):
    return Entry(**{**ENTRY.to_dict(), **changes})


def _bundle(folder, *patients):
    """A bundle of synthetic lesions, one for each patient."""
    records = SyntheticLesions(len(patients), seed=8, size=32)
    members = {
        "images": np.stack([(record.image[0] * 255).astype(np.uint8) for record in records]),
        "masks_packed": np.packbits(np.stack([record.masks for record in records]), axis=-1),
        "patient": np.array(patients),
    }
    write_members(folder / "data.npz", members)
    return folder / "data.npz"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three images in files, one that is none, and one that is called as the index."""
    folder = tmp_path_factory.mktemp("pictures")
    for place, record in enumerate(SyntheticLesions(3, seed=5)):
        name = "index" if place == 2 else f"<img src=x onerror=alert({place})>"
        Image.fromarray((record.image[0] * 255).astype(np.uint8)).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return folder


def test_a_folder_of_images_becomes_a_folder_of_pages_with_an_index(pictures, tmp_path, capsys):
    out = tmp_path / "site"
    arguments = ["report", "lesions", str(pictures), "-o", str(out), "-n", "20"]
    assert main(arguments) == 1
    found = _read(out)
    assert sorted(card["link"] for card in found.cards) == sorted(
        path.name for path in out.iterdir() if path.name != INDEX
    )
    assert len(found.cards) == 3
    assert "index-image.html" in os.listdir(out)
    ambiguities = [card["values"]["ambiguity"] for card in found.cards]
    assert ambiguities == sorted(ambiguities, reverse=True)
    assert any("broken.png is truncated" in text for text in found.texts)
    capsys.readouterr()
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.html")}
    assert main([*arguments, "--skip-existing"]) == 1
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.html")}
    assert {name for name in before if before[name] != after[name]} == {INDEX}
    assert [card["name"] for card in _read(out).cards] == [card["name"] for card in found.cards]


def test_ctrl_c_leaves_an_index_of_what_is_finished(pictures, tmp_path, monkeypatch):
    make, calls = page_run.make_page, []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return make(*arguments, **options)

    out = tmp_path / "site"
    arguments = ["report", "lesions", str(pictures), "-o", str(out), "-n", "4"]
    with monkeypatch.context() as patched:
        patched.setattr(page_run, "make_page", interrupted)
        with pytest.raises(KeyboardInterrupt, match="2 of 3 pages are written; pass --skip-existing to go on"):
            report_files("lesions", [pictures], out, Request(n=4), page_run.Manner())
    assert len(_read(out).cards) == 2
    assert main([*arguments, "--skip-existing"]) == 1
    assert len(_read(out).cards) == 3


def test_entries_say_what_the_hypotheses_say(tmp_path):
    data, out = _bundle(tmp_path, "<b>ann", "ben"), tmp_path / "site"
    assert main(["report", "lesions", "--data", str(data), "--kind", "lidc", "-o", str(out), "-n", "30"]) == 0
    model = load("lesions")
    record = read("lidc", data, intensity=model.intensity)[0]
    drawn = sample(model, torch.from_numpy(record.image)[None], 30, seed=0, ids=torch.tensor([record.id]))
    expected = energy_distance(drawn, torch.from_numpy(record.masks)[None])
    sizes = drawn[0].flatten(1).sum(1).numpy()
    there = sizes[sizes > 0]
    card = next(card for card in _read(out).cards if card["link"] == "image-0.html")
    assert card["values"]["ambiguity"] == pytest.approx(float(expected.sample_diversity))
    assert card["values"]["disagreement"] == pytest.approx(float(expected.cross))
    assert card["values"]["undecided"] == pytest.approx(-abs(len(there) / 30 - 0.5))
    low, median, high = np.quantile(there, [0.05, 0.5, 0.95])
    assert card["values"]["spread"] == pytest.approx((high - low) / median)
    assert "<b>ann" in card["name"]
    assert "b" not in _read(out).tags


def test_order_and_missing_numbers(tmp_path):
    for name, ambiguity in {"b": 0.2, "a": 0.2, "c": 0.9}.items():
        _page(tmp_path, name, _changed(title=name, ambiguity=ambiguity, disagreement=None, spread=None))
    found = _read(write_index(tmp_path, []).parent)
    assert [card["name"] for card in found.cards] == ["c", "a", "b"]
    assert "furthest from the annotations" not in found.texts
    assert "most ambiguous" in found.texts


def test_everything_in_an_index_is_escaped(tmp_path):
    bad = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    _page(tmp_path, "a b%&'", _changed(title=bad, source=bad, summary=bad), model=bad)
    failed = [Outcome("x", "failed", bad)]
    write_index(tmp_path, failed)
    found = _read(tmp_path)
    assert (found.tags.count("script"), found.tags.count("img")) == (1, 1)
    assert found.cards[0]["name"] == bad
    assert found.cards[0]["link"] == "a b%&'.html"
    assert found.texts.count(bad) == 4  # failure, title, source, summary


@pytest.mark.parametrize(
    "change",
    [
        {"picture": 'x" onload="alert(1)'},
        {"level": "<b>"},
        {"ambiguity": "1"},
        {"id": 1.5},
        {"more": 1},
        {"title": None},
    ],
)
def test_pages_with_odd_entries_are_no_pages(tmp_path, change):
    _page(tmp_path, "a", {**ENTRY.to_dict(), **change})
    (tmp_path / "b.html").write_text("<p>somebody else's")
    write_index(tmp_path, [])
    assert _read(tmp_path).cards == []


def test_an_index_of_somebody_else_stays(pictures, tmp_path, capsys):
    (tmp_path / INDEX).write_text("mine")
    assert main(["report", "lesions", str(pictures), "-o", str(tmp_path), "-n", "2", "--overwrite"]) == 2
    assert "index.html exists, but is not an index of fastpunet report" in capsys.readouterr().err
    assert (tmp_path / INDEX).read_text() == "mine"


def _scores(path, *rows, header="method,checkpoint,n,image,id,name,expected_value,best_iou,nonsense"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_scores_are_of_the_largest_n_and_mean_over_checkpoints(tmp_path):
    found = read_scores(
        _scores(
            tmp_path / "s.csv",
            "m,s0,4,0,7,x,9,9,1",
            "m,s0,16,0,7,x,0.5,0.8,1",
            "m,s1,16,0,7,x,0.7,nan,1",
            "m,s0,16,1,8,y,0.1,nan,1",
        )
    )
    assert found.n == 16
    assert list(found.titles) == ["expected_value", "best_iou"]
    assert found.values == {7: {"expected_value": pytest.approx(0.6), "best_iou": 0.8}, 8: {"expected_value": 0.1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has no columns of scores"),
        ("a,b\n1,2\n", "it has no columns of scores"),
        ("method,n,id,expected_value\n", "it has no rows"),
        ("method,n,id,expected_value\nm,16,x,0.5\n", "invalid literal"),
        ("method,n,id,expected_value\nm,16\n", "expected STEM.csv"),
        ("method,n,id,expected_value\na,1,1,0\nb,1,1,0\n", "is about a, b, expected one method"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, message):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(ValueError, match=f"scores: .*s.csv.*{message}"):
        read_scores(tmp_path / "s.csv")


def test_the_worst_images_come_first(tmp_path):
    for place, name in enumerate("abc"):
        _page(tmp_path, name, _changed(title=name, id=place, ambiguity=place / 10))
    _page(tmp_path, "other", _changed(title="other", id=0))
    table = _scores(tmp_path / "s.csv", "m,s,16,0,0,x,0.9,0.1,1", "m,s,16,1,1,x,0.2,0.9,1", "m,s,16,2,2,x,0.5,0.3,1")
    write_index(tmp_path, [], read_scores(table), ["a.html", "b.html", "c.html"])
    found = _read(tmp_path)
    assert [card["name"] for card in found.cards] == ["a", "c", "b", "other"]
    assert found.cards[0]["values"]["score-expected_value"] == 0.9
    assert found.cards[0]["values"]["score-best_iou"] == -0.1  # a high IoU is good
    assert f"worst {SCORES['best_iou'].title}" in found.texts
    assert "score-expected_value" not in found.cards[3]["values"]  # a page of another data set


def test_scores_of_evaluate_are_those_of_its_images(tmp_path, capsys):
    data = _bundle(tmp_path, "ann", "ben", "cem", "dan")
    common = ["--data", str(data), "--kind", "lidc"]
    assert main(["evaluate", "lesions", *common, "-n", "4", "8", "--output", str(tmp_path / "run")]) == 0
    options = ["--scores", str(tmp_path / "run.csv"), "-o", str(tmp_path / "site"), "-n", "8"]
    assert main(["report", "lesions", *common, *options]) == 0
    found = _read(tmp_path / "site")
    values = [card["values"]["score-expected_value"] for card in found.cards]
    assert len(values) == 4
    assert values == sorted(values, reverse=True)
    assert main(["report", "lesions", str(tmp_path), *options]) == 2
    assert "scores: got " in capsys.readouterr().err


def test_thumbnails_show_image_and_outlines():
    ramp = np.tile(np.linspace(-1000, 400, 40), (20, 1))[None]
    mask = np.zeros((20, 40), bool)
    mask[5:15, 10:30] = True
    picture = Image.open(io.BytesIO(thumbnail(ramp, (-1000, 400), [mask]))).convert("RGB")
    assert picture.size == (SIDE, SIDE // 2)
    assert picture.getpixel((80, 20)) == (230, 159, 0)
    assert picture.getpixel((0, 40))[0] < 10
    assert picture.getpixel((159, 40))[0] > 245
    colours = np.zeros((3, 30, 30), np.uint8)
    colours[0] = 200
    picture = Image.open(io.BytesIO(thumbnail(colours, (0, 255), []))).convert("RGB")
    assert picture.getpixel((80, 80)) == (200, 0, 0)
    assert len(base64.b64encode(thumbnail(np.random.default_rng(0).random((1, 200, 200)), (0, 1), []))) < 30_000


def test_a_long_list_of_pages_takes_no_more_than_their_pictures(tmp_path):
    for place in range(300):
        _page(tmp_path, f"p{place}", _changed(title=f"p{place}", picture="A" * 5000))
    write_index(tmp_path, [])
    assert (tmp_path / INDEX).stat().st_size < 300 * 8000


def test_a_single_page_has_no_index(tmp_path):
    Image.fromarray((SyntheticLesions(1)[0].image[0] * 255).astype(np.uint8)).save(tmp_path / "a.png")
    assert main(["report", "lesions", str(tmp_path / "a.png"), "-o", str(tmp_path / "r.html"), "-n", "2"]) == 0
    assert not (tmp_path / INDEX).exists()

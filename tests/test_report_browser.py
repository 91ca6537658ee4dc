"""Report pages in a real browser: what they decode, keep and export, and that nobody is shut out."""

import base64

import numpy as np
import pytest
import torch
from helpers.browsing import AXE, hook, opened, serious_findings
from helpers.page_case import read_case, unpack
from helpers.page_models import smooth_image, varied
from pydicom.data import get_testdata_file

import fastpunet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.sampler import Sampler

CT = get_testdata_file("CT_small.dcm")
LATENTS = 200
NO_WEBGL = """
const getContext = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : getContext.call(this, kind, ...rest);
};
"""
HOSTILE = '</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">'


@pytest.fixture(scope="module")
def lesion():
    """A page about a synthetic lesion with two annotations, and its data."""
    record = SyntheticLesions(1, seed=1)[0]
    annotations = {"ann": record.masks[2], "ben": record.masks[3]}
    page = fastpunet.report(
        "lesions", torch.from_numpy(record.image), n=100, annotations=annotations, spacing=[0.5, 0.5]
    )
    return page, read_case(page.html)


@pytest.fixture(scope="module")
def lesion_tab(chromium, lesion, tmp_path_factory):
    with opened(chromium, lesion[0], tmp_path_factory.mktemp("lesion"), accept_downloads=True) as tab:
        yield tab


@pytest.fixture
def tab(lesion_tab):
    """The page about the lesion, in which nothing is settled."""
    hook(lesion_tab, "hook.reset()")
    return lesion_tab


def decoded(tab, z, backend, size):
    """Label maps (n, *size) of latents (n, latent_dim), decoded in the browser."""
    texts = hook(
        tab,
        "given[0].map((z) => btoa(String.fromCharCode(...hook.decode(z, given[1]))))",
        [z.tolist(), backend],
    )
    return np.stack([np.frombuffer(base64.b64decode(text), np.uint8).reshape(size) for text in texts])


def latents(case, seed=0):
    """Draws of the prior, as they were drawn for the page, and positions of its pad."""
    pad, z = case["pad"], unpack(case["hypotheses"]["z"]).astype(np.float32)
    positions = np.random.default_rng(seed).uniform(-3, 3, (LATENTS - len(z), 2)).astype(np.float32)
    return np.concatenate((z, unpack(pad["origin"]) + positions @ unpack(pad["axes"])))


def of_lidc_tiny():
    return fastpunet.load("lidc-tiny"), torch.from_numpy(SyntheticLesions(1, seed=1)[0].image)


@pytest.mark.parametrize(
    "make",
    [
        lambda: (varied(1, 1), smooth_image(1, (33, 40))),
        lambda: (varied(1, 16), smooth_image(1, (33, 40))),
        lambda: (varied(3, 5), smooth_image(3, (33, 40))),
        lambda: (varied(1, 3, latent_maps=2), smooth_image(1, (33, 40))),
        of_lidc_tiny,
    ],
    ids=["binary", "16 classes", "RGB", "latent maps", "lidc-tiny"],
)
def test_the_browser_decodes_as_python(chromium, make, tmp_path):
    model, image = make()
    page = fastpunet.report(model, image, n=20)
    z = latents(read_case(page.html))
    sampler = Sampler(model, precision="ieee")
    expected = sampler.decode(sampler.encode(image[None]), torch.from_numpy(z)[None])[0].numpy()
    assert len(np.unique(expected.reshape(LATENTS, -1), axis=0)) > LATENTS / 2
    with opened(chromium, page, tmp_path) as tab:
        backends = hook(tab, "hook.backends")
        assert sorted(backends) == ["javascript", "webassembly", "webgl"]
        for backend in backends:
            agreement = (decoded(tab, z, backend, image.shape[1:]) == expected).mean()
            assert agreement >= 0.999, backend


def test_the_browser_decodes_on_another_grid_and_in_a_part_of_the_image(chromium, tmp_path, monkeypatch):
    image_file = pytest.importorskip("PIL.Image")
    lesion = SyntheticLesions(1, seed=1)[0].image[0]
    wide = np.pad(lesion, ((20, 40), (50, 30)), mode="edge")
    image_file.fromarray((255 * wide).round().astype(np.uint8)).save(tmp_path / "wide.png")
    monkeypatch.setattr("fastpunet.reports.page.case.MOST_BYTES", 600_000)
    model = fastpunet.load("lesions")
    model.spacing = (0.5, 0.5)
    page = fastpunet.report(model, tmp_path / "wide.png", n=100, spacing=[0.45, 0.55])
    case = read_case(page.html)
    place = case["pad"]["decoder"]["place"]
    assert place["resample"] is not None
    assert 0 < place["column"] < place["column"] + place["width"] < wide.shape[1]
    masks, z = unpack(case["hypotheses"]["labels"]), unpack(case["hypotheses"]["z"]).astype(np.float32)
    assert masks.any((1, 2)).mean() > 0.2
    with opened(chromium, page, tmp_path) as tab:
        for backend in hook(tab, "hook.backends"):
            assert (decoded(tab, z, backend, wide.shape) == masks).mean() >= 0.999, backend


def test_without_webgl_the_page_works_too(chromium, lesion, tmp_path):
    page, case = lesion
    with opened(chromium, page, tmp_path, script=NO_WEBGL) as tab:
        assert sorted(hook(tab, "hook.backends")) == ["javascript", "webassembly"]
        z, masks = unpack(case["hypotheses"]["z"]), unpack(case["hypotheses"]["labels"])
        assert (decoded(tab, z, "webassembly", masks.shape[1:]) == masks).mean() >= 0.999


def explored(tab):
    """The label map that is explored, and the position on the pad."""
    labels, position = hook(tab, "[Array.from(hook.session.now.explored.labels), hook.session.now.position]")
    return np.array(labels, np.uint8), position


def test_dragging_the_point_moves_the_outline(tab, lesion):
    _, case = lesion
    surface = tab.locator(".pad-frame svg")
    surface.scroll_into_view_if_needed()
    box = surface.bounding_box()
    at = lambda a, b: (box["x"] + box["width"] * (a + 3) / 6, box["y"] + box["height"] * (3 - b) / 6)  # noqa: E731
    tab.mouse.move(*at(0, 0))
    tab.mouse.down()
    seen = []
    for position in ((-2, 0), (2, 0), (0.5, 1)):
        tab.mouse.move(*at(*position), steps=3)
        tab.evaluate("() => new Promise(requestAnimationFrame)")
        tab.evaluate("() => new Promise(requestAnimationFrame)")
        labels, reached = explored(tab)
        assert reached == pytest.approx(position, abs=0.05)
        pad = case["pad"]
        z = (unpack(pad["origin"]) + np.float32(reached) @ unpack(pad["axes"]))[None].astype(np.float32)
        assert (decoded(tab, z, "javascript", (64, 64)).ravel() == labels).mean() > 0.999
        seen.append(labels)
    tab.mouse.up()
    assert (seen[0] != seen[1]).sum() > 20


def test_including_and_excluding_keeps_exactly_the_matching_hypotheses(tab, lesion):
    masks = unpack(lesion[1]["hypotheses"]["labels"])
    row, column = np.argwhere(abs(masks.mean(0) - 0.5) < 0.2)[0].tolist()
    inside = masks[:, row, column]
    row2, column2 = np.argwhere(abs(masks[inside].mean(0) - 0.5) < 0.4)[0].tolist()
    assert hook(tab, "hook.include(...given)", [row, column])
    assert hook(tab, "hook.kept()") == np.flatnonzero(inside).tolist()
    assert hook(tab, "hook.exclude(...given)", [row2, column2])
    kept = np.flatnonzero(inside & ~masks[:, row2, column2]).tolist()
    assert hook(tab, "hook.kept()") == kept
    assert 0 < len(kept) < inside.sum() < len(masks)
    shares = hook(tab, "hook.modes().map((mode) => mode.count)")
    assert sum(shares) == len(kept)
    hook(tab, "hook.undo()")
    assert hook(tab, "hook.kept()") == np.flatnonzero(inside).tolist()
    hook(tab, "hook.reset()")
    assert len(hook(tab, "hook.kept()")) == len(masks)


def test_a_pixel_is_settled_with_the_keyboard_alone(tab, lesion):
    masks = unpack(lesion[1]["hypotheses"]["labels"])
    row, column = (side // 2 for side in masks.shape[1:])
    inside = masks[:, row, column]
    name = "inside" if inside.any() else "outside"
    tab.get_by_role("button", name=f"Click pixels that are {name}").press("Enter")
    tab.locator("canvas.view").press("Enter")
    assert hook(tab, "hook.kept()") == np.flatnonzero(inside if name == "inside" else ~inside).tolist()
    assert f"{len(hook(tab, 'hook.kept()'))} of 100 outlines match" in tab.locator("body").inner_text()


def reachable(tab):
    """What can be used, as a list of descriptions; of radio buttons the chosen one, from which arrow keys go on."""
    return tab.evaluate("""() => {
      const inputs = "input:enabled:not([type=radio]), input:checked";
      const usable = document.querySelectorAll(`button:enabled, ${inputs}, select, a[href], summary, [tabindex='0']`);
      const seen = [...usable].filter((one) => one.checkVisibility());
      window.numbered = new Map(seen.map((one, k) => [one, k]));
      return seen.map((one) => one.outerHTML.slice(0, 120));
    }""")


def test_the_keyboard_alone_reaches_everything(tab):
    everything = reachable(tab)
    tab.evaluate("() => { document.activeElement?.blur(); window.scrollTo(0, 0); }")
    reached = set()
    for _ in range(len(everything) + 10):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("() => window.numbered.get(document.activeElement) ?? -1"))
    missed = [text for place, text in enumerate(everything) if place not in reached]
    assert missed == []
    pad = tab.locator(".pad-frame")
    pad.press("ArrowRight")
    before = explored(tab)
    for _ in range(10):
        pad.press("Shift+ArrowRight")
    after = explored(tab)
    assert after[1][0] > before[1][0]


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core; run npm ci in page/")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_accessibility_checker_finds_nothing_serious(chromium, lesion, tmp_path, scheme):
    with opened(chromium, lesion[0], tmp_path, color_scheme=scheme) as tab:
        hook(tab, "(hook.session.explore([0.5, 0.5]), hook.session.startEditing(hook.session.now.explored), 0)")
        assert serious_findings(tab) == []


def saved(tab, name, folder):
    """The file that the page saves, in a folder."""
    with tab.expect_download() as download:
        tab.get_by_role("button", name=f"Save as {name}").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_exported_files_hold_the_right_pixels_in_the_right_place(chromium, tmp_path):
    nibabel, highdicom, pydicom = map(pytest.importorskip, ("nibabel", "highdicom", "pydicom"))
    image_file = pytest.importorskip("PIL.Image")
    page = fastpunet.report("lidc-tiny", CT, n=8, intensity="window:-600:1500", window=64)
    case = read_case(page.html)
    mask = unpack(case["hypotheses"]["labels"])[case["alternatives"][0]["modes"][0]["hypothesis"]].copy()
    mask[:3, 5:9] = True  # what the page's brush would add; not symmetric
    masks, z = unpack(case["hypotheses"]["labels"]), unpack(case["hypotheses"]["z"]).astype(np.float32)
    with opened(chromium, page, tmp_path, accept_downloads=True) as tab:
        assert (decoded(tab, z, "webassembly", mask.shape) == masks).mean() >= 0.999  # latent maps, on another grid
        hook(tab, "hook.edit(given)", mask.astype(int).ravel().tolist())
        seg, nifti, png = (saved(tab, name, tmp_path) for name in ("DICOM SEG", "NIfTI", "Mask (PNG)"))
        again = saved(tab, "DICOM SEG", tmp_path / "again")
    np.testing.assert_array_equal(np.asarray(image_file.open(png).convert("L")) > 0, mask)

    volume, source = nibabel.load(nifti), pydicom.dcmread(CT)
    np.testing.assert_array_equal(np.asarray(volume.dataobj)[..., 0], mask)
    expected = fastpunet.data.inputs.find_inputs([CT])[0].grid.affine
    np.testing.assert_allclose(volume.affine, expected, atol=1e-4)

    read = highdicom.seg.segread(seg)
    np.testing.assert_array_equal(read.pixel_array.astype(bool), mask)
    groups = read.SharedFunctionalGroupsSequence[0], read.PerFrameFunctionalGroupsSequence[0]
    position = next(g.PlanePositionSequence[0] for g in groups if "PlanePositionSequence" in g)
    assert position.ImagePositionPatient == source.ImagePositionPatient
    assert groups[0].PixelMeasuresSequence[0].PixelSpacing == source.PixelSpacing
    assert read.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID
    assert highdicom.seg.segread(again).SOPInstanceUID != read.SOPInstanceUID
    assert read.get_source_image_uids()[0][2] == source.SOPInstanceUID


def hostile_dicom(path):
    """A DICOM file whose texts are HTML."""
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.dcmread(CT)
    dataset.PatientName, dataset.PatientID = "</script><script>alert(1)</script>", HOSTILE[:60]
    dataset.SeriesDescription = dataset.StudyDescription = HOSTILE[:60]
    dataset.save_as(path)


def test_hostile_texts_are_shown_as_texts(chromium, tmp_path, monkeypatch):
    folder = tmp_path / "<script>window.hacked = 3<"
    folder.mkdir()
    hostile_dicom(folder / "<img src=x onerror=hacked=4>.dcm")
    model = folder / "<svg onload=hacked=5>.safetensors"
    fastpunet.save(varied(1, 1), model)
    monkeypatch.chdir(folder)
    page = fastpunet.report(
        "<svg onload=hacked=5>.safetensors",
        "<img src=x onerror=hacked=4>.dcm",
        n=12,
        title=HOSTILE,
        classes=["nothing", HOSTILE],
        annotations={HOSTILE: written_mask(tmp_path)},
    )
    with opened(chromium, page, tmp_path) as tab:
        hook(tab, "(hook.session.explore([0.5, 0.5]), 0)")
        text = tab.locator("body").inner_text()
        assert tab.evaluate("() => window.hacked") is None
        assert tab.title() == HOSTILE
        assert HOSTILE in text
        assert "<svg onload=hacked=5>" in text
        assert "<img src=x onerror=hacked=4>.dcm" in text
        assert HOSTILE in tab.locator("select").all_inner_texts()[0]


def written_mask(folder):
    image_file = pytest.importorskip("PIL.Image")
    image_file.fromarray(np.eye(128, dtype=np.uint8)).save(folder / "mask.png")
    return folder / "mask.png"


def test_a_phone_has_no_sideways_scroll(chromium, lesion, tmp_path):
    with opened(chromium, lesion[0], tmp_path, viewport={"width": 360, "height": 740}, is_mobile=True) as tab:
        assert tab.evaluate("() => document.documentElement.scrollWidth") <= 360


def test_a_page_in_a_notebook_runs_in_its_frame(chromium, lesion, tmp_path):
    path = tmp_path / "notebook.html"
    path.write_text(
        f"<!doctype html><meta charset='utf-8'><title>notebook</title>{lesion[0]._repr_html_()}", encoding="utf-8"
    )
    tab = chromium.new_page()
    tab.goto(path.as_uri())
    frame = tab.frame_locator("iframe")
    frame.get_by_text("Which alternatives are there?").wait_for()
    frame.get_by_role("button", name="Undo the last").wait_for()
    tab.close()

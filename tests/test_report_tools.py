"""What a reader does on a report page, in a real browser, compared with the Python that it stands for."""

import math

import numpy as np
import pytest
import torch
from helpers.browsing import hook, opened
from helpers.page_case import read_case, unpack

import fastpunet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.hypotheses import assess, measure, modes, resolve

N = 100
NAMES = ("ann", "ben")


@pytest.fixture(scope="module")
def record():
    return SyntheticLesions(1, seed=1)[0]


@pytest.fixture(scope="module")
def lesion(record):
    annotations = dict(zip(NAMES, record.masks[2:], strict=True))
    return fastpunet.report("lesions", torch.from_numpy(record.image), n=N, annotations=annotations, spacing=[0.5, 0.5])


@pytest.fixture(scope="module")
def masks(lesion):
    return torch.from_numpy(unpack(read_case(lesion.html)["hypotheses"]["labels"]).astype(np.uint8))


@pytest.fixture(scope="module")
def tab(chromium, lesion, tmp_path_factory):
    with opened(chromium, lesion, tmp_path_factory.mktemp("tools")) as tab:
        yield tab


def test_an_annotation_is_placed_as_assess_places_it(tab, record):
    found = assess(
        fastpunet.load("lesions"),
        torch.from_numpy(record.image),
        torch.from_numpy(record.masks[2:]),
        n=N,
        laplace=False,
    )
    for m in range(len(NAMES)):
        given = "hook.compare(hook.session.study.annotations[given].labels)"
        compared = hook(tab, f"await {given}", m)
        assert compared["nearest"] == found.nearest[m]
        assert compared["nearestIou"] == pytest.approx(float(found.nearest_iou[m]))
        assert compared["typicality"] == pytest.approx(float(found.typicality[m]))
    tab.get_by_label("A given outline").select_option("2. ben")
    tab.wait_for_function("document.querySelector('#compare dl')")
    assert f"{float(found.typicality[1]):.3f}" in tab.locator("#compare").inner_text()
    tab.get_by_role("button", name="Show the most similar outline").click()
    assert hook(tab, "hook.session.now.explored.name") == f"outline {int(found.nearest[1]) + 1} of the model"


def test_the_threshold_line_says_what_measure_says(tab, masks):
    measured = measure(masks[None], ["area"], spacing=(0.5, 0.5))
    said = tab.locator("#size .answer")

    def agrees():
        threshold = float(tab.locator("#size input[type=number]").input_value())
        found = measured.probability("area", ">=", threshold)
        p, low, high = (float(part) for part in (found.probability, found.low, found.high))
        return said.inner_text().startswith(f"{100 * p:.0f} % ({100 * low:.0f} to {100 * high:.0f} %)"), threshold

    chart = tab.locator("#size svg")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    seen = []
    tab.mouse.move(box["x"] + 60, box["y"] + 80)
    tab.mouse.down()
    seen.append(agrees())
    tab.mouse.move(box["x"] + 300, box["y"] + 80, steps=2)
    seen.append(agrees())
    tab.mouse.up()
    tab.locator(".threshold").press("PageDown")
    seen.append(agrees())
    tab.locator("#size input[type=number]").fill("33")
    seen.append(agrees())
    assert all(agreed for agreed, _ in seen)
    assert seen[3][1] == 33
    assert seen[0][1] < seen[2][1] < seen[1][1]


def pixels_of(tab, field):
    return hook(tab, f"hook.session.now.{field}.labels.reduce((sum, label) => sum + label, 0)")


def test_an_outline_is_drawn_with_the_mouse_and_with_the_keyboard(tab):
    tab.get_by_role("button", name="Draw my own outline on the image").click()
    view = tab.locator("canvas.view")
    view.scroll_into_view_if_needed()
    view.press("0")  # the whole image: 64 x 64 pixels in a square view
    box = view.bounding_box()
    radius = min(box["width"], box["height"]) / 4  # 16 pixels of the image
    at = [(math.cos(t / 10) * radius, math.sin(t / 10) * radius) for t in range(63)]
    centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(centre[0] + at[0][0], centre[1] + at[0][1])
    tab.mouse.down()
    for x, y in at:
        tab.mouse.move(centre[0] + x, centre[1] + y)
    tab.mouse.up()
    assert pixels_of(tab, "compared") == pytest.approx(math.pi * 16**2, rel=0.02)
    for keys in ("Enter", "Control+ArrowRight", "Enter", "Control+ArrowUp", "Enter", "Control+ArrowLeft", "Enter", "f"):
        view.press(keys)
    assert pixels_of(tab, "compared") == 100


def test_a_mask_is_corrected_with_the_brush_and_taken_back(tab):
    area = lambda: hook(tab, "hook.session.now.edited.reduce((sum, label) => sum + label, 0)")  # noqa: E731
    hook(tab, "hook.edit(new Array(64 * 64).fill(0))")
    view = tab.locator("canvas.view")
    view.press("0")
    view.press("Enter")
    dot = area()
    view.press("Control+ArrowLeft")
    view.press("Enter")
    assert area() == 2 * dot > 0
    tab.locator("#edit").get_by_role("button", name="Eraser").click()
    view.press("Enter")
    assert area() == dot
    undo = tab.locator("#edit").get_by_role("button", name="Undo")
    undo.click()
    assert area() == 2 * dot
    hook(tab, "hook.edit(new Array(64 * 64).fill(1))")
    view.press("Control+z")
    assert area() == 2 * dot
    while undo.is_enabled():
        undo.click()
    assert area() == 0


def test_the_page_asks_about_the_pixel_that_tells_most(tab, masks):
    found = modes(masks[None])
    expected = resolve(masks[None], found)[0]
    tab.get_by_role("button", name="Which pixel would tell most?").click()
    row, column = divmod(hook(tab, "hook.session.now.probed"), 64)
    information = expected.pixel_information
    assert float(information[row, column]) == pytest.approx(float(information.max()))
    inside = int(masks[:, row, column].sum())
    assert f"{inside} ({inside} %)" in tab.locator("#pixels table").inner_text()

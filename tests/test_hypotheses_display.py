"""What notebooks show: HTML that is escaped, PNG pictures, outlines along the edges of pixels."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from fastpunet.hypotheses import display
from fastpunet.hypotheses.pictures import at_place, draw_outline, new_picture, place_to_show, show_image


def test_texts_are_escaped():
    block = display.html_block("p < 1 & <b>", display.html_table(["<i>"], [["<script>", 2]]))
    assert "<p>p &lt; 1 &amp; &lt;b&gt;</p>" in block
    assert "<th>&lt;i&gt;</th>" in block
    assert "<td>&lt;script&gt;</td><td>2</td>" in block


def test_a_picture_is_an_inline_png():
    html = display.html_picture(lambda: new_picture()[0], 'an "image"')
    assert 'alt="an &quot;image&quot;"' in html
    encoded = html.split("base64,")[1].split('"')[0]
    assert Image.open(BytesIO(b64decode(encoded))).format == "PNG"


def test_without_matplotlib_there_is_no_picture(monkeypatch):
    monkeypatch.setattr(display, "find_spec", lambda _: None)
    assert display.html_picture(lambda: pytest.fail("nothing should be drawn"), "an image") == ""


def segments(mask):
    _, axes = new_picture()
    found = draw_outline(axes[0, 0], mask, "red")
    lines = [tuple(sorted(map(tuple, line.tolist()))) for line in axes[0, 0].collections[0].get_segments()]
    assert len(set(lines)) == len(lines)
    return found, set(lines)


def test_an_outline_follows_the_edges_of_pixels():
    mask = torch.zeros(4, 5, dtype=torch.uint8)
    mask[1, 2] = 1  # row 1, column 2: x 1.5 .. 2.5, y 0.5 .. 1.5
    found, lines = segments(mask)
    corners = [(1.5, 0.5), (2.5, 0.5), (2.5, 1.5), (1.5, 1.5)]
    assert found
    assert lines == {tuple(sorted((corners[i], corners[i - 1]))) for i in range(4)}


def test_outlines_of_nothing_and_of_everything():
    assert segments(np.zeros((3, 4))) == (False, set())
    found, lines = segments(np.ones((3, 4)))
    assert found
    assert len(lines) == 2 * (3 + 4)
    assert {x for line in lines for x, _ in line} == {-0.5, 0.5, 1.5, 2.5, 3.5}


def test_the_slice_with_most_of_the_masks_is_shown():
    masks = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
    masks[0, 1, 0, :2] = 1
    masks[1, 2, 0, :3] = 1
    assert place_to_show(masks, 3) == 2
    assert place_to_show(masks[:, 0], 2) is None
    assert np.array_equal(at_place(masks, 2), masks[:, 2].numpy())


def shown(image, size, place=None):
    _, axes = new_picture()
    show_image(axes[0, 0], image, size, place)
    return np.asarray(axes[0, 0].images[0].get_array())


def test_images_of_every_form_are_shown():
    grey = np.random.default_rng(0).random((3, 4))
    np.testing.assert_array_equal(shown(grey, (3, 4)), grey)
    np.testing.assert_array_equal(shown(torch.tensor(grey)[None], (3, 4)), grey)
    np.testing.assert_array_equal(shown(grey * 4 - 1, (3, 4)), (grey * 4 - 1 - (grey * 4 - 1).min()) / np.ptp(grey * 4))
    assert shown(np.full((3, 3, 4), 255, np.uint8), (3, 4)).shape == (3, 4, 3)
    assert shown(None, (2, 3, 4), 1).shape == (3, 4)
    volume = np.stack([grey, grey / 2])
    np.testing.assert_array_equal(shown(volume, (2, 3, 4), 1), grey / 2)
    with pytest.raises(ValueError, match=r"^image: got shape \(5, 4\), expected \(3, 4\) or"):
        shown(np.zeros((5, 4)), (3, 4))

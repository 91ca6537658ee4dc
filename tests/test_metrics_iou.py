"""pairwise_iou against a loop over pairs, hand-computed masks, and the laws of the Jaccard index."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpunet.masks import PackedMasks
from fastpunet.metrics import iou as iou_module
from fastpunet.metrics import pairwise_iou


def loop_iou(a, b, num_classes, ignore, empty):
    """The definition, one pair and class at a time, in float64."""
    classes = [1] if num_classes is None else range(num_classes)
    out = np.empty((a.shape[0], a.shape[1], b.shape[1], len(classes)))
    for image, i, j, c in np.ndindex(out.shape):
        keep = ~ignore[image]
        x, y = ((m == classes[c]) & keep for m in (a[image, i], b[image, j]))
        union = (x | y).sum()
        out[image, i, j, c] = (x & y).sum() / union if union else empty
    return out[..., 0] if num_classes is None else out


def random_labels(rng, shape, num_classes, dtype=torch.uint8):
    labels = rng.integers(0, num_classes or 2, shape)
    labels[:, 0] = 0  # one mask without foreground, so that empty pairs occur
    return torch.from_numpy(labels).to(dtype)


def mask(*rows):
    """One binary mask (1, 1, H, W) from strings of 0 and 1."""
    return torch.tensor([[int(pixel) for pixel in row] for row in rows], dtype=torch.uint8)[None, None]


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (32, 1), (3, 33), (13, 31)])
@pytest.mark.parametrize(
    ("num_classes", "dtype"), [(None, torch.bool), (None, torch.int64), (2, torch.uint8), (5, torch.int16)]
)
@pytest.mark.parametrize("empty", [1.0, 0.0, math.nan])
@pytest.mark.parametrize("with_ignore", [False, True])
def test_equals_the_loop(size, num_classes, dtype, empty, with_ignore):
    rng = np.random.default_rng(sum(size))
    a = random_labels(rng, (2, 3, *size), num_classes, dtype)
    b = random_labels(rng, (2, 4, *size), num_classes, dtype)
    ignore = torch.from_numpy(rng.random((2, *size)) < 0.3) if with_ignore else None
    got = pairwise_iou(a, b, num_classes=num_classes, ignore=ignore, empty=empty)
    want = loop_iou(
        a.numpy(), b.numpy(), num_classes, np.zeros((2, *size), bool) if ignore is None else ignore.numpy(), empty
    )
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=1e-6)


HALF, FULL, NONE, PIXEL = mask("11", "00"), mask("11", "11"), mask("00", "00"), mask("10", "00")


@pytest.mark.parametrize(
    ("a", "b", "empty", "want"),
    [
        pytest.param(HALF, FULL, 1.0, 0.5, id="half_overlap_rows"),
        pytest.param(mask("110"), mask("011"), 1.0, 1 / 3, id="shifted"),
        pytest.param(FULL, FULL, 0.0, 1.0, id="identical"),
        pytest.param(HALF, mask("00", "11"), 1.0, 0.0, id="disjoint"),
        pytest.param(NONE, NONE, 1.0, 1.0, id="both_empty_one"),
        pytest.param(NONE, NONE, 0.0, 0.0, id="both_empty_zero"),
        pytest.param(NONE, NONE, math.nan, math.nan, id="both_empty_nan"),
        pytest.param(NONE, PIXEL, math.nan, 0.0, id="one_empty"),
        pytest.param(PIXEL, PIXEL, 0.0, 1.0, id="one_pixel"),
        pytest.param(PIXEL, FULL, 1.0, 0.25, id="one_pixel_of_four"),
        pytest.param(mask("1"), mask("0"), 1.0, 0.0, id="one_pixel_image"),
    ],
)
def test_known_answers(a, b, empty, want):
    assert pairwise_iou(a, b, empty=empty).item() == pytest.approx(want, abs=1e-7, nan_ok=True)
    assert pairwise_iou(b, a, empty=empty).item() == pytest.approx(want, abs=1e-7, nan_ok=True)


@pytest.mark.parametrize("empty", [1.0, 0.0, math.nan])
def test_all_ignored_counts_as_both_empty(empty):
    got = pairwise_iou(FULL, PIXEL, ignore=torch.ones(1, 2, 2, dtype=torch.bool), empty=empty)
    assert got.item() == pytest.approx(empty, nan_ok=True)


def test_ignored_pixels_may_hold_any_label():
    a, b = torch.tensor([[[[255, 1, 1]]]], dtype=torch.uint8), torch.tensor([[[[1, 1, 0]]]], dtype=torch.uint8)
    ignore = torch.tensor([[[True, False, False]]])
    assert pairwise_iou(a, b, ignore=ignore).item() == 0.5
    assert pairwise_iou(a, b, ignore=ignore, num_classes=2).flatten().tolist() == [0.0, 0.5]
    assert pairwise_iou(-a.long(), b, ignore=torch.ones(1, 1, 3, dtype=torch.bool)).item() == 1.0


def test_each_image_has_its_own_ignore():
    a, b = HALF.repeat(2, 1, 1, 1), FULL.repeat(2, 1, 1, 1)
    ignore = torch.tensor([[[False, False], [True, True]], [[False, False], [False, False]]])
    assert pairwise_iou(a, b, ignore=ignore).flatten().tolist() == [1.0, 0.5]


@pytest.mark.parametrize("num_classes", [None, 4])
def test_alone_is_with_itself_counted_once(num_classes, monkeypatch):
    a = random_labels(np.random.default_rng(1), (2, 5, 6, 7), num_classes)
    want = pairwise_iou(a, a, num_classes=num_classes)
    calls = []
    iou = iou_module.mask_iou
    monkeypatch.setattr(iou_module, "mask_iou", lambda x, y, empty: calls.append(x is y) or iou(x, y, empty))
    assert torch.equal(pairwise_iou(a, num_classes=num_classes), want)
    assert calls == [True]


@pytest.mark.parametrize("num_classes", [2, 3])
def test_packed_masks_give_what_labels_give(num_classes):
    rng = np.random.default_rng(2)
    a, b = (random_labels(rng, (2, n, 5, 9), num_classes) for n in (3, 4))
    ignore = torch.from_numpy(rng.random((2, 5, 9)) < 0.2)
    want = pairwise_iou(a, b, num_classes=num_classes, ignore=ignore)
    pa, pb = PackedMasks.pack(a, num_classes), PackedMasks.pack(b, num_classes)
    for x, y in ((pa, pb), (pa, b), (a, pb)):
        assert torch.equal(pairwise_iou(x, y, num_classes=num_classes, ignore=ignore), want)
        assert torch.equal(pairwise_iou(x, y, ignore=ignore), want)  # the planes say how many classes there are


def test_packed_masks_of_one_plane_are_binary_and_stand_for_two_classes():
    a = random_labels(np.random.default_rng(3), (2, 3, 5, 9), None)
    packed = PackedMasks.pack(a)
    assert torch.equal(pairwise_iou(packed), pairwise_iou(a))
    assert torch.equal(pairwise_iou(packed, num_classes=2), pairwise_iou(a, num_classes=2))
    assert torch.equal(pairwise_iou(packed, PackedMasks.pack(a, 2)), pairwise_iou(a, num_classes=2))


def test_more_classes_than_the_dtype_can_name():
    labels = torch.tensor([[[[0, 44, 44, 255]]]], dtype=torch.uint8)
    got = pairwise_iou(labels, num_classes=301, empty=0.0).flatten()
    assert got.nonzero().flatten().tolist() == [0, 44, 255]


def test_float32_whatever_the_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        assert pairwise_iou(HALF, FULL).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_views_are_read_as_they_look_and_left_as_they_were():
    a = random_labels(np.random.default_rng(5), (2, 4, 6, 7), 3)
    view, before = a.flip(-1).transpose(-1, -2)[:, ::2], a.clone()
    assert torch.equal(pairwise_iou(view, num_classes=3), pairwise_iou(view.contiguous(), num_classes=3))
    assert torch.equal(a, before)


@st.composite
def binary_sets(draw):
    n, height, width = (draw(st.integers(1, high)) for high in (5, 6, 7))
    bits = draw(st.lists(st.booleans(), min_size=n * height * width, max_size=n * height * width))
    return torch.tensor(bits).view(1, n, height, width)


@settings(max_examples=60, deadline=None)
@given(masks=binary_sets(), data=st.data())
def test_jaccard_laws(masks, data):
    iou = pairwise_iou(masks)[0]
    assert ((iou >= 0) & (iou <= 1)).all()
    assert torch.equal(iou, iou.T)
    assert (iou.diagonal() == 1).all()
    order = data.draw(st.permutations(range(masks.shape[1])))
    assert torch.equal(pairwise_iou(masks[:, order])[0], iou[order][:, order])
    d = 1 - iou
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-6).all()  # the Jaccard distance is a metric


LABELS = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
THREES = LABELS + 3
PACKED3 = PackedMasks.pack(LABELS, 3)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, r"a: got list, expected a tensor of labels \(B, N, H, W\) or .*; convert", {"a": [[0]]}),
        (
            ValueError,
            r"a: got shape \(3, 4, 5\), expected \(B, N, H, W\) or \(B, N, D, H, W\); add or drop",
            {"a": LABELS[0]},
        ),
        (TypeError, r"a: got dtype torch.float32, expected labels .*; threshold", {"a": LABELS.float()}),
        (TypeError, r"a: got dtype torch.uint16, expected labels .* convert with", {"a": LABELS.to(torch.uint16)}),
        (TypeError, r"b: got dtype torch.float32", {"b": LABELS.float()}),
        (ValueError, r"a: got 0 masks in shape \(2, 0, 4, 5\), expected .*; skip", {"a": LABELS[:, :0]}),
        (ValueError, r"a: got 0 images in shape \(0, 3, 4, 5\)", {"a": PackedMasks.pack(LABELS)[:0]}),
        (ValueError, r"b: got 0 rows \(H\)", {"b": LABELS[:, :, :0]}),
        (ValueError, r"b: got 0 columns \(W\)", {"b": LABELS[..., :0]}),
        (ValueError, r"b: got 1 images, expected 2 as in a; pass", {"b": LABELS[:1]}),
        (ValueError, r"b: got 4 x 4 pixels, expected 4 x 5 as in a; resize", {"b": LABELS[..., :4]}),
        (ValueError, r"b: got device meta, expected cpu as in a; move", {"b": LABELS.to("meta")}),
        (ValueError, r"a: got labels 3 .. 3, expected 0 .. 1 .*; pass num_classes=K", {"a": THREES}),
        (ValueError, r"b: got labels 3 .. 3, expected 0 .. 2 ", {"b": THREES, "num_classes": 3}),
        (ValueError, r"a: got labels -1 .. 0, expected 0 .. 1 ", {"a": LABELS.long() - torch.eye(5)[:4].long()}),
        (ValueError, r"a: got PackedMasks of 3 planes, expected 1 or 2; pass num_", {"a": PACKED3, "num_classes": 2}),
        (
            ValueError,
            r"b: got PackedMasks of 1 planes, expected 3; pass",
            {"a": PACKED3, "b": PackedMasks.pack(LABELS)},
        ),
        (TypeError, r"num_classes: got 2.0, expected a whole number of at least 2; leave", {"num_classes": 2.0}),
        (TypeError, r"num_classes: got True, expected", {"num_classes": True}),
        (ValueError, r"num_classes: got 1, expected a whole number of at least 2; leave it out", {"num_classes": 1}),
        (ValueError, r"empty: got 0.5, expected 1.0, 0.0 or nan.*; pick", {"empty": 0.5}),
        (ValueError, r"empty: got None, expected", {"empty": None}),
        (TypeError, r"ignore: got dtype torch.uint8, expected a bool tensor \(B, H, W\)", {"ignore": LABELS[:, 0]}),
        (TypeError, r"ignore: got int, expected a bool tensor", {"ignore": 255}),
        (ValueError, r"ignore: got shape \(2, 3, 4, 5\), expected .*\(2, 4, 5\)", {"ignore": LABELS.bool()}),
        (ValueError, r"ignore: got device meta, expected cpu as in a", {"ignore": LABELS[:, 0].bool().to("meta")}),
    ],
)
def test_errors_name_the_argument_and_instruct(error, message, arguments):
    with pytest.raises(error, match="^" + message):
        pairwise_iou(**{"a": LABELS, **arguments})


@pytest.mark.gpu
def test_gpu_gives_what_the_cpu_gives():
    rng = np.random.default_rng(6)
    a, b = (random_labels(rng, (2, n, 33, 35), 5) for n in (9, 4))
    ignore = torch.from_numpy(rng.random((2, 33, 35)) < 0.2)
    got = pairwise_iou(a.cuda(), b.cuda(), num_classes=5, ignore=ignore.cuda())
    assert got.is_cuda
    torch.testing.assert_close(got.cpu(), pairwise_iou(a, b, num_classes=5, ignore=ignore), rtol=0, atol=1e-6)

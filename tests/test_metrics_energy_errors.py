"""energy_distance on bad input: every error names its argument and says what to do."""

import math

import pytest
import torch

from fastpunet.masks import PackedMasks
from fastpunet.metrics import energy_distance

LABELS = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)
THIRDS = torch.full((3,), 1 / 3)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (TypeError, r"samples: got str, expected a tensor of labels \(B, N, H, W\)", {"samples": "masks"}),
        (ValueError, r"samples: got shape \(3, 4, 5\), expected \(B, N, H, W\)", {"samples": LABELS[0]}),
        (TypeError, r"references: got dtype torch.float64, expected labels", {"references": LABELS.double()}),
        (ValueError, r"references: got 0 masks in shape \(2, 0, 4, 5\)", {"references": LABELS[:, :0]}),
        (ValueError, r"samples: got 0 images in shape", {"samples": LABELS[:0]}),
        (ValueError, r"samples: got a list of 0 images, expected .*; skip", {"samples": []}),
        (
            TypeError,
            r"samples\[1\]: got PackedMasks, expected a tensor",
            {"samples": [LABELS[0], PackedMasks.pack(LABELS)]},
        ),
        (
            ValueError,
            r"samples\[1\]: got torch.uint8 of 3 x 4 x 5 pixels, expected .* 4 x 5 pixels as in",
            {"samples": [LABELS[0], LABELS]},
        ),
        (ValueError, r"references\[1\]: got 0 masks in shape \(0, 4, 5\)", {"references": [LABELS[0], LABELS[0, :0]]}),
        (
            ValueError,
            r"samples\[1\]: got torch.int64 of 4 x 5 pixels, expected",
            {"samples": [LABELS[0], LABELS[0].long()]},
        ),
        (
            ValueError,
            r"samples\[1\]: got torch.uint8 of 4 x 4 pixels",
            {"samples": [LABELS[0], LABELS[0, :, :, :4]]},
        ),
        (ValueError, r"samples\[1\]: got device meta, expected cpu", {"samples": [LABELS[0], LABELS[0].to("meta")]}),
        (ValueError, r"references: got 1 images, expected 2 as in samples", {"references": [LABELS[0]]}),
        (ValueError, r"references: got 3 x 5 pixels, expected 4 x 5 as in samples", {"references": LABELS[:, :, 1:]}),
        (ValueError, r"references: got device meta, expected cpu as samples", {"references": LABELS.to("meta")}),
        (ValueError, r"samples: got labels 2 .. 2, expected 0 .. 1 .*convention\(", {"samples": LABELS + 2}),
        (ValueError, r"references: got labels -1 .. -1, expected 0 .. 1", {"references": LABELS.long() - 1}),
        (
            ValueError,
            r"references: got labels 24 .. 24, expected 0 .. 23",
            {"references": LABELS + 24, "convention": "kohl-cityscapes"},
        ),
        (
            ValueError,
            r"samples: got PackedMasks of 3 planes, expected 1 or 2",
            {"samples": PackedMasks.pack(LABELS, 3)},
        ),
        (ValueError, r"convention: got 'iou', expected one of kohl-lidc, ", {"convention": "iou"}),
        (TypeError, r"ignore: got dtype torch.float32, expected a bool tensor", {"ignore": LABELS[:, 0].float()}),
        (ValueError, r"ignore: got shape \(4, 5\), expected .*\(2, 4, 5\)", {"ignore": LABELS[0, 0].bool()}),
        (ValueError, r"ignore: got device meta, expected cpu as samples", {"ignore": LABELS[:, 0].bool().to("meta")}),
        (TypeError, r"weights: got list, expected a float tensor", {"weights": [1.0]}),
        (TypeError, r"weights: got dtype torch.int64, expected a float tensor", {"weights": torch.tensor([1, 0, 0])}),
        (ValueError, r"weights: got shape \(2,\), expected \(N,\) = \(3,\) or .*\(2, 3\)", {"weights": THIRDS[:2]}),
        (ValueError, r"weights: got shape \(1, 3\), expected", {"weights": THIRDS[None]}),
        (ValueError, r"weights: got device meta, expected cpu as references", {"weights": THIRDS.to("meta")}),
        (ValueError, r"weights: got a negative or NaN value", {"weights": torch.tensor([1.5, -0.5, 0])}),
        (
            ValueError,
            r"weights: got a negative or NaN value",
            {"weights": torch.tensor([0.5, 0.5, math.nan])},
        ),
        (
            ValueError,
            r"weights: got a sum of 0.9, expected 1; divide",
            {"weights": torch.tensor([[0.5, 0.5, 0], [0.4, 0.5, 0]])},
        ),
        (
            ValueError,
            r"weights: got a value > 0 beyond the last of an image's references",
            {"weights": THIRDS, "references": [LABELS[0], LABELS[0, :2]]},
        ),
    ],
)
def test_errors_name_the_argument_and_instruct(error, message, arguments):
    with pytest.raises(error, match="^" + message):
        energy_distance(**{"samples": LABELS, "references": LABELS, **arguments})

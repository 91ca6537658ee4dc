"""Hypotheses in two halves: chance in the one is independent of chance in the other."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fastpunet.arguments import check_switch
from fastpunet.masks import PackedMasks
from fastpunet.metrics.mask_sets import read_mask_set
from fastpunet.metrics.probabilities import Probabilities
from fastpunet.metrics.shares import Predictions


def halves(samples: Predictions) -> tuple[Any, Any]:
    """Every second hypothesis of each image, from the first and from the second on, in the form of the samples."""
    if isinstance(samples, Probabilities):
        return Probabilities(samples.values[:, ::2]), Probabilities(samples.values[:, 1::2])
    if isinstance(samples, list | tuple):
        # One image's label maps have no axis of images, its PackedMasks do.
        first, second = (
            [each[k::2] if isinstance(each, Tensor) else each[:, k::2] for each in samples] for k in (0, 1)
        )
        return first, second
    assert isinstance(samples, Tensor | PackedMasks)
    return samples[:, ::2], samples[:, 1::2]


def check_split(split: bool, samples: Predictions, sample_weights: Tensor | None) -> bool:
    """The switch; ValueError if it is on and there are no two hypotheses, or some have weights."""
    check_switch("split", split)
    if not split:
        return False
    if sample_weights is not None:
        raise ValueError(
            "sample_weights: got weights with split=True, expected None, because all hypotheses of a half weigh the "
            "same; leave them out"
        )
    if isinstance(samples, Probabilities):
        fewest = samples.values.shape[1]
    else:
        fewest = int(read_mask_set("samples", samples).counts.min())
    if fewest < 2:
        raise ValueError("samples: got a single hypothesis with split=True, expected two or more; draw more")
    return True

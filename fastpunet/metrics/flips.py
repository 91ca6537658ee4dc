"""Which classes a hypothesis flips (Kohl et al. 2018, section 4.2), read off the pixels that truly have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fastpunet.masks import PackedMasks
from fastpunet.metrics.checks import Masks, check_label_tensor, check_masks, check_same_frame
from fastpunet.metrics.planes import class_words
from fastpunet_kernels import area


@dataclass(frozen=True, eq=False)
class FlipCounts:
    """Of the pixels that truly have class i, in each of n hypotheses of B images:

    kept     int64 (B, n, k), those labelled with the class
    flipped  int64 (B, n, k), those labelled with its twin
    present  bool (B, k), whether the image has any

    Both counts may be summed over hypotheses and images: flipped / (kept + flipped) is the flip frequency of pixels.
    """

    kept: Tensor
    flipped: Tensor
    present: Tensor

    @property
    def decisions(self) -> Tensor:
        """Whether each hypothesis flips each class, float64 (B, n, k): 1 if more of the class's pixels are labelled
        with the twin than with the class, 0 if fewer. NaN, it does not say, if as many, as where there are none of
        either; no tie is broken towards "unflipped"."""
        lead = (self.flipped - self.kept).sign().double()
        return ((lead + 1) / 2).masked_fill(lead == 0, float("nan"))

    @property
    def frequencies(self) -> Tensor:
        """Share of an image's hypotheses that flip a class, of those that say: float64 (B, k), NaN where none does."""
        return self.decisions.nanmean(1)

    @property
    def silent(self) -> Tensor:
        """Share of an image's hypotheses that do not say of a class: float64 (B, k), NaN where the image lacks it."""
        return self.decisions.isnan().double().mean(1).masked_fill(~self.present, float("nan"))


def flip_counts(samples: Masks, labels: Tensor, twins: Mapping[int, int]) -> FlipCounts:
    """Count the flipped pixels of every hypothesis, class by class, in the order of `twins`.

    samples  labels (B, n, H, W) of bool, uint8 or signed integer dtype, or `PackedMasks`
    labels   uint8 or signed integer (B, H, W), the unflipped truth. Pixels of no class in `twins`, such as those to be
             ignored, do not count
    twins    class to the class that it turns into, k of them, all different

    Raises TypeError or ValueError, naming the argument, for input that is not as above.
    """
    check_masks("samples", samples)
    check_label_tensor("labels", labels, "(B, H, W)")
    check_same_frame("labels", labels[:, None], "samples", samples)
    everyone = [*twins, *twins.values()]
    planes = samples.num_planes if isinstance(samples, PackedMasks) else 256
    if not twins or len(set(everyone)) < len(everyone) or not set(everyone) <= set(range(planes)):
        raise ValueError(f"twins: got {dict(twins)}, expected different classes of 0 .. {planes - 1}; correct them")
    truth = class_words(labels[:, None], planes, list(twins), None)
    kept, flipped = (
        area(class_words(samples, planes, list(classes), None) & truth).long() for classes in (twins, twins.values())
    )
    return FlipCounts(kept, flipped, area(truth).squeeze(1) > 0)

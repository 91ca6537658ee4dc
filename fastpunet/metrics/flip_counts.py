"""Which classes a hypothesis flips (Kohl et al. 2018, section 4.2), read off the pixels that truly have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fastpunet.arguments import check_choice, check_count, check_label_tensor
from fastpunet.masks import PackedMasks
from fastpunet.metrics.mask_sets import Masks, check_same_images, read_mask_set
from fastpunet.metrics.planes import select_classes
from fastpunet_kernels import area

AMONG = ("either", "all")  # the pixels by which flips are divided


@dataclass(frozen=True, eq=False)
class FlipCounts:
    """Of the pixels that truly have class i, in each of n hypotheses of B images:

    kept     int64 (B, n, k), those labelled with the class
    flipped  int64 (B, n, k), those labelled with its twin
    pixels   int64 (B, k), all of them, whatever their label

    The counts may be summed over hypotheses and images.
    """

    kept: Tensor
    flipped: Tensor
    pixels: Tensor

    @property
    def present(self) -> Tensor:
        """Whether the image has any pixel of the class, bool (B, k)."""
        return self.pixels > 0

    def pixel_frequencies(self, among: str = "either") -> Tensor:
        """How often the pixels of a class are flipped, over all hypotheses: float64 (B, k); NaN if there is none.

        among: "either", the pixels labelled with the class or its twin; or "all", all pixels of the class, as the
        authors' evaluation divides, which counts a pixel with any third label as not flipped.

        >>> import torch
        >>> counts = FlipCounts(*(torch.tensor(count) for count in ([[[1]]], [[[3]]], [[10]])))  # 6 are something else
        >>> counts.pixel_frequencies(), counts.pixel_frequencies("all")
        (tensor([[0.7500]], dtype=torch.float64), tensor([[0.3000]], dtype=torch.float64))
        """
        check_choice("among", among, AMONG)
        flipped = self.flipped.sum(1).double()
        total = self.pixels * self.flipped.shape[1] if among == "all" else self.flipped.sum(1) + self.kept.sum(1)
        return flipped / total

    @property
    def decisions(self) -> Tensor:
        """Whether each hypothesis flips each class, float64 (B, n, k).

        1 if more of the class's pixels are labelled with the twin than with the class, 0 if fewer. NaN, undecided, if
        the numbers are equal, also if both are 0: no tie is broken towards "not flipped".
        """
        lead = (self.flipped - self.kept).sign().double()
        return ((lead + 1) / 2).masked_fill(lead == 0, float("nan"))

    @property
    def frequencies(self) -> Tensor:
        """Of the hypotheses that decide about a class, the share that flips it, float64 (B, k); NaN if none decides."""
        return self.decisions.nanmean(1)

    @property
    def undecided(self) -> Tensor:
        """Share of hypotheses that are undecided about a class, float64 (B, k); NaN where the image lacks it."""
        return self.decisions.isnan().double().mean(1).masked_fill(~self.present, float("nan"))


def flip_counts(samples: Masks, labels: Tensor, twins: Mapping[int, int]) -> FlipCounts:
    """Count the flipped pixels of every hypothesis, class by class, in the order of `twins`.

    samples  labels (B, n, H, W) or (B, n, D, H, W) of bool, uint8 or signed integer dtype, or `PackedMasks`
    labels   uint8 or signed integer (B, H, W) or (B, D, H, W), the truth without flips. Pixels of no class in `twins`,
             such as those to be ignored, do not count
    twins    class to the class that it turns into, k of them, all different

    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> import torch
    >>> truth = torch.tensor([[[0, 0, 0, 1]]])  # one image; class 0 turns into class 2
    >>> samples = torch.tensor([[[[0, 0, 2, 1]], [[2, 2, 2, 1]]]])
    >>> counts = flip_counts(samples, truth, {0: 2})
    >>> counts.kept.flatten().tolist(), counts.flipped.flatten().tolist(), counts.frequencies.tolist()
    ([2, 0], [1, 3], [[0.5]])
    """
    sample_set = read_mask_set("samples", samples, ragged=False)
    check_label_tensor("labels", labels, "(B, H, W) or (B, D, H, W)")
    check_same_images(read_mask_set("labels", labels[:, None], ragged=False), sample_set)
    if not isinstance(twins, Mapping):
        raise TypeError(f"twins: got {type(twins).__name__}, expected a mapping of classes, such as {{0: 19}}")
    total = max(2, samples.num_planes) if isinstance(samples, PackedMasks) else 256
    classes, others = (
        [check_count("twins", label, least=0, limit=total - 1) for label in side] for side in (twins, twins.values())
    )
    if not classes or len({*classes, *others}) < 2 * len(classes):
        raise ValueError(
            f"twins: got {dict(twins)}, expected different classes, at least one and its twin; correct them"
        )
    truth = select_classes(labels[:, None], total, classes)
    kept, flipped = (area(select_classes(samples, total, named) & truth).long() for named in (classes, others))
    return FlipCounts(kept, flipped, area(truth).squeeze(1).long())

"""The probability that hypotheses, and the share that graders, give to each class at each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fastpunet.arguments import check_same_device
from fastpunet.masks import PackedMasks
from fastpunet.metrics.mask_sets import MaskSet, RaggedMasks, check_ignore, check_pair, mask_weights, read_mask_set
from fastpunet.metrics.planes import class_planes, class_shares, count_classes
from fastpunet.metrics.probabilities import Probabilities

Predictions = RaggedMasks | Probabilities


@dataclass(frozen=True, eq=False)
class Shares:
    """Of B images of P pixels; K classes, or 1, the foreground, of binary masks.

    predicted  float64 (B, K, P), probabilities
    observed   float64 (B, K, P), shares of graders
    counted    float64 (B, P), 1 where a pixel counts, else 0. The other two are 0 where it does not
    """

    predicted: Tensor
    observed: Tensor
    counted: Tensor

    @property
    def foreground(self) -> Shares:
        """All classes but the background."""
        if self.predicted.shape[1] == 1:
            return self
        return Shares(self.predicted[:, 1:], self.observed[:, 1:], self.counted)

    @property
    def every_class(self) -> Shares:
        """The background too, of binary masks as well."""
        if self.predicted.shape[1] > 1:
            return self
        predicted, observed = (
            torch.cat((self.counted[:, None] - part, part), 1) for part in (self.predicted, self.observed)
        )
        return Shares(predicted, observed, self.counted)


def read_shares(
    samples: Predictions,
    references: RaggedMasks,
    num_classes: int | None,
    weights: Tensor | None,
    sample_weights: Tensor | None,
    ignore: Tensor | None,
) -> Shares:
    """What the scores of probabilities look at.

    samples         labels (B, n, *size), `PackedMasks`, a list of either, of each image, or `Probabilities`
    references      labels (B, M, *size), `PackedMasks`, or a list of either
    num_classes     None for binary masks; K
    weights         float (M,) or (B, M): probabilities of the references; None: all count alike
    sample_weights  float (n,) or (B, n): probabilities of the samples; None: all count alike
    ignore          bool (B, *size), True where a pixel does not count, whatever its label

    Raises TypeError or ValueError, naming the argument, for input that is not as above.
    """
    total = count_classes(num_classes)
    classes = (1,) if num_classes is None else range(total)
    reference_set = read_mask_set("references", references)
    if isinstance(samples, Probabilities):
        check_probabilities_fit(samples, reference_set, num_classes, ignore)
        p = None if sample_weights is None else mask_weights(hypotheses_of(samples), sample_weights, "sample_weights")
        predicted = samples.mean(p)
    else:
        sample_set = read_mask_set("samples", samples)
        check_pair(sample_set, reference_set, ignore)
        planes = class_planes(sample_set, total, classes, ignore)
        predicted = class_shares(planes, sample_set, sample_weights, "sample_weights")
    observed = class_shares(class_planes(reference_set, total, classes, ignore), reference_set, weights)
    counted = torch.ones_like(observed[:, 0])
    if ignore is not None:
        counted = (~ignore).flatten(1).double()
        predicted = predicted * counted[:, None]
    return Shares(predicted, observed, counted)


def check_probabilities_fit(
    samples: Probabilities, references: MaskSet, num_classes: int | None, ignore: Tensor | None
) -> None:
    """Of the images, pixels, classes and device of the references, and an `ignore` that fits them."""
    images, _, planes = samples.values.shape[:3]
    if planes != (num_classes or 1):
        raise ValueError(
            f"samples: got Probabilities of {planes} classes, expected {num_classes or 1} for "
            f"num_classes={num_classes}; pass the right num_classes, or [:, :, 1:] of two classes for binary masks"
        )
    if (images, samples.size) != (references.images, references.size):
        raise ValueError(
            f"samples: got Probabilities of {images} images of {samples.size} pixels, expected {references.images} of "
            f"{references.size} as in references; pass both for the same images"
        )
    check_same_device("samples", samples.values.device, "references", references.device)
    check_ignore(ignore, references)


def hypotheses_of(samples: Probabilities) -> MaskSet:
    """As many masks, for the check of their weights."""
    images, n = samples.values.shape[:2]
    none = torch.zeros((images, n, 1, 1), dtype=torch.int32, device=samples.values.device)
    return MaskSet("samples", PackedMasks(none, (1, 1)), torch.full((images,), n))

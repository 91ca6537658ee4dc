"""How likely an annotation is under each hypothesis: the sum of what its parts say of single pixels and of boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from fastpunet.hypotheses.fits.annotation import Annotation, Area, Box, Points, flat_index, shape_text
from fastpunet.hypotheses.one_image import check_known_labels


def label_log_probs(logits: Tensor) -> Tensor:
    """log p(label | z) of every label, float64 (n, K', p), K' >= 2, of logits (n, K, p); K = 1 means binary."""
    logits = logits.double()
    if logits.shape[1] == 1:
        one = F.logsigmoid(logits)
        return torch.cat((one - logits, one), 1)  # 1 - sigmoid(x) = sigmoid(x) exp(-x)
    return logits.log_softmax(1)


@dataclass(frozen=True, eq=False)
class Side:
    """A statement about several pixels, `places` in `Evidence.pixels`: some has the label, or, if not `some`, none."""

    places: Tensor
    label: int
    some: bool
    weight: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """An annotation of an image of a known size, for a model of a known number of classes.

    pixels   int64 (p,), the flattened pixels that the annotation speaks of
    weights  float64 (K', p), how often "this pixel has this label" counts
    others   float64 (K', p), how often "this pixel has another label" counts
    sides    the statements about the sides of boxes
    """

    pixels: Tensor
    weights: Tensor
    others: Tensor
    sides: tuple[Side, ...]

    @staticmethod
    def of(annotation: object, size: tuple[int, ...], num_classes: int, device: torch.device) -> Evidence:
        """Raises TypeError or ValueError, naming `annotation`, for one that does not fit the image or the model."""
        if not isinstance(annotation, Annotation) or not annotation.parts:
            got = "an empty Annotation" if isinstance(annotation, Annotation) else type(annotation).__name__
            raise TypeError(
                f"annotation: got {got}, expected an Annotation, such as Annotation.mask(labels) or "
                "Annotation.points(include=[(20, 30)])"
            )
        classes, total = max(2, num_classes), torch.Size(size).numel()
        weights, others = (torch.zeros(classes, total, dtype=torch.float64, device=device) for _ in range(2))
        sides: list[Side] = []
        for part in annotation.parts:
            if isinstance(part, Area):
                _add_area(weights, part, size, num_classes)
                continue
            if part.label >= classes:
                raise ValueError(f"annotation: got label {part.label}, expected one of the model's 0 .. {classes - 1}")
            if isinstance(part, Points):
                for place in part.places:
                    (weights if part.inside else others)[part.label, flat_index(place, size)] += part.weight
            else:
                sides += _sides(part, size, device)
        _check_consistent(weights, others, sides, size)
        used = (weights + others).sum(0) > 0
        for side in sides:
            used[side.places] = True
        number = used.cumsum(0) - 1
        renumbered = tuple(replace(side, places=number[side.places]) for side in sides)
        return Evidence(used.nonzero()[:, 0], weights[:, used], others[:, used], renumbered)

    def log_likelihood(self, log_probs: Tensor) -> Tensor:
        """log p(annotation | z) in nats, float64 (n,), of `label_log_probs` (n, K', p) at `pixels`, with gradients.

        Pixels are independent given z, as in the models' own likelihood. Of a side, one pixel speaks for all.
        """
        total = log_probs.flatten(1) @ self.weights.flatten()
        for label in self.others.any(1).nonzero()[:, 0].tolist():
            total = total + _other(log_probs, label) @ self.others[label]
        for side in self.sides:
            of_side = log_probs[..., side.places]
            spoken = of_side[:, side.label].amax(1) if side.some else _other(of_side, side.label).amin(1)
            total = total + side.weight * spoken
        return total

    def agreement(self, mask: Tensor) -> float:
        """The share, by weight, of what the annotation says that is true of a mask uint8 (*size)."""
        labels = mask.flatten()[self.pixels].long()
        is_so = F.one_hot(labels, len(self.weights)).T.double()
        right = float((self.weights * is_so).sum() + (self.others * (1 - is_so)).sum())
        said = float(self.weights.sum() + self.others.sum())
        for side in self.sides:
            right += side.weight * float(bool((labels[side.places] == side.label).any()) == side.some)
            said += side.weight
        return right / said


def _add_area(weights: Tensor, area: Area, size: tuple[int, ...], num_classes: int) -> None:
    if tuple(area.labels.shape) != size:
        raise ValueError(
            f"annotation: got labels of {shape_text(area.labels.shape)} pixels, expected {shape_text(size)}, the size "
            "of the image; resample them by nearest neighbour, or crop them"
        )
    check_known_labels("annotation", area.labels, num_classes, area.unknown)
    labels = area.labels.to(weights.device).flatten().long()
    known = labels != area.unknown
    if not bool(known.any()):
        raise ValueError(f"annotation: got {area.unknown} (unknown) at every pixel, expected at least one known label")
    weights[labels[known], known.nonzero()[:, 0]] += area.weight


def _sides(box: Box, size: tuple[int, ...], device: torch.device) -> Iterator[Side]:
    """What a box says of each of its sides, with places in the flattened image."""
    for place in (box.low, box.high):
        flat_index(place, size)
    index = torch.arange(torch.Size(size).numel(), device=device).view(size)
    within = tuple(
        slice(max(0, low - box.slack), high + box.slack + 1) for low, high in zip(box.low, box.high, strict=True)
    )
    for axis, (low, high) in enumerate(zip(box.low, box.high, strict=True)):
        for side in (low, high):
            layers = slice(max(0, side - box.slack), side + box.slack + 1)
            touching = (*within[:axis], layers, *within[axis + 1 :])
            yield Side(index[touching].flatten(), box.label, True, box.weight)
        before, behind = max(0, low - box.slack), min(size[axis], high + box.slack + 1)
        for start, end in ((0, before), (behind, size[axis])):
            if end > start:
                yield Side(index.narrow(axis, start, end - start).flatten(), box.label, False, box.weight)


def _check_consistent(weights: Tensor, others: Tensor, sides: Sequence[Side], size: tuple[int, ...]) -> None:
    denied = others > 0
    for side in sides:
        if not side.some:
            denied[side.label, side.places] = True
    wrong = (((weights > 0).sum(0) > 1) | ((weights > 0) & denied).any(0)).nonzero()[:, 0]
    if len(wrong):
        place = tuple(int(index) for index in torch.unravel_index(wrong[0], size))
        raise ValueError(
            f"annotation: got parts with different labels for pixel {place}, expected one label; correct one of the "
            "parts"
        )


def _other(log_probs: Tensor, label: int) -> Tensor:
    """log p(another label than this), (n, p)."""
    return torch.cat((log_probs[:, :label], log_probs[:, label + 1 :]), 1).logsumexp(1)

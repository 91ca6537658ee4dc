"""Which question would resolve most of the uncertainty about the mode."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fastpunet.arguments import check_label_range
from fastpunet.hypotheses.alternatives.finding_modes import known_classes
from fastpunet.hypotheses.alternatives.finding_modes import modes as find_modes
from fastpunet.hypotheses.alternatives.mode_result import Modes
from fastpunet.hypotheses.questions.answers import Answers, make_question, read_answers
from fastpunet.hypotheses.questions.disputed_regions import disputed_regions, majorities
from fastpunet.hypotheses.questions.information import entropy, information, joint_counts
from fastpunet.hypotheses.questions.resolution import Resolution
from fastpunet.hypotheses.summaries.summary import Summary
from fastpunet.masks import PackedMasks
from fastpunet.metrics.mask_sets import Masks, MaskSet, read_mask_set
from fastpunet.metrics.planes import NAME_THE_CLASSES, count_classes

_AXES = ("slice", "row", "column")
_REGIONS = 20  # large images can have thousands


def resolve(
    masks: Masks,
    modes: Sequence[Modes] | None = None,
    *,
    summary: Summary | None = None,
    questions: Mapping[str, object] | None = None,
    num_classes: int | None = None,
) -> list[Resolution]:
    """For every image: where it is uncertain, and which question would tell most about its mode.

    Args:
        masks: hypotheses, labels (B, n, H, W) or (B, n, D, H, W) of bool, uint8 or signed integer dtype, or
            `PackedMasks`.
        modes: those of the same hypotheses, one for each image; None: as `modes` finds them.
        summary: of the same images: the maps of total, expected and mutual information come from it. None: from the
            masks, where every hypothesis is certain, so that all uncertainty is disagreement.
        questions: your own: for every text, such as "whether the diameter is at least 8 mm", the answers that the
            hypotheses give, bool or whole numbers (B, n), or (n,) for one image.
        num_classes: as in `modes`.

    The answer is the label of a pixel, or the most frequent label in a region (the smallest of several), as the true
    segmentation would have it. The truth is taken to be one of the hypotheses, each as likely as any other. So what a
    question would resolve is the mutual information of answer and mode (the expected information gain of Lindley 1956,
    Ann. Math. Stat. 27, 986), from counts. With A answers and k modes, counts of n hypotheses overrate it by about
    (A - 1) (k - 1) / (1.4 n) bits (Miller 1955), 0.003 for two answers, five modes and n = 1000.

    Time and memory grow with n times the pixels. Needs SciPy, and kmedoids where modes have to be found.

    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> import torch
    >>> hypotheses = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]])[None, :, None]
    >>> best = resolve(hypotheses)[0].best
    >>> best.text, round(best.information, 3)
    ('whether the pixel in row 0, column 2 belongs to it', 0.811)
    >>> dict(zip(best.answers, best.modes.tolist()))
    {'no': [1.0, 0.0], 'yes': [0.0, 1.0]}
    """
    mask_set = read_mask_set("masks", masks, ragged=False)
    total = count_classes(known_classes(masks, num_classes))
    if isinstance(masks, Tensor):
        check_label_range("masks", masks, total, NAME_THE_CLASSES)
    its_modes = find_modes(masks, num_classes=num_classes) if modes is None else _check_modes(modes, mask_set)
    _check_summary(summary, mask_set)
    own = {text: read_answers(text, given, mask_set) for text, given in (questions or {}).items()}
    return [
        _resolve(
            _labels(masks, image),
            its_modes[image],
            None if summary is None else (summary.entropy[image], summary.mutual_information[image]),
            {text: answers[image] for text, answers in own.items()},
            binary=total == 2,
        )
        for image in range(mask_set.images)
    ]


def _resolve(
    labels: Tensor, modes: Modes, maps: tuple[Tensor, Tensor] | None, own: dict[str, Answers], *, binary: bool
) -> Resolution:
    values, k = torch.unique(labels), len(modes)
    words = ("no", "yes") if binary else tuple(f"class {value}" for value in range(256))
    named = [words[value] for value in values.tolist()]
    pixels = joint_counts(labels.flatten(1), values, modes.members, k)
    pixel_information = information(pixels)
    best = int(pixel_information.argmax())
    at = torch.zeros_like(labels[0], dtype=torch.bool)
    at.flatten()[best] = True
    unit = "pixel" if at.ndim == 2 else "voxel"
    questions = []  # of equal ones the user's own come first, and a pixel before a region
    for text, answers in own.items():
        counts = joint_counts(answers.given[:, None], answers.values, modes.members, k)[..., 0]
        questions.append(make_question(text, answers.words, counts, None))
    asked = f"the {unit} in {_place(best, at.shape)}"
    questions.append(make_question(_ask(asked, binary), named, pixels[..., best], at))
    regions = disputed_regions(modes.masks)
    if regions.any():
        counts = joint_counts(majorities(labels, regions), values, modes.members, k)
        for place in information(counts).argsort(descending=True, stable=True)[:_REGIONS].tolist():
            where = regions == place + 1
            questions.append(make_question(_ask(_region(where, place + 1), binary), named, counts[..., place], where))
    if maps is None:
        shares = pixels.sum(1)
        total_entropy = disagreement = entropy(shares, 0).reshape(at.shape)
    else:
        total_entropy, disagreement = (each.double() / math.log(2) for each in maps)
    return Resolution(
        modes=modes,
        entropy=float(entropy(modes.members.bincount(minlength=k), 0)),
        total=total_entropy,
        expected=total_entropy - disagreement,
        mutual_information=disagreement,
        pixel_information=pixel_information.reshape(at.shape),
        regions=regions,
        questions=tuple(sorted(questions, key=lambda question: -question.information)),
    )


def _labels(masks: Masks, image: int) -> Tensor:
    """Labels (n, *size) of one image, not bool."""
    if isinstance(masks, PackedMasks):
        return masks[image : image + 1].unpack()[0]
    return masks[image].to(torch.uint8) if masks.dtype == torch.bool else masks[image]


def _place(pixel: int, size: torch.Size) -> str:
    position = np.unravel_index(pixel, tuple(size))
    return ", ".join(f"{axis} {at}" for axis, at in zip(_AXES[-len(size) :], position, strict=True))


def _region(where: Tensor, number: int) -> str:
    """What a region is called: its size and, because it need not be convex, one of its pixels."""
    unit = "pixel" if where.ndim == 2 else "voxel"
    size, first = int(where.sum()), int(where.flatten().nonzero()[0])
    return f"region {number} ({size} {unit}{'' if size == 1 else 's'}, one of them {_place(first, where.shape)})"


def _ask(what: str, binary: bool) -> str:
    return f"whether {what} belongs to it" if binary else f"which class {what} has"


def _check_modes(modes: object, masks: MaskSet) -> Sequence[Modes]:
    if not isinstance(modes, Sequence) or not all(isinstance(each, Modes) for each in modes):
        raise TypeError(
            f"modes: got {type(modes).__name__}, expected a list of Modes, as fastpunet.hypotheses.modes returns it, "
            "or None"
        )
    found = [(len(each.members), tuple(each.masks.shape[1:])) for each in modes]
    if found != [(masks.longest, masks.size)] * masks.images:
        raise ValueError(
            f"modes: got {len(modes)} Modes of (hypotheses, size) {sorted(set(found))}, expected {masks.images} of "
            f"{(masks.longest, masks.size)} as in masks; give those of the same hypotheses"
        )
    return modes


def _check_summary(summary: object, masks: MaskSet) -> None:
    if summary is None:
        return
    if not isinstance(summary, Summary):
        raise TypeError(
            f"summary: got {type(summary).__name__}, expected a Summary, as fastpunet.summarize returns it, or None"
        )
    shape = (masks.images, *masks.size)
    if tuple(summary.entropy.shape) != shape:
        raise ValueError(
            f"summary: got one of (images, *size) {tuple(summary.entropy.shape)}, expected {shape} as in masks; "
            "summarize the same images"
        )

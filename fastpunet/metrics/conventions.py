"""How a paper turns the overlap of two label maps into one distance: classes, overlap, and what two empty masks are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fastpunet.arguments import check_choice, check_count, check_switch

OVERLAPS = ("iou", "dice")


def check_classes(classes: object, num_classes: int) -> tuple[int, ...]:
    """Different classes out of 0 .. num_classes - 1, at least one, as a tuple of ints."""
    if not isinstance(classes, Iterable):
        raise TypeError(f"classes: got {classes!r}, expected a sequence of classes, such as (1, 2)")
    named = tuple(check_count("classes", label, least=0, limit=num_classes - 1) for label in classes)
    if not named or len(set(named)) < len(named):
        raise ValueError(f"classes: got {named}, expected different classes among 0 .. {num_classes - 1}; correct them")
    return named


def check_empty(empty: object) -> None:
    """The IoU of two empty masks: 1.0, 0.0 or nan."""
    if not isinstance(empty, int | float) or not (empty in (0, 1) or math.isnan(empty)):
        raise ValueError(
            f"empty: got {empty!r}, expected 1.0, 0.0 or nan, the IoU of two empty masks; pick one of these"
        )


@dataclass(frozen=True)
class Convention:
    """How the overlaps of two label maps become one distance: d = 1 - (mean overlap over some classes).

    name         what reports call it
    num_classes  K; labels are 0 .. K - 1, and binary masks have K = 2
    classes      the classes whose IoU is averaged; None: all but the background, 1 .. K - 1
    empty        the IoU of a class that both label maps lack: 1.0, 0.0, or nan, which leaves the class out of the mean
    overlap      "iou", or "dice" for the distance 1 - Dice; scores that are named for their overlap keep to their name
    false_alarm  the IoU of a class that the reference lacks and the hypothesis has: 0.0, or nan, which leaves it out.
                 nan needs empty=nan as well, and makes all terms of the energy distance but E d(S, Y) NaN, because
                 neither of two hypotheses is a reference
    strict       a pair of label maps that has no class to compare (d is NaN): True makes every term that it belongs to
                 NaN for the whole image; False leaves the pair out of the means over pairs

    Raises TypeError or ValueError, naming the field, for values that are not as above.

    >>> Convention("all classes", num_classes=3, classes=(0, 1, 2), empty=0.0).averaged
    (0, 1, 2)
    """

    name: str
    num_classes: int = 2
    classes: tuple[int, ...] | None = None
    empty: float = 1.0
    overlap: str = "iou"
    false_alarm: float = 0.0
    strict: bool = False

    def __post_init__(self) -> None:
        check_count("num_classes", self.num_classes, least=2, advice="leave it out for binary masks")
        check_empty(self.empty)
        check_choice("overlap", self.overlap, OVERLAPS)
        check_switch("strict", self.strict)
        if not (self.false_alarm == 0 or (math.isnan(self.false_alarm) and math.isnan(self.empty))):
            raise ValueError(
                f"false_alarm: got {self.false_alarm!r} with empty={self.empty!r}, expected 0.0, or nan if empty is "
                "nan too, which leaves out every class that the reference lacks"
            )
        if self.classes is not None:
            object.__setattr__(self, "classes", check_classes(self.classes, self.num_classes))

    @property
    def averaged(self) -> tuple[int, ...]:
        """The classes whose IoU is averaged."""
        return tuple(range(1, self.num_classes)) if self.classes is None else self.classes


# Cityscapes' train ids, then the flipped twins in the order of the authors' release.
_SWITCHABLE = {"road": 0, "sidewalk": 1, "vegetation": 8, "person": 11, "car": 13}
_FLIPPED = {"sidewalk_2": 19, "person_2": 20, "car_2": 21, "vegetation_2": 22, "road_2": 23}

CONVENTIONS = {
    preset.name: preset
    for preset in (
        Convention("kohl-lidc", classes=(1,)),
        Convention("kohl-cityscapes", 24, (*_SWITCHABLE.values(), *_FLIPPED.values()), math.nan),
        Convention("kohl-cityscapes-strict", 24, (*_SWITCHABLE.values(), *_FLIPPED.values()), math.nan, strict=True),
        Convention("phiseg"),
        Convention("ssn"),
        Convention("ccdm"),
        Convention("d-persona", empty=0.0),
        Convention("monai", empty=math.nan, false_alarm=math.nan),
    )
}


def convention(name: str, *, num_classes: int | None = None, classes: Sequence[int] | None = None) -> Convention:
    """A preset by name, for your number of classes: convention("ccdm", num_classes=4) averages classes 1, 2 and 3.

    "kohl-lidc"        Kohl et al. 2018, arXiv 1806.05034: binary foreground; two empty masks have d = 0
    "kohl-cityscapes"  the same paper, as in the authors' evaluation script: 24 classes, 19 + 5 flipped twins; mean over
                       those of the ten switchable classes that at least one of the two label maps has. A pair that has
                       none is left out of the means over pairs
    "kohl-cityscapes-strict"  the same, and a pair that has none makes the image NaN, as the authors' script does, which
                       then leaves such images out of its mean over images
    "phiseg"           Baumgartner et al. 2019, arXiv 1906.04045: mean over classes 1 .. K - 1, IoU 1 if both lack one
    "ssn"              Monteiro et al. 2020, arXiv 2006.06015: mean over classes 1 .. K - 1, IoU 1 if both lack one
    "ccdm"             Zbinden et al. 2023, arXiv 2303.08888: mean over classes 1 .. K - 1, IoU 1 if both lack one
    "d-persona"        Wu et al. 2024 (their metrics_set.py), as DiffOSeg, ProSeg and Zepf: two empty masks have d = 1,
                       because a small number in the denominator makes 0 / 0 into 0
    "monai"            MONAI's ignore_empty=True: a class that the reference lacks is left out, whatever the hypothesis

    Two other ways in the literature have no preset, because they are not rules for the distance of two label maps:
    Czolbe et al. draw the references anew, with replacement, and ValUES scores all pairs together by one Dice
    coefficient.

    K is 2 unless stated; for K = 2 "kohl-lidc", "phiseg", "ssn" and "ccdm" give the same distance. If you pass
    `classes`, these are averaged in place of the preset's.

    Raises ValueError for an unknown name, and for a num_classes that leaves open which classes a preset with a fixed
    list should average.

    >>> convention("ccdm", num_classes=4).averaged
    (1, 2, 3)
    """
    preset = find_convention(name)
    if num_classes is not None and classes is None and preset.classes is not None and num_classes != preset.num_classes:
        raise ValueError(
            f"num_classes: got {num_classes}, expected {preset.num_classes}, for which {name!r} is defined; give "
            'classes= as well, or use "ccdm", which averages classes 1 .. K - 1'
        )
    total = preset.num_classes if num_classes is None else num_classes
    return replace(
        preset, num_classes=total, classes=preset.classes if classes is None else check_classes(classes, total)
    )


def default_convention(num_classes: int) -> Convention:
    """The convention that is used if none is named: "kohl-lidc" for binary masks (1 or 2 classes), "ccdm" for more.

    >>> default_convention(1).name, default_convention(4).name
    ('kohl-lidc', 'ccdm')
    """
    check_count("num_classes", num_classes)
    return convention("kohl-lidc" if num_classes <= 2 else "ccdm", num_classes=max(2, num_classes))


def find_convention(choice: str | Convention) -> Convention:
    """The preset of that name; a Convention is returned as it is."""
    if isinstance(choice, Convention):
        return choice
    if not isinstance(choice, str) or choice not in CONVENTIONS:
        choices = ", ".join(CONVENTIONS)
        raise ValueError(f"convention: got {choice!r}, expected one of {choices}, or a fastpunet.metrics.Convention")
    return CONVENTIONS[choice]

"""How a paper turns the IoUs of two label maps into one distance: which classes, and what two empty masks are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastpunet.metrics.checks import check_empty, check_num_classes


@dataclass(frozen=True)
class Convention:
    """d = 1 - (mean IoU over some classes).

    name         what reports call it
    num_classes  K; labels are 0 .. K - 1, and binary masks have K = 2
    classes      the classes whose IoU is averaged; None: all but the background, 1 .. K - 1
    empty        the IoU of a class that both label maps lack: 1.0, 0.0, or nan, which leaves the class out of the mean

    Raises TypeError or ValueError, naming the field, for values that are not as above.
    """

    name: str
    num_classes: int = 2
    classes: tuple[int, ...] | None = None
    empty: float = 1.0

    def __post_init__(self) -> None:
        check_num_classes(self.num_classes)
        check_empty(self.empty)
        named = self.averaged
        if not named or len(set(named)) < len(named) or not set(named) <= set(range(self.num_classes)):
            raise ValueError(
                f"classes: got {named}, expected different classes out of 0 .. {self.num_classes - 1}; "
                "correct them, or raise num_classes"
            )

    @property
    def averaged(self) -> tuple[int, ...]:
        """The classes whose IoU is averaged."""
        return tuple(range(1, self.num_classes)) if self.classes is None else tuple(self.classes)


# Cityscapes' train ids, then the flipped twins in the order of the authors' release.
_SWITCHABLE = {"road": 0, "sidewalk": 1, "vegetation": 8, "person": 11, "car": 13}
_FLIPPED = {"sidewalk_2": 19, "person_2": 20, "car_2": 21, "vegetation_2": 22, "road_2": 23}

CONVENTIONS = {
    preset.name: preset
    for preset in (
        Convention("kohl-lidc", classes=(1,)),
        Convention("kohl-cityscapes", 24, (*_SWITCHABLE.values(), *_FLIPPED.values()), math.nan),
        Convention("phiseg"),
        Convention("ssn"),
        Convention("ccdm"),
    )
}


def convention(name: str, *, num_classes: int | None = None, classes: Sequence[int] | None = None) -> Convention:
    """A preset by name, for your number of classes: convention("ccdm", num_classes=4) averages classes 1, 2 and 3.

    "kohl-lidc"        Kohl et al. 2018, arXiv 1806.05034: binary foreground; two empty masks have d = 0
    "kohl-cityscapes"  the same paper, as in the authors' evaluation script: 24 classes, 19 + 5 flipped twins; mean over
                       those of the ten switchable classes that at least one of the two label maps has. A pair that has
                       none makes the script's result NaN; here it is left out of the means over pairs
    "phiseg"           Baumgartner et al. 2019, arXiv 1906.04045: mean over classes 1 .. K - 1, IoU 1 if both lack one
    "ssn"              Monteiro et al. 2020, arXiv 2006.06015: mean over classes 1 .. K - 1, IoU 1 if both lack one
    "ccdm"             Zbinden et al. 2023, arXiv 2303.08888: mean over classes 1 .. K - 1, IoU 1 if both lack one

    Not here, for they are no rules for d: "czolbe", which draws the references anew, with replacement; "values", which
    scores all pairs together by one Dice coefficient.

    K is 2 unless stated; for K = 2 all but "kohl-cityscapes" are the same distance. `classes` overrides those averaged.
    Raises ValueError for an unknown name, and for a num_classes that leaves open which classes a preset with a fixed
    list should average.
    """
    preset = find_convention(name)
    if num_classes is not None and classes is None and preset.classes is not None and num_classes != preset.num_classes:
        raise ValueError(
            f"num_classes: got {num_classes}, expected {preset.num_classes}, for which {name!r} lists its classes; "
            'give classes= as well, or take "ccdm", which averages 1 .. K - 1'
        )
    return replace(
        preset,
        num_classes=preset.num_classes if num_classes is None else num_classes,
        classes=preset.classes if classes is None else tuple(classes),
    )


def default_convention(num_classes: int) -> Convention:
    """The one to take where nobody named any: "kohl-lidc" for binary masks (1 or 2 classes), "ccdm" for more."""
    return convention("kohl-lidc" if num_classes <= 2 else "ccdm", num_classes=max(2, num_classes))


def find_convention(choice: str | Convention) -> Convention:
    """The preset of that name; a Convention is its own answer."""
    if isinstance(choice, Convention):
        return choice
    if not isinstance(choice, str) or choice not in CONVENTIONS:
        choices = ", ".join(CONVENTIONS)
        raise ValueError(f"convention: got {choice!r}, expected one of {choices}, or a fastpunet.metrics.Convention")
    return CONVENTIONS[choice]

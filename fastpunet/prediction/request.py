"""What a run is asked for: the same for all of its images, and written beside each answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastpunet.arguments import check_choice, check_count, is_number
from fastpunet.data.writing import FORMATS
from fastpunet.hypotheses.measures import applicable
from fastpunet.intensity import Intensity
from fastpunet.latents import SAMPLERS, check_seed

UNITS = ("auto", "mm", "px")


@dataclass(frozen=True)
class Request:
    """How hypotheses are drawn, and what is made of them.

    n, seed, precision, sampler   see `fastpunet.sample`
    intensity   which stored grey values become 0 and 1; None: as in the model's training, else as the format suggests
    spacing     mm between pixels along each axis, if the file does not say or says it wrongly
    convert     turn colours to grey, or grey to colours, where the model wants the other
    window, overlap   size and overlap of the parts that pass the networks, see `fastpunet.windowed`; None: the whole
    unit        "mm": an image without spacing is an error; "px": measures in pixels; "auto": mm where spacing is known
    mean, entropy   write these maps
    modes       write this many modes, 0: as many as there are; None: no modes
    thresholds  measures with values, in the units of the measures: how probable it is that each is reached
    format      of the files; None: that of the input
    measures    what an archive measures besides the area or the volume; answers in folders have all measures
    """

    n: int = 1000
    seed: int = 0
    precision: str = "auto"
    sampler: str = "random"
    intensity: Intensity | None = None
    spacing: tuple[float, ...] | None = None
    convert: bool = False
    window: int | tuple[int, ...] | None = None
    overlap: float = 0.5
    unit: str = "auto"
    mean: bool = False
    entropy: bool = False
    modes: int | None = None
    thresholds: tuple[tuple[str, float], ...] = ()
    format: str | None = None
    measures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("sampler", self.sampler, tuple(SAMPLERS))
        check_count("n", self.n, limit=SAMPLERS[self.sampler])
        check_seed(self.seed)
        if self.format is not None:
            check_choice("format", self.format, FORMATS)
        for name in self.measures:
            check_choice("measures", name, tuple(dict.fromkeys((*applicable(2), *applicable(3)))))
        for name, value in self.thresholds:
            check_choice("thresholds", name, tuple(dict.fromkeys((*applicable(2), *applicable(3)))))
            if not is_number(value):
                raise ValueError(f"thresholds: got {name} {value!r}, expected a number in the unit of the measure")
        check_choice("unit", self.unit, UNITS)
        if self.modes is not None:
            check_count("modes", self.modes, least=0)
        if self.spacing is not None and not all(0 < step < float("inf") for step in self.spacing):
            raise ValueError(f"spacing: got {list(self.spacing)}, expected positive numbers of mm")

    def window_of(self, dims: int) -> tuple[int, ...]:
        """The window's size along each axis of images of so many dimensions, as far as it is known."""
        return self.window if isinstance(self.window, tuple) else (self.window or 0,) * dims

    def to_dict(self) -> dict[str, Any]:
        """The request as a dict for JSON. Two requests with equal dicts give equal answers for the same model."""
        values = dict(vars(self))
        values["intensity"] = None if self.intensity is None else str(self.intensity)
        values["spacing"] = None if self.spacing is None else list(self.spacing)
        values["thresholds"] = list(map(list, self.thresholds))
        values["measures"] = list(self.measures)
        return values

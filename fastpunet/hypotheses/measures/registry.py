"""The measures that are built in, and how functions of masks become measures. New ones are added to `_BUILT_IN`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeAlias

import numpy as np

from fastpunet.hypotheses.measures.boundary import boundary
from fastpunet.hypotheses.measures.counting import (
    centroid_column,
    centroid_row,
    centroid_slice,
    content,
    distance_to_structure,
    number_of_components,
)
from fastpunet.hypotheses.measures.diameter_3d import maximum_3d_diameter
from fastpunet.hypotheses.measures.diameters import longest_diameter, perpendicular_diameter
from fastpunet.hypotheses.measures.geometry import BoolArray, FloatArray, Geometry


@dataclass(frozen=True)
class Measure:
    """A number that every mask has.

    name             what it is called in tables, files and sentences, with underscores for spaces
    function         takes bool (n, *size), masks of one image, and the image's `Geometry`; returns n numbers, NaN where
                     a mask has none
    unit             "mm", "mm^2" or "mm^3", in which "px" takes the place of "mm" where lengths are measured in pixels;
                     any other text stays as it is
    dims             the dimensions of the images that have it
    needs_structure  whether it needs a structure in the image
    """

    name: str
    function: Callable[[BoolArray, Geometry], Any]
    unit: str = ""
    dims: tuple[int, ...] = (2, 3)
    needs_structure: bool = False

    def unit_in(self, length: str) -> str:
        """The unit where lengths are measured in "mm" or in "px"."""
        return self.unit.replace("mm", length) if self.unit in ("mm", "mm^2", "mm^3") else self.unit


_BUILT_IN = (
    Measure("area", content, "mm^2", dims=(2,)),
    Measure("volume", content, "mm^3", dims=(3,)),
    Measure("longest_diameter", longest_diameter, "mm"),
    Measure("perpendicular_diameter", perpendicular_diameter, "mm"),
    Measure("maximum_3d_diameter", maximum_3d_diameter, "mm", dims=(3,)),
    Measure("perimeter", boundary, "mm", dims=(2,)),
    Measure("surface_area", boundary, "mm^2", dims=(3,)),
    Measure("centroid_slice", centroid_slice, "mm", dims=(3,)),
    Measure("centroid_row", centroid_row, "mm"),
    Measure("centroid_column", centroid_column, "mm"),
    Measure("number_of_components", number_of_components),
    Measure("distance_to_structure", distance_to_structure, "mm", needs_structure=True),
)
MEASURES = {measure.name: measure for measure in _BUILT_IN}

What: TypeAlias = str | Measure | Callable[[BoolArray], Any]


def applicable(dims: int, *, structure: bool = False) -> tuple[str, ...]:
    """The names of the built-in measures of images (2) or volumes (3), with or without a structure in them.

    >>> applicable(2)[:4]
    ('area', 'longest_diameter', 'perpendicular_diameter', 'perimeter')
    """
    return tuple(m.name for m in _BUILT_IN if dims in m.dims and (structure or not m.needs_structure))


def one_by_one(function: Callable[[BoolArray], Any]) -> Callable[[BoolArray], FloatArray]:
    """A function of one mask, bool (*size), as a function of many, bool (n, *size), which `measure` takes.

    >>> def width(mask):
    ...     return mask.any(0).sum()
    >>> one_by_one(width)(np.ones((2, 3, 4), bool))
    array([4., 4.])
    """

    @wraps(function)
    def of_many(masks: BoolArray) -> FloatArray:
        return np.array([float(function(mask)) for mask in masks])

    return of_many


def select(what: What | Iterable[What] | None, dims: int, structure: bool) -> list[Measure]:
    """The measures that `measure` was asked for; None stands for all that are applicable.

    Raises TypeError or ValueError, naming the argument, for unknown, unnamed, repeated or inapplicable ones.
    """
    if what is None:
        what = applicable(dims, structure=structure)
    wanted = [what] if isinstance(what, str | Measure) or callable(what) else list(what)
    measures = [_read(item) for item in wanted]
    if not measures:
        raise ValueError("what: got no measure, expected at least one; None stands for all that are built in")
    names = [measure.name for measure in measures]
    for measure in measures:
        if names.count(measure.name) > 1:
            raise ValueError(f"what: got {measure.name!r} twice, expected different names; rename one of them")
        if dims not in measure.dims:
            kind = "volumes" if dims == 3 else "images of two dimensions"
            raise ValueError(
                f"what: got {measure.name!r}, which {kind} do not have; expected some of {', '.join(applicable(dims))}"
            )
        if measure.needs_structure and not structure:
            raise ValueError(
                f"what: got {measure.name!r} without structure=, the mask to measure distances to; give it"
            )
    return measures


def _read(item: object) -> Measure:
    if isinstance(item, Measure):
        return item
    if isinstance(item, str):
        if item not in MEASURES:
            raise ValueError(f"what: got {item!r}, expected some of {', '.join(MEASURES)}, or functions of masks")
        return MEASURES[item]
    if not callable(item):
        raise TypeError(f"what: got {item!r}, expected names of measures, or functions of masks")
    name = getattr(item, "__name__", "<unnamed>")
    if not name.isidentifier():
        raise ValueError(
            f'what: got a function without a name, {name}; expected one made with def, or Measure("name", f)'
        )
    return Measure(name, lambda masks, _: item(masks))

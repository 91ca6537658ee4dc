"""Measures all hypotheses of images, part by part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from fastpunet.arguments import check_choice, check_label_range, check_label_tensor
from fastpunet.hypotheses.measures.geometry import BoolArray, FloatArray, Geometry
from fastpunet.hypotheses.measures.registry import Measure, What, select
from fastpunet.hypotheses.measures.result import Measures
from fastpunet.masks import PackedMasks
from fastpunet.metrics.mask_sets import Masks, MaskSet, read_mask_set
from fastpunet.metrics.planes import class_planes, count_classes

_PIXELS = 1 << 22  # of masks that are measured at a time; a measure needs at most some 20 bytes for each


def measure(
    masks: Masks,
    what: What | Iterable[What] | None = None,
    *,
    spacing: Sequence[float] | Sequence[Sequence[float]] | Tensor | None = None,
    unit: str | None = None,
    num_classes: int | None = None,
    structure: Tensor | None = None,
) -> Measures:
    """Measure every hypothesis, by any function of a mask: its values are a distribution over the hypotheses.

    Args:
        masks: labels (B, n, H, W) or (B, n, D, H, W), of bool, uint8 or signed integer dtype, or `PackedMasks`.
        what: names of built-in measures, functions or `Measure`s, one or several; None stands for all built-in ones
            that fit the masks. A function takes masks as a bool array of NumPy (n, *size), empty ones too, and returns
            n numbers, NaN where there is none; `one_by_one(function)` makes one of a function of a single mask (*size).
        spacing: mm between pixels along each axis of the images, as in `data.Record.spacing`, for all images or one for
            each of B. None measures in pixels, which are taken for squares (cubes), and units then say "px".
        unit: "mm" refuses to measure without spacing, "px" measures in pixels in spite of it; None takes "mm" if there
            is a spacing.
        num_classes: None for binary masks, of which the foreground is measured; K >= 2 for labels 0 .. K - 1, of which
            every class is. PackedMasks of several planes know their classes.
        structure: bool or labels 0 and 1, (*size) or (B, *size), the mask to which `distance_to_structure` measures.

    The built-in measures, of images or of volumes (D, H, W), are:

        area                    or volume; 0 for empty masks
        longest_diameter        the largest distance between two points of the outline; in volumes within one slice
        perpendicular_diameter  the extent perpendicular to it, in the same slice
        maximum_3d_diameter     of volumes, the largest distance in any direction
        perimeter               or surface_area, by Crofton's formula; 0 for empty masks
        centroid_row            and centroid_column, centroid_slice: from the centre of the first pixel
        number_of_components    pixels that share an edge or a corner are of one component; 0 for empty masks
        distance_to_structure   between the nearest centres of pixels, 0 where mask and structure overlap

    Where no 0 is named, empty masks have NaN. The modules of `fastpunet.hypotheses.measures` have the definitions.

    Returns `Measures`, whose values are float64 (B, n), or (B, n, K) with classes, in main memory. Apart from them and
    packed masks, memory does not grow with n. Raises TypeError or ValueError, naming the argument, for input that is
    not as above, and ModuleNotFoundError if SciPy is missing where it is needed.

    >>> import torch
    >>> masks = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)  # one image: an empty mask, a row of 4 pixels, a rectangle
    >>> masks[0, 1, 2, 1:5] = 1
    >>> masks[0, 2, 2:4, 1:7] = 1
    >>> measured = measure(masks, ["area", "longest_diameter"], spacing=(0.5, 0.5))
    >>> measured.values["area"].tolist(), measured.units
    ([[0.0, 1.0, 3.0]], {'area': 'mm^2', 'longest_diameter': 'mm'})
    >>> print(measured.probability("longest_diameter", ">=", 2))
    probability that the longest diameter is >= 2 mm: 0.67 [0.21, 0.94]
    """
    masks_read = read_mask_set("masks", masks, ragged=False)
    if num_classes is None and isinstance(masks, PackedMasks) and masks.num_planes > 1:
        num_classes = masks.num_planes
    total = count_classes(num_classes)
    geometries = _geometries(masks_read, spacing, unit, structure)
    measures = select(what, len(masks_read.size), structure is not None)
    classes = (1,) if num_classes is None else tuple(range(total))
    planes = PackedMasks(class_planes(masks_read, total, classes, None), masks_read.size)
    values = {one.name: torch.empty(planes.words.shape[:3], dtype=torch.float64) for one in measures}
    for image, geometry in enumerate(geometries):
        for some, plane, part in _parts(planes, image):
            for one in measures:
                values[one.name][image, some, plane] = torch.from_numpy(_apply(one, part, geometry))
    empty = (planes.area() == 0).cpu()
    if num_classes is None:
        values, empty = {name: its[..., 0] for name, its in values.items()}, empty[..., 0]
    length = "px" if spacing is None or unit == "px" else "mm"
    return Measures(values, {one.name: one.unit_in(length) for one in measures}, empty)


def _parts(planes: PackedMasks, image: int) -> Iterator[tuple[slice, int, BoolArray]]:
    """One image's masks of each plane, some at a time: which hypotheses, the plane, bool (n, *size)."""
    together = max(1, _PIXELS // planes.pixels)
    for first in range(0, planes.shape[1], together):
        some = slice(first, first + together)
        for plane in range(planes.num_planes):
            words = planes.words[image : image + 1, some, plane : plane + 1]
            labels = PackedMasks(words.contiguous(), planes.size).unpack()[0]
            yield some, plane, labels.cpu().numpy().view(np.bool_)


def _apply(one: Measure, masks: BoolArray, geometry: Geometry) -> FloatArray:
    values = np.asarray(one.function(masks, geometry))
    if values.shape != (len(masks),):
        raise ValueError(
            f"what: {one.name} returned shape {values.shape} for masks {masks.shape}, expected {(len(masks),)}, one "
            f"number for each mask; if it takes a single mask, pass one_by_one({one.name})"
        )
    return values.astype(np.float64)


def _geometries(masks: MaskSet, spacing: object, unit: str | None, structure: Tensor | None) -> list[Geometry]:
    spacings = _spacings(masks, spacing, unit)
    if structure is None:
        return [Geometry(one) for one in spacings]
    axes = ", ".join(map(str, masks.size))
    check_label_tensor("structure", structure, "(H, W) or (D, H, W) or (B, H, W) or (B, D, H, W)")
    if tuple(structure.shape) not in (masks.size, (masks.images, *masks.size)):
        raise ValueError(
            f"structure: got shape {tuple(structure.shape)}, expected ({axes}) or ({masks.images}, {axes}) as in "
            "masks; resample it to the image's pixels"
        )
    check_label_range("structure", structure, 2, "choose one structure, such as labels == 2")
    structures = structure.bool().expand(masks.images, *masks.size).cpu().numpy()
    empty = np.flatnonzero(~structures.reshape(masks.images, -1).any(1))
    if len(empty):
        raise ValueError(
            f"structure: got an empty mask for image {empty[0]}, expected at least one pixel of a structure"
        )
    return [Geometry(one, its) for one, its in zip(spacings, structures, strict=True)]


def _spacings(masks: MaskSet, spacing: object, unit: str | None) -> list[tuple[float, ...]]:
    """The distances between pixels of each image, 1 where pixels are the unit."""
    dims = len(masks.size)
    if unit is not None:
        check_choice("unit", unit, ("mm", "px"))
    if spacing is None:
        if unit == "mm":
            raise ValueError("spacing: got None, expected mm between pixels along each axis, to measure in mm")
        return [(1.0,) * dims] * masks.images
    expected = (
        f"{dims} positive numbers, mm between pixels along each axis, or such a row for each of {masks.images} images"
    )
    try:
        read = np.asarray(spacing, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"spacing: got {spacing!r}, expected {expected}") from None
    if read.shape not in ((dims,), (masks.images, dims)):
        raise ValueError(f"spacing: got {spacing!r}, expected {expected}")
    if not (np.isfinite(read).all() and (read > 0).all()):
        raise ValueError(f"spacing: got {spacing!r}, expected {expected}")
    if unit == "px":
        read = np.ones_like(read)
    return [tuple(map(float, row)) for row in np.broadcast_to(read, (masks.images, dims))]

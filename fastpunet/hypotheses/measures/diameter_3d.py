"""The longest diameter of masks of volumes in any direction.

The outline of a mask has points half a voxel from the centres of its voxels along each axis, as that of
`diameters.longest_diameter` has. The outlines of two voxels are farthest apart along the vector between their centres
and a whole step along one axis: half steps along two axes lead to a point between two such, and a norm is convex. Only
voxels that are corners of the convex hull of all matter.
"""

from __future__ import annotations

import numpy as np

from fastpunet.hypotheses.measures.geometry import BoolArray, FloatArray, Geometry, cropped
from fastpunet.optional import require

_FEW = 32  # points of which all pairs are compared sooner than a hull is found


def maximum_3d_diameter(masks: BoolArray, geometry: Geometry) -> FloatArray:
    """Largest distance between two points of the outline in any direction; NaN for empty masks.

    It is "maximum 3D diameter" of the Image Biomarker Standardisation Initiative (Zwanenburg et al. 2020, L0JK), on the
    outline of voxels in place of a mesh.
    """
    steps = np.asarray(geometry.spacing)
    return np.array([_of_mask(mask, steps) if mask.any() else np.nan for mask in cropped(masks)])


def _of_mask(mask: BoolArray, steps: FloatArray) -> float:
    points = _corners(_row_ends(mask) * steps)
    apart = np.abs(points[:, None] - points)
    squares = (apart**2).sum(-1)
    return float(np.sqrt(max((squares + steps[k] * (2 * apart[..., k] + steps[k])).max() for k in range(3))))


def _row_ends(mask: BoolArray) -> FloatArray:
    """The first and the last voxel of each row (points, 3); those between lie on the line from one to the other."""
    depth, row = np.nonzero(mask.any(2))
    rows = mask[depth, row]
    first, last = rows.argmax(1), rows.shape[1] - 1 - rows[:, ::-1].argmax(1)
    ends = np.concatenate([np.stack((depth, row, column), 1) for column in (first, last)])
    return np.unique(ends, axis=0).astype(np.float64)


def _corners(points: FloatArray) -> FloatArray:
    """The corners of the points' convex hull, and perhaps some more of the points."""
    if len(points) <= _FEW:
        return points
    span = np.ptp(points, axis=0)
    across = np.flatnonzero(span)  # a mask in one plane has a hull of two dimensions
    if len(across) < 2:
        return points[[points.sum(1).argmin(), points.sum(1).argmax()]]
    spatial = require("scipy.spatial", "measuring a diameter")
    return points[spatial.ConvexHull(points[:, across], qhull_options="QJ").vertices]

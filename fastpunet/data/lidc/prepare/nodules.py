"""Which annotations of a scan are of the same nodule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from fastpunet.data.lidc.prepare.database import Annotation, Contour, Scan

GRADERS = 4
_SHRINK, _SMALLEST = 0.9, 0.1


@dataclass(frozen=True)
class Nodule:
    """At most four annotations of one nodule, in the database's order."""

    index: int  # in the scan
    annotations: tuple[Annotation, ...]

    def outlines(self, z_mm: float) -> list[list[Contour]]:
        """For every annotation, its contours on one slice."""
        return [[contour for contour in a.contours if contour.z_mm == z_mm] for a in self.annotations]

    @property
    def z_mm(self) -> list[float]:
        """Positions of the slices on which anybody outlined it, ascending."""
        return sorted({contour.z_mm for annotation in self.annotations for contour in annotation.contours})

    @property
    def centre(self) -> NDArray[np.float64]:
        """(row, column) of the centre of the box around all its outlines, over all slices."""
        points = np.concatenate([contour.points for annotation in self.annotations for contour in annotation.contours])
        return (points.min(0) + points.max(0)) / 2


def group_annotations(scan: Scan) -> tuple[list[Nodule], int]:
    """The nodules of a scan from low to high z, and how many groups of more than four annotations were left out.

    Groups that are left out have an index too.
    As pylidc's `Scan.cluster_annotations`, so that nodules are those of the literature: annotations are connected where
    their outlines come closer than a tolerance, which is lowered by tenths while a group has more than four. Also as
    there, a distance is counted in pixels and slices, and the first tolerance is the slice thickness in mm.
    """
    points = [_voxels(annotation, scan) for annotation in scan.annotations]
    if not points:
        return [], 0
    distance = _distances(points)
    tolerance = scan.slice_thickness_mm
    groups = _components(distance <= tolerance)
    while max(map(len, groups)) > GRADERS and tolerance * _SHRINK >= _SMALLEST:
        tolerance *= _SHRINK
        groups = _components(distance <= tolerance)
    groups.sort(key=lambda group: float(np.mean([points[i][:, 2].mean() for i in group])))
    nodules = [
        Nodule(index, tuple(scan.annotations[i] for i in group))
        for index, group in enumerate(groups)
        if len(group) <= GRADERS
    ]
    return nodules, len(groups) - len(nodules)


def _voxels(annotation: Annotation, scan: Scan) -> NDArray[np.float64]:
    """(P, 3): row, column and slice of all outline pixels."""
    return np.concatenate(
        [
            np.insert(contour.points.astype(float), 2, scan.slice_index(contour.z_mm), axis=1)
            for contour in annotation.contours
        ]
    )


def _distances(points: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(A, A): the smallest distance between the points of each two annotations."""
    trees = [KDTree(voxels) for voxels in points]
    return np.array([[tree.query(voxels)[0].min() for voxels in points] for tree in trees])


def _components(connected: NDArray[np.bool_]) -> list[list[int]]:
    count, labels = connected_components(connected, directed=False)
    return [np.flatnonzero(labels == label).tolist() for label in range(count)]

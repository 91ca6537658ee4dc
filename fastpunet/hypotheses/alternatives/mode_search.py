"""Representative hypotheses of one image by k-medoids, and how many of them there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastpunet.optional import require
from fastpunet_kernels import mask_iou

_SAMPLE = 1000  # hypotheses that are compared with each other: 8 MB of distances
_RESTARTS = 10
_TASK = "finding modes"


@dataclass(frozen=True)
class Search:
    """How to look for modes; the fields are the arguments of `modes`."""

    k: int | None
    most: int
    apart: float
    rare: float
    seed: int


def find_modes(planes: Tensor, search: Search) -> tuple[Tensor, Tensor]:
    """Indices of the representatives (k,), most probable first, and the mode of each hypothesis (n,), both int64.

    planes: packed int32 (n, K', words), one plane for each class that counts.
    """
    empty = planes.flatten(1).eq(0).all(1)
    limit = search.most if search.k is None else search.k
    own = limit > 1 and bool(empty.any())  # the empty mask is a mode of its own
    rest = (~empty if own else torch.ones_like(empty)).nonzero()[:, 0]
    representatives = rest[_medoids(planes[rest], len(planes), limit - own, search)] if len(rest) else rest
    members = torch.full_like(empty, len(representatives), dtype=torch.int64)
    if len(rest):
        members[rest] = distances(planes[rest], planes[representatives]).argmin(1)
    if own:
        representatives = torch.cat((representatives, empty.nonzero()[0]))
    counts = members.bincount(minlength=len(representatives))
    order = counts.argsort(descending=True, stable=True)
    return representatives[order], order.argsort()[members]


def distances(a: Tensor, b: Tensor) -> Tensor:
    """d = 1 - (mean IoU over the classes that at least one of two masks has), float64 (Na, Nb); 0 for two empty masks.

    a, b: packed int32 (Na, K', words) and (Nb, K', words), one plane for each class that counts.
    """
    iou = mask_iou(a[None], b[None], float("nan"))[0]
    return 1 - iou.double().nanmean(-1).nan_to_num(nan=1.0)


def _medoids(planes: Tensor, n: int, limit: int, search: Search) -> Tensor:
    """Indices of at most `limit` medoids of an image's hypotheses, or of those that are not empty; n: all of them.

    If there are many, some of them, evenly spaced, are compared with each other (CLARA: Kaufman and Rousseeuw 1990,
    Finding Groups in Data, chapter 3). Hypotheses are independent of each other, so that these are a random sample.
    """
    places = torch.linspace(0, len(planes) - 1, min(len(planes), _SAMPLE), dtype=torch.float64).round().long()
    places = places.to(planes.device)
    some = planes[places]
    distinct, copies = torch.unique(some, dim=0, return_inverse=True)
    between = distances(distinct, distinct).cpu().numpy()
    index = copies.cpu().numpy()
    matrix = between[np.ix_(index, index)]
    if search.k is None:
        limit = min(limit, _groups(matrix, search.apart, search.rare * n * len(some) / len(planes)))
    medoids = _k_medoids(matrix, min(limit, len(distinct)), search.seed)
    # Of several copies the first one, so that a result does not depend on which of them was met.
    return places[torch.from_numpy(np.sort((matrix[medoids] == 0).argmax(1))).to(places.device)]


def _groups(matrix: NDArray[np.float64], apart: float, least: float) -> int:
    """How many groups of at least `least` hypotheses lie more than `apart` from each other, on average over pairs."""
    if len(matrix) == 1:
        return 1
    hierarchy: Any = require("scipy.cluster.hierarchy", _TASK, "report")
    condensed = require("scipy.spatial.distance", _TASK, "report").squareform(matrix, checks=False)
    groups = hierarchy.fcluster(hierarchy.linkage(condensed, "average"), apart, "distance")
    return max(1, int((np.bincount(groups) >= max(1, least)).sum()))


def _k_medoids(matrix: NDArray[np.float64], k: int, seed: int) -> NDArray[np.int64]:
    """Indices (k,) of the medoids with the least sum of squared distances: FasterPAM, from several starts.

    Squares give weight to those far from every medoid, so that a rare mode is not lost in a frequent one's variations.
    """
    squared = matrix**2
    if k == 1:
        return squared.sum(0).argmin(keepdims=True)
    fasterpam = require("kmedoids", _TASK, "report").fasterpam
    best = fasterpam(squared, k, init="build", n_cpu=1)
    for start in range(_RESTARTS):
        random = int(np.random.SeedSequence([seed, start]).generate_state(1)[0])
        other = fasterpam(squared, k, init="random", random_state=random, n_cpu=1)
        if other.loss < best.loss * (1 - 1e-9):
            best = other
    return np.asarray(best.medoids).astype(np.int64)

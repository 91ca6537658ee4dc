"""The best transport of mass from many rows to a few columns, which a matching of hypotheses and graders is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TIE = 1e-13  # by which rows that like columns alike are told apart, so that not all of them go to the same one
_SWEEPS = 6  # over the columns' prices; more of them leave less to repair and change nothing else


def best_transport(worth: Array, rows: Array, columns: Array) -> float:
    """The largest sum of f_ij worth_ij over flows f >= 0 whose sums are `rows` (n,) and `columns` (M,).

    worth: float64 (n, M). Both masses have the same total. Exact up to rounding: n hypotheses and M graders, each of
    them repeated to the least common multiple, have the same best value, because the corners of the transport polytope
    are integers (Birkhoff). It takes a time of about n M^2, where the assignment of repeated graders takes n^3: rows go
    to the columns they prefer at prices close to the best ones, and what some columns then have too much of moves to
    others along the cheapest paths (Ahuja, Magnanti and Orlin 1993, section 9.7, successive shortest paths).

    >>> best_transport(np.array([[1.0, 0.5], [1.0, 0.0]]), np.ones(2), np.ones(2))
    1.5
    """
    worth, places = np.unique(worth, axis=0, return_inverse=True)
    rows = np.asarray(np.bincount(places.ravel(), weights=rows, minlength=len(worth)), np.float64)
    flow = np.zeros_like(worth)
    told_apart = worth + _TIE * np.random.default_rng(0).random(worth.shape)
    flow[np.arange(len(worth)), (told_apart - _prices(told_apart, rows, columns)).argmax(1)] = rows
    smallest = 1e-12 * rows.sum()
    while (surplus := flow.sum(0) - columns).max() > smallest:
        _move(worth, flow, surplus, smallest)
    return float((flow * worth).sum())


def _prices(worth: Array, rows: Array, columns: Array) -> Array:
    """Prices (M,) at which about as many rows prefer each column as it takes: each in turn the best for the others'."""
    prices = np.zeros(len(columns))
    if len(columns) == 1:
        return prices
    for _ in range(_SWEEPS):
        for j, room in enumerate(columns):
            gain = worth[:, j] - np.delete(worth - prices, j, axis=1).max(1)
            order = (-gain).argsort()
            last = np.searchsorted(rows[order].cumsum(), room, side="left")
            prices[j] = gain[order[min(int(last), len(order) - 1)]]
    return prices


def _move(worth: Array, flow: Array, surplus: Array, smallest: float) -> None:
    """Move mass from a column with too much to one with too little, along the path that costs least."""
    many = len(surplus)
    used = flow > smallest
    # What it costs to move a row's mass from column j to column k, and the row for which that is least.
    losses = np.where(used[:, :, None], worth[:, :, None] - worth[:, None, :], np.inf)
    cheapest = losses.argmin(0)
    cost = losses.min(0)
    distance = np.where(surplus > smallest, 0.0, np.inf)
    before = np.full(many, -1)
    for _ in range(many - 1):  # Bellman and Ford
        through = distance[:, None] + cost
        shorter = through.min(0) < distance - 1e-15
        before[shorter] = through.argmin(0)[shorter]
        distance = np.where(shorter, through.min(0), distance)
    target = int(np.where(surplus < -smallest, distance, np.inf).argmin())
    path = [target]
    while before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    steps = [(cheapest[j, k], j, k) for k, j in pairwise(path)]
    amount = min(surplus[path[-1]], -surplus[target], *(flow[row, j] for row, j, _ in steps))
    for row, j, k in steps:
        flow[row, j] -= amount
        flow[row, k] += amount

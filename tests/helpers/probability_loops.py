"""Scores of probabilities, volumes and agreement of one image, as their definitions say them, in NumPy.

samples are label maps (n, *size), references (m, *size). weights are the references' probabilities (m,), or None if
they count alike; keep is bool (*size), the pixels that count, or None for all.
"""

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from helpers import score_loops


def shares(masks, classes, weights=None, keep=None):
    """Of the masks with each class at each pixel that counts, (classes, pixels)."""
    pixels = np.ones(masks.shape[1:], bool) if keep is None else keep
    return np.array([np.average((masks == label)[:, pixels], axis=0, weights=weights) for label in range(classes)])


def dice(a, b, empty=1.0):
    return 2 * (a & b).sum() / (a.sum() + b.sum()) if (a | b).any() else empty


def soft_dice(samples, references, classes, thresholds, weights=None, keep=None):
    p, y = shares(samples, classes, keep=keep), shares(references, classes, weights, keep)
    return np.mean([dice(p[c] > t, y[c] > t) for c in range(1, classes) for t in thresholds])


def consensus(samples, references, classes, rule, empty, weights=None, keep=None, iou=False):
    p, y = shares(samples, classes, keep=keep), shares(references, classes, weights, keep)
    pixels = np.ones(samples.shape[1:], bool) if keep is None else keep
    values = []
    for c in range(1, classes):
        truth, predicted = y[c] > 0.5, p[c] > 0.5
        if rule == "unanimous":
            q = np.ones(len(references)) if weights is None else weights
            votes = (references == c)[q > 0][:, pixels]
            agreed = (votes == votes[0]).all(0)
            truth, predicted = truth & agreed, predicted & agreed
        value = dice(truth, predicted, empty)
        values.append(value / (2 - value) if iou else value)
    return score_loops._known_mean(values)


def staple(votes, steps=200):
    """(pixels,) of votes bool (m, pixels)."""
    if not votes.size:
        return np.zeros(votes.shape[1])
    prior = votes.mean()
    p = q = np.full(len(votes), 0.99999)
    for _ in range(steps):
        yes, no = prior, 1 - prior
        for vote, right, wrong in zip(votes, np.clip(p, 1e-12, 1 - 1e-12), np.clip(q, 1e-12, 1 - 1e-12), strict=True):
            yes, no = yes * np.where(vote, right, 1 - right), no * np.where(vote, 1 - wrong, wrong)
        w = yes / (yes + no)
        p = (votes * w).sum(1) / w.sum() if w.sum() > 0 else p
        q = (~votes * (1 - w)).sum(1) / (1 - w).sum() if (1 - w).sum() > 0 else q
    return w


def brier(samples, references, classes, weights=None, keep=None):
    p = shares(samples, classes, keep=keep)
    of_graders = [((p - shares(y[None], classes, keep=keep)) ** 2).sum(0) for y in references]
    return _mean(np.average(of_graders, axis=0, weights=weights))


def nll(samples, references, classes, smallest, weights=None, keep=None):
    p = np.maximum(shares(samples, classes, keep=keep), smallest)
    of_graders = [-np.log((p * shares(y[None], classes, keep=keep)).sum(0)) for y in references]
    return _mean(np.average(of_graders, axis=0, weights=weights))


def selective(samples, references, classes, uncertainty, weights=None, keep=None):
    """aurc, excess, auroc, ause, risk."""
    p, y = shares(samples, classes, keep=keep), shares(references, classes, weights, keep)
    if not p.shape[1]:
        return [math.nan] * 5
    u = uncertain(p, uncertainty).round(9)
    errors = 1 - y[p.argmax(0), np.arange(p.shape[1])]
    risk, aurc = errors.mean(), area_of_risk(u, errors)
    best = area_of_risk(errors, errors)
    auroc = math.nan
    if 1e-9 < errors.sum() < len(errors) - 1e-9:
        of_both = np.concatenate((errors, 1 - errors)).clip(0)
        roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
        auroc = roc_auc_score(np.repeat([1, 0], len(u)), np.tile(u, 2), sample_weight=of_both)
    ause = (aurc - best) / risk if risk > 1e-12 else math.nan
    return [aurc, aurc - best, auroc, ause, risk]


def area_of_risk(u, errors):
    """The mean over numbers of kept pixels of their mean error; equal ones each with their mean."""
    merged = [errors[np.abs(u - value) < 1e-12].mean() for value in np.sort(u)]
    return np.mean([np.mean(merged[: k + 1]) for k in range(len(merged))])


def uncertain(p, kind):
    if kind == "confidence":
        return 1 - p.max(0)
    if kind == "variance":
        return (p * (1 - p)).sum(0)
    return -sum(np.where(q > 0, q * np.log(np.maximum(q, 1e-300)), 0) for q in p)


def uncertainty_ncc(samples, references, classes, kind, weights=None, keep=None):
    p, y = shares(samples, classes, keep=keep), shares(references, classes, weights, keep)
    u, v = uncertain(p, kind), (y * (1 - y)).sum(0)
    return math.nan if not len(u) or np.ptp(u) < 1e-6 or np.ptp(v) < 1e-6 else np.corrcoef(u, v)[0, 1]


def volume_crps(samples, references, classes, unbiased, weights=None, keep=None):
    pixels = np.ones(samples.shape[1:], bool) if keep is None else keep
    values = []
    for c in range(1, classes):
        v, w = (np.array([((labels == c) & pixels).sum() for labels in masks]) for masks in (samples, references))
        pairs = [abs(a - b) for (i, a), (j, b) in itertools.product(enumerate(v), repeat=2) if i != j or not unbiased]
        apart = np.mean(pairs) if pairs else math.nan
        values.append(np.average([np.abs(v - x).mean() - apart / 2 for x in w], weights=weights))
    return np.mean(values)


def normal_crps(samples, references, classes, weights=None, keep=None):
    pixels = np.ones(samples.shape[1:], bool) if keep is None else keep
    p = shares(samples, classes, keep=keep)
    values = []
    for c in range(1, classes):
        v = np.array([((labels == c) & pixels).sum() for labels in references], float)
        mean = np.average(v, weights=weights)
        sd, at = math.sqrt(np.average((v - mean) ** 2, weights=weights)), p[c].sum()
        if sd < 1e-9:
            values.append(abs(at - mean))
            continue
        below = quad(lambda x, m=mean, s=sd: norm.cdf(x, m, s) ** 2, min(at, mean) - 12 * sd, at, epsabs=1e-9)[0]
        above = quad(lambda x, m=mean, s=sd: norm.sf(x, m, s) ** 2, at, max(at, mean) + 12 * sd, epsabs=1e-9)[0]
        values.append(below + above)
    return np.mean(values)


def kappa(samples, references, weights=None, keep=None):
    pixels = np.ones(samples.shape[1:], bool) if keep is None else keep
    if not pixels.any():
        return math.nan
    q = np.ones(len(references)) if weights is None else weights
    values, of_pairs = [], []
    cohen_kappa_score = pytest.importorskip("sklearn.metrics").cohen_kappa_score
    for s, (j, y) in itertools.product(samples, enumerate(references)):
        same = len({*s[pixels], *y[pixels]}) == 1
        values.append(math.nan if same else cohen_kappa_score(s[pixels], y[pixels]))
        of_pairs.append(q[j])
    return score_loops._known_mean(values, of_pairs)


def insight(samples, references, reading, keep=None):
    """value, sensitivity, best_dice, agreement."""
    pixels = np.ones(samples.shape[1:], bool) if keep is None else keep
    s, y = ((masks == 1)[:, pixels] for masks in (samples, references))
    union, truth = s.any(0), y.any(0)
    sensitivity = (union & truth).sum() / truth.sum() if truth.any() else (math.nan if union.any() else 1.0)
    best = np.mean([max(dice(a, b) for a in s) for b in y])
    extremes = []
    for masks in (s, y):
        pairs = [
            np.var(a.astype(float) - b) if reading == "difference" else abs(np.var(a) - np.var(b))
            for a, b in itertools.combinations(masks, 2)
        ]
        extremes.append([min(pairs), max(pairs)] if pairs and pixels.any() else [math.nan] * 2)
    agreement = 1 - np.abs(np.subtract(*extremes)).mean()
    return [3 * sensitivity * best * agreement / (sensitivity + best + agreement), sensitivity, best, agreement]


def energy_parts(samples, references, weights=None, keep=None):
    """detection, shape."""
    pixels = np.ones(samples.shape[1:], bool) if keep is None else keep
    s, y = ((masks == 1)[:, pixels] for masks in (samples, references))
    p, q = np.full(len(s), 1 / len(s)), np.full(len(y), 1 / len(y)) if weights is None else weights

    def mean(a, b, u, v, d):
        terms = [(u[i] * v[j], d(a[i], b[j])) for i in range(len(a)) for j in range(len(b))]
        known = [(w, x) for w, x in terms if not math.isnan(x)]
        total = sum(w for w, _ in known)
        return sum(w * x for w, x in known) / total if total > 0 else math.nan

    def energy(d):
        return 2 * mean(s, y, p, q, d) - mean(s, s, p, p, d) - mean(y, y, q, q, d)

    def shape(a, b):
        return 1 - (a & b).sum() / (a | b).sum() if a.any() and b.any() else math.nan

    return [energy(lambda a, b: float(a.any() != b.any())), energy(shape)]


def class_wise_error(samples, references, classes, bins, weights=None, keep=None):
    p, y = shares(samples, classes, keep=keep), shares(references, classes, weights, keep)
    of_classes = range(classes) if classes > 2 else (1,)
    return np.mean([score_loops.calibration_error(p[c], y[c], bins) for c in of_classes])


def top_label_error(samples, references, classes, bins, weights=None, keep=None):
    p, y = shares(samples, classes, keep=keep), shares(references, classes, weights, keep)
    if classes == 2:
        p[0] = 1 - p[1]
    top = p.argmax(0)
    return score_loops.calibration_error(p.max(0), y[top, np.arange(len(top))], bins)


def _mean(values):
    return np.mean(values) if len(values) else math.nan

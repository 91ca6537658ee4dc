"""Every score of one image as its definition says it, one pair and class at a time, in float64 on NumPy label maps.

samples are label maps (n, *size), references (m, *size). weights are the references' probabilities (m,), or None if
they count alike; keep is bool (*size), the pixels that count, or None for all.
"""

import itertools
import math

import numpy as np
from scipy.optimize import linear_sum_assignment, linprog

ENERGY_TERMS = ("value", "unbiased", "cross", "sample_diversity", "reference_diversity")


def class_overlap(a, b, label, empty, keep=None, dice=False):
    """IoU or Dice of one class of two label maps; `empty`, the IoU, or the Dice of it, where both lack the class."""
    a, b = ((labels == label) & (True if keep is None else keep) for labels in (a, b))
    if not (a | b).any():
        return 2 * empty / (1 + empty) if dice else empty
    shared = (a & b).sum()
    return 2 * shared / (a.sum() + b.sum()) if dice else shared / (a | b).sum()


def overlap(a, b, rule, keep=None, dice=False):
    """Mean over the rule's classes, those without a number left out; NaN if none has one. b is the reference."""
    pixels = True if keep is None else keep
    values = [
        math.nan
        if math.isnan(rule.false_alarm) and not ((b == label) & pixels).any()
        else class_overlap(a, b, label, rule.empty, keep, dice)
        for label in rule.averaged
    ]
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def overlaps(samples, references, rule, keep=None, dice=False):
    """`overlap` of every pair, (n, m)."""
    return np.array([[overlap(s, y, rule, keep, dice) for y in references] for s in samples])


def energy(samples, references, rule, weights=None, keep=None, sample_weights=None):
    """The terms of the energy distance, in the order of ENERGY_TERMS."""
    p = np.full(len(samples), 1 / len(samples)) if sample_weights is None else sample_weights
    q = np.full(len(references), 1 / len(references)) if weights is None else weights
    cross = _mean_distance(samples, references, p, q, False, rule, keep)
    ss, ss_distinct = (_mean_distance(samples, samples, p, p, distinct, rule, keep) for distinct in (False, True))
    yy, yy_distinct = (_mean_distance(references, references, q, q, distinct, rule, keep) for distinct in (False, True))
    if math.isnan(rule.false_alarm):
        return [math.nan, math.nan, cross, math.nan, math.nan]
    ss_term = ss_distinct if sample_weights is None else ss
    yy_term = yy_distinct if weights is None else yy
    return [2 * cross - ss - yy, 2 * cross - ss_term - yy_term, cross, ss, yy]


def _mean_distance(left, right, p, q, distinct, rule, keep):
    total = weight = 0.0
    for i, j in itertools.product(range(len(left)), range(len(right))):
        if distinct and i == j:
            continue
        d = 1 - overlap(left[i], right[j], rule, keep, rule.overlap == "dice")
        if rule.strict and math.isnan(d):
            return math.nan
        if not (math.isnan(d)):
            total, weight = total + p[i] * q[j] * d, weight + p[i] * q[j]
    return total / weight if weight else math.nan


def transport(worth, rows, columns):
    """The best value of the linear program."""
    n, m = worth.shape
    sums = [np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))]
    found = linprog(-worth.ravel(), A_eq=np.concatenate(sums), b_eq=np.concatenate((rows, columns)))
    return -found.fun


def matched(samples, references, rule, weights=None, keep=None, dice=False, repeat=True, sample_weights=None):
    """By an assignment of repeated masks or, with weights, by a linear program."""
    iou = np.array([[overlap(s, y, rule, keep, dice) for y in references] for s in samples])
    known = np.ones(len(references), bool)
    if math.isnan(rule.false_alarm):
        known = ~np.isnan(iou).all(0)
        if not known.any():
            return math.nan
    iou = iou[:, known]
    if not repeat:
        once = np.nan_to_num(iou, nan=1.0)
        return once[linear_sum_assignment(-once)].mean()
    if weights is not None or sample_weights is not None:
        p = np.full(iou.shape[0], 1 / iou.shape[0]) if sample_weights is None else sample_weights
        q = np.ones(len(references)) if weights is None else weights
        if not q[known].sum():
            return math.nan
        return transport(np.nan_to_num(iou, nan=1.0), p, q[known] / q[known].sum())
    common = math.lcm(*iou.shape)
    rows = [s for s in range(iou.shape[0]) for _ in range(common // iou.shape[0])]
    columns = [y for y in range(iou.shape[1]) for _ in range(common // iou.shape[1])]
    repeated = np.nan_to_num(iou[np.ix_(rows, columns)], nan=1.0)
    return repeated[linear_sum_assignment(-repeated)].mean()


def best(samples, references, rule, weights=None, keep=None, dice=False, of_samples=False):
    found = overlaps(samples, references, rule, keep, dice)
    values = [
        max((value for value in column if not math.isnan(value)), default=math.nan)
        for column in (found if of_samples else found.T)
    ]
    return _known_mean(values, None if of_samples else weights)


def ncc(samples, references, weights=None, keep=None):
    """Of all classes, from one-hot maps."""
    pixels = np.ones(samples.shape[1:], bool) if keep is None else keep
    one_hot = [np.eye(256)[labels[:, pixels]] for labels in (samples, references)]
    shares = one_hot[0].mean(0)
    variance = (shares * (1 - shares)).sum(-1)
    errors = [1 - (shares * truth).sum(-1) for truth in one_hot[1]]
    constant = [not len(variance) or np.ptp(variance) < 1e-6 or np.ptp(error) < 1e-6 for error in errors]
    values = [
        math.nan if nothing else np.corrcoef(variance, error)[0, 1]
        for error, nothing in zip(errors, constant, strict=True)
    ]
    return _known_mean(values, weights)


def presence(masks, weights=None, keep=None):
    return _known_mean([float(((labels == 1) & (True if keep is None else keep)).any()) for labels in masks], weights)


def present_distance(samples, references, weights=None, keep=None):
    total = weight = 0.0
    for s, (j, y) in itertools.product(samples, enumerate(references)):
        if presence(s[None], keep=keep) and presence(y[None], keep=keep):
            w = 1.0 if weights is None else weights[j]
            total, weight = total + w * (1 - class_overlap(s, y, 1, math.nan, keep)), weight + w
    return total / weight if weight else math.nan


def nestedness(samples, classes, keep=None):
    nested = pairs = 0
    for label in classes:
        for a, b in itertools.combinations((samples == label) & (True if keep is None else keep), 2):
            if a.any() and b.any() and (a != b).any():
                pairs += 1
                nested += not (a & ~b).any() or not (b & ~a).any()
    return nested / pairs if pairs else math.nan


def calibration_error(predicted, observed, bins):
    edges = np.linspace(0, 1, bins + 1)
    gaps = 0.0
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = (predicted <= high) & ((predicted > low) | (i == 0))
        gaps += abs((predicted[inside] - observed[inside]).sum())
    return gaps / len(predicted) if len(predicted) else math.nan


def _known_mean(values, weights=None):
    """Without those that are NaN; NaN if no others have weight."""
    values, weights = np.array(values), np.ones(len(values)) if weights is None else np.asarray(weights)
    known = ~np.isnan(values) & (weights > 0)
    return (values[known] * weights[known]).sum() / weights[known].sum() if known.any() else math.nan

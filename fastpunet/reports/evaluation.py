"""Score a model on a data set: every metric at every number of hypotheses, an entry an image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from fastpunet.data import IGNORE, Record, Records
from fastpunet.masks import PackedMasks
from fastpunet.metrics import (
    ENERGY_DISTANCE_TERMS,
    Convention,
    best_dice,
    best_iou,
    default_convention,
    energy_distance,
    find_convention,
    matched_iou,
    ncc,
    nestedness,
    pixel_reliability,
    presence,
    presence_reliability,
    present_distance,
)
from fastpunet.models import foreign
from fastpunet.reports.bootstrap import PatientBootstrap, quantiles
from fastpunet.sampling import sample

_CALIBRATION = "_calibration_error"
_MATCHING = {"matched_iou": matched_iou, "best_iou": best_iou, "best_dice": best_dice}
_OF_GRADERS = (*_MATCHING, "ncc")
_PIXELS_TOGETHER, _IMAGES_TOGETHER = 1 << 24, 32  # of all hypotheses that are drawn and scored at once


class Estimate(NamedTuple):
    """A score over a data set and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one data set, one entry an image: scores[n][name] is float64 (images,).

    The names are those of `EnergyDistance` and of `_score`; presence, of binary masks, is the hypotheses',
    graders_presence (images,) the graders'. NaN where a score is undefined. reliability[n][name] is float64
    (images, 3, bins): count, predicted and observed of `metrics.Reliability`, for "pixel" and, if binary, "presence".
    """

    scores: dict[int, dict[str, NDArray[np.float64]]]
    graders_presence: NDArray[np.float64]
    patients: list[str]
    reliability: dict[int, dict[str, NDArray[np.float64]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # "drawing" and "scoring", of the whole data set

    @staticmethod
    def pooled(parts: Sequence[Evaluation]) -> Evaluation:
        """Several models' as one, such as those of several seeds: means are over all, intervals still over patients."""
        graders = np.concatenate([part.graders_presence for part in parts])
        patients = [patient for part in parts for patient in part.patients]
        seconds = {name: sum(part.seconds[name] for part in parts) for name in parts[0].seconds}
        scores, reliability = (_pooled([getattr(part, name) for part in parts]) for name in ("scores", "reliability"))
        return Evaluation(scores, graders, patients, reliability, seconds)

    def estimate(self, n: int, name: str) -> Estimate:
        """Mean of a score over images, those for which it is undefined left out, and its interval over patients.

        "presence_correlation" is Pearson's correlation, over images, of the shares of hypotheses and of graders that
        outline anything; "pixel_calibration_error" and "presence_calibration_error" are those of all predictions of the
        data set together.
        """
        if name.endswith(_CALIBRATION):
            tables = self.reliability[n][name.removesuffix(_CALIBRATION)]
            ends = quantiles(_calibration_error(self._bootstrap.sums(tables)), 0.95)
            return Estimate(float(_calibration_error(tables.sum(0))), *ends)
        if name == "presence_correlation":
            x, y = self.scores[n]["presence"], self.graders_presence
            value = float(np.corrcoef(x, y)[0, 1]) if x.std() > 0 < y.std() else float("nan")
            return Estimate(value, *self._bootstrap.correlation_interval(x, y))
        values = self.scores[n][name]
        known = values[~np.isnan(values)]
        return Estimate(known.mean() if len(known) else float("nan"), *self._bootstrap.mean_interval(values))

    @cached_property
    def _bootstrap(self) -> PatientBootstrap:
        return PatientBootstrap(self.patients)

    def has(self, n: int, name: str) -> bool:
        """Whether there is such a score at that n."""
        if name.endswith(_CALIBRATION):
            return name.removesuffix(_CALIBRATION) in self.reliability.get(n, {})
        return ("presence" if name == "presence_correlation" else name) in self.scores.get(n, {})

    def perfect(self, graders: int, n: int) -> float:
        """What a model that draws as graders do scores under V, which counts pairs i = j: a (1/n + 1/graders),
        a the mean distance between two different graders."""
        different = self.estimate(next(iter(self.scores)), "reference_diversity").value * graders / (graders - 1)
        return different * (1 / n + 1 / graders)


def evaluate(
    model: nn.Module,
    records: Records,
    *,
    ns: Sequence[int] = (1, 4, 8, 16, 1000),
    seed: int = 0,
    convention: str | Convention | None = None,
    precision: str = "auto",
    label: str = "scoring",
) -> Evaluation:
    """Draw max(ns) hypotheses of every record and score the first n of them, for every n, against its masks.

    model: any that `fastpunet.sample` takes. A U-Net Ensemble and M-Heads are scored at those n that they have.
    Masks are graders' annotations, or the exact distribution where a record has weights; pixels labelled 255 by anyone
    do not count. Each record's id is its image's id, so that the result does not depend on the order.
    convention: None takes `metrics.default_convention`. Shows progress on standard error, under `label`.
    """
    if not len(records) or not ns or min(ns) < 1:
        raise ValueError(f"records, ns: got {len(records)} records and n = {list(ns)}, expected at least one, n >= 1")
    counts = _counts(model, ns)
    device = next(model.parameters()).device
    rows: dict[int, list[dict[str, Tensor]]] = {n: [] for n in counts}
    tables: dict[int, list[dict[str, Tensor]]] = {n: [] for n in counts}
    graders_presence, patients = [], []
    seconds = {"drawing": 0.0, "scoring": 0.0}
    with tqdm(total=len(records), desc=label, unit="image", leave=False, disable=None) as progress:
        for batch in _batches(records, max(counts)):
            start = _now(device)
            images = torch.from_numpy(np.stack([record.image for record in batch])).to(device)
            ids = torch.tensor([record.id for record in batch])
            drawn = sample(model, images, max(counts), seed=seed, ids=ids, output="bits", precision=precision)
            middle = _now(device)
            references = _References.of(batch, drawn.num_planes, device)
            for n in counts:
                rows[n].append(_score(drawn[:, :n], references, convention))
                tables[n].append(_reliability(drawn[:, :n], references))
            graders_presence.append(references.presence)
            patients += [record.patient or str(record.id) for record in batch]
            seconds["drawing"] += middle - start
            seconds["scoring"] += _now(device) - middle
            progress.update(len(batch))
    scores, reliability = (
        {n: {name: _joined([part[name] for part in parts]) for name in parts[0]} for n, parts in found.items()}
        for found in (rows, tables)
    )
    return Evaluation(scores, _joined(graders_presence), patients, reliability, seconds)


@dataclass(frozen=True)
class _References:
    """What is known of a batch's truth."""

    masks: PackedMasks  # (B, M, H, W)
    weights: Tensor | None  # float (B, M)
    ignore: Tensor | None  # bool (B, H, W)

    @staticmethod
    def of(batch: Sequence[Record], planes: int, device: torch.device) -> _References:
        labels = torch.from_numpy(np.stack([record.masks for record in batch])).to(device)
        ignored = (labels == IGNORE).any(1)
        masks = PackedMasks.pack(labels.masked_fill(ignored[:, None], 0), None if planes == 1 else planes)
        weights = None
        if batch[0].weights is not None:
            weights = torch.from_numpy(np.stack([record.weights for record in batch])).to(device)  # type: ignore[misc]
        return _References(masks, weights, ignored if ignored.any() else None)

    @property
    def presence(self) -> Tensor:
        """float64 (B,), the probability that anything is outlined."""
        present = self.masks.words.flatten(2).ne(0).any(2).double()
        return present.mean(1) if self.weights is None else (present * self.weights).sum(1)


def _score(samples: PackedMasks, references: _References, convention: str | Convention | None) -> dict[str, Tensor]:
    rule = default_convention(samples.num_planes) if convention is None else find_convention(convention)
    masks, ignore = references.masks, references.ignore
    energy = energy_distance(samples, masks, convention=rule, weights=references.weights, ignore=ignore)
    scores = {name: getattr(energy, name) for name in ENERGY_DISTANCE_TERMS}
    if samples.num_planes == 1:
        scores |= {"present_distance": present_distance(samples, masks), "presence": presence(samples)}
        scores |= {"nestedness": nestedness(samples), "graders_nestedness": nestedness(masks)}
    if references.weights is not None:  # the rest is of graders, not of a distribution
        return scores | dict.fromkeys(_OF_GRADERS, torch.full_like(energy.value, float("nan")))
    scores["ncc"] = ncc(samples, masks, num_classes=_classes(samples), ignore=ignore)
    for name, metric in _MATCHING.items():
        scores[name] = metric(samples, masks, convention=rule, ignore=ignore)
    return scores


def _reliability(samples: PackedMasks, references: _References) -> dict[str, Tensor]:
    masks, weights = references.masks, references.weights
    tables = {
        "pixel": pixel_reliability(
            samples, masks, num_classes=_classes(samples), weights=weights, ignore=references.ignore
        )
    }
    if samples.num_planes == 1:
        tables["presence"] = presence_reliability(samples, masks, weights=weights)
    return {name: torch.stack((table.count, table.predicted, table.observed), 1) for name, table in tables.items()}


def _classes(masks: PackedMasks) -> int | None:
    return None if masks.num_planes == 1 else masks.num_planes


def _calibration_error(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of (..., 3, bins), as `Reliability.error`."""
    count, predicted, observed = np.moveaxis(tables, -2, 0)
    return np.asarray(np.abs(predicted - observed).sum(-1) / count.sum(-1))


def _pooled(parts: Sequence[dict[int, dict[str, NDArray[np.float64]]]]) -> dict[int, dict[str, NDArray[np.float64]]]:
    return {
        n: {name: np.concatenate([part[n][name] for part in parts]) for name in names} for n, names in parts[0].items()
    }


def _counts(model: nn.Module, ns: Sequence[int]) -> list[int]:
    """The numbers of hypotheses, ascending, that the model has."""
    most = getattr(foreign.uncompiled(model), "most", None)
    counts = [n for n in sorted(set(ns)) if most is None or n <= most]
    if not counts:
        raise ValueError(
            f"ns: got {list(ns)}, and {type(model).__name__} has {most} hypotheses of an image; add {most}"
        )
    return counts


def _batches(records: Records, n: int) -> Iterator[list[Record]]:
    """Consecutive records that fit in one tensor, as many as may be drawn together."""
    batch: list[Record] = []
    for record in records:
        limit = max(1, min(_IMAGES_TOGETHER, _PIXELS_TOGETHER // (n * record.image[0].size)))
        if batch and (len(batch) >= limit or _frame(record) != _frame(batch[0])):
            yield batch
            batch = []
        batch.append(record)
    yield batch


def _frame(record: Record) -> tuple[object, ...]:
    return record.image.shape, record.masks.shape, record.weights is None


def _joined(parts: Sequence[Tensor]) -> NDArray[np.float64]:
    return torch.cat(list(parts)).double().cpu().numpy()


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()

"""How a model flips the classes of a data set, alone and together, beside the exact distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from fastpunet.data import IGNORE, Records
from fastpunet.data.flips import ClassFlips, distinct_modes, modes
from fastpunet.masks import PackedMasks
from fastpunet.metrics import (
    ENERGY_DISTANCE_TERMS,
    convention,
    energy_distance,
    flip_counts,
    flip_mode_frequencies,
    total_variation,
    total_variation_of_draws,
)
from fastpunet.reports.bootstrap import PatientBootstrap, quantiles
from fastpunet.reports.scores import DASH, markdown
from fastpunet.sampling import sample

_TITLES = {
    "total_variation": "modes, total variation",
    "value": "GED^2 (V)",
    "unbiased": "GED^2 (U)",
    "cross": "E d(S,Y)",
    "sample_diversity": "E d(S,S')",
    "reference_diversity": "E d(Y,Y')",
}


class Estimates(NamedTuple):
    """Means of some columns and the ends of their 95 % intervals, float64 (columns,) each; NaN where undefined."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


class Score(NamedTuple):
    """A mean over images, the ends of its 95 % interval, and what a perfect sampler is expected to have."""

    mean: float
    low: float
    high: float
    perfect: float


@dataclass(frozen=True)
class FlipsEvaluation:
    """n hypotheses of each image against the exact distribution of its flips; arrays have a row an image.

    probabilities      class to the probability with which it is flipped; k classes, in the order of all columns
    present            bool (images, k), whether the image has the class
    frequencies        float64 (images, k), share of hypotheses that flip the class, of those that decide
    undecided          float64 (images, k), share of hypotheses that are undecided about the class
    kept, flipped      int64 (images, k), the class's pixels labelled with it and with its twin, over all hypotheses
    modes              float64 (images, 2^k), share of hypotheses in each mode, in the order of data.flips.modes
    total_variation    float64 (images,), between these shares and the exact probabilities
    perfect_variation  float64 (images,), the same of n draws from the exact distribution, as expected
    energy             name to float64 (images,), the fields of fastpunet.metrics.EnergyDistance

    NaN where undefined, as for a class that the image lacks. See fastpunet.metrics.FlipCounts, flip_mode_frequencies.
    Intervals come from drawing images with replacement; frames of one video are alike, so they are too narrow for
    other videos.
    """

    probabilities: dict[int, float]
    n: int
    present: NDArray[np.bool_]
    frequencies: NDArray[np.float64]
    undecided: NDArray[np.float64]
    kept: NDArray[np.int64]
    flipped: NDArray[np.int64]
    modes: NDArray[np.float64]
    total_variation: NDArray[np.float64]
    perfect_variation: NDArray[np.float64]
    energy: dict[str, NDArray[np.float64]]

    @property
    def complete(self) -> NDArray[np.bool_]:
        """The images that have all k classes, bool (images,)."""
        return np.asarray(self.present.all(1))

    def image_frequencies(self) -> Estimates:
        """How often a class is flipped, (k,): mean of `frequencies`, images alike."""
        return _means(self.frequencies)

    def pixel_frequencies(self) -> Estimates:
        """How often a class's pixels are flipped, (k,): the pixels of all hypotheses and images, pixels alike."""
        return _ratios(self.flipped.astype(float), (self.kept + self.flipped).astype(float))

    def mode_frequencies(self) -> Estimates:
        """How often hypotheses are in each mode, (2^k,): mean over the complete images."""
        return _means(np.where(self.complete[:, None], self.modes, np.nan))

    def pooled_variation(self) -> tuple[float, float]:
        """Total variation between `mode_frequencies` and the exact probabilities, and a perfect sampler's, as expected.
        NaN if no image is complete."""
        draws = self.n * int(self.complete.sum())
        if not draws:
            return float("nan"), float("nan")
        exact = torch.from_numpy(modes(self.probabilities)[1])
        found = total_variation(torch.from_numpy(self.mode_frequencies().mean), exact)
        return float(found), float(total_variation_of_draws(exact, draws))

    def scores(self) -> dict[str, Score]:
        """total_variation and the fields of EnergyDistance, means over the images for which each is defined."""
        columns = {"total_variation": self.total_variation, **self.energy}
        found = dict(zip(columns, np.stack(_means(np.stack([*columns.values()], 1)), 1).tolist(), strict=True))
        spread = found["reference_diversity"][0]
        perfect = {
            "total_variation": float(_means(self.perfect_variation[:, None]).mean[0]),
            "value": spread / self.n,
            "unbiased": 0.0,
            "cross": spread,
            "sample_diversity": spread * (1 - 1 / self.n),
            "reference_diversity": spread,
        }
        return {name: Score(row[0], row[1], row[2], perfect[name]) for name, row in found.items()}

    def table(self, names: Mapping[int, str] | None = None) -> str:
        """Markdown: first a row a class, then a row a score of all classes together. names: of the classes."""
        heads = ["class", "flipped in truth", "of hypotheses", "95 % interval", "of pixels", "95 % interval"]
        classes = [[*heads, "undecided", "images"]]
        image, pixel, undecided = self.image_frequencies(), self.pixel_frequencies(), _means(self.undecided).mean
        for i, (label, truth) in enumerate(self.probabilities.items()):
            name = f"class {label}" if names is None else names[label]
            found = [text for estimate in (image, pixel) for text in _cells(*(ends[i] for ends in estimate))]
            classes.append([name, f"{truth:.3f}", *found, f"{undecided[i]:.3f}", str(self.present[:, i].sum())])
        together = [[f"{self.n} hypotheses an image", "mean", "95 % interval", "a perfect sampler"]]
        for score_name, (*estimate, perfect) in self.scores().items():
            together.append([_TITLES[score_name], *_cells(*estimate), f"{perfect:.3f}"])
        variation, floor = self.pooled_variation()
        pooled = f"the same, {self.complete.sum()} images with all classes pooled"
        together.insert(2, [pooled, f"{variation:.3f}", "-", f"{floor:.3f}"])
        return f"{markdown(classes)}\n\n{markdown(together)}".replace("nan", DASH)

    def to_dict(self) -> dict[str, Any]:
        """The fields and all estimates for JSON: arrays are lists, undefined values None."""
        flipped, exact = modes(self.probabilities)
        return {
            **{field.name: _jsonable(getattr(self, field.name)) for field in fields(self)},
            "mode_classes": [
                [label for label, on in zip(self.probabilities, row, strict=True) if on] for row in flipped
            ],
            "mode_probabilities": exact.tolist(),
            "image_frequencies": _jsonable(self.image_frequencies()._asdict()),
            "pixel_frequencies": _jsonable(self.pixel_frequencies()._asdict()),
            "mode_frequencies": _jsonable(self.mode_frequencies()._asdict()),
            "pooled_variation": _jsonable(dict(zip(("mean", "perfect"), self.pooled_variation(), strict=True))),
            "scores": {name: _jsonable(score._asdict()) for name, score in self.scores().items()},
        }


def evaluate_flips(
    model: nn.Module,
    records: Records,
    probabilities: Mapping[int, float],
    first_new: int,
    *,
    n: int = 100,
    seed: int = 0,
) -> FlipsEvaluation:
    """Draw n hypotheses of every record and score them as in Kohl et al. 2018, section 4.2.

    model          any that `fastpunet.sample` takes; of one that has fewer hypotheses than n all are drawn
    records        with their one, unflipped label map
    probabilities, first_new   as of fastpunet.data.flips.ClassFlips

    Energy distances are "kohl-cityscapes" of these classes and their twins; pixels labelled IGNORE do not count. Each
    record's id is its image's id, so that the result does not depend on the order. Shows progress on standard error.

    Raises ValueError for no records and for a model of other than first_new + len(probabilities) classes, and whatever
    ClassFlips and `sample` raise.
    """
    if not len(records):
        raise ValueError("records: got none, expected at least one image; read another file")
    most = getattr(model, "most", None)
    n = n if most is None else min(n, most)
    device = next(model.parameters()).device
    rows = []
    for record in tqdm(ClassFlips(records, probabilities, first_new), "scoring", leave=False, disable=None):
        image, ids = torch.from_numpy(record.image)[None].to(device), torch.tensor([record.id])
        drawn = sample(model, image, n, seed=seed, ids=ids, output="bits")
        if drawn.num_planes != first_new + len(probabilities):
            raise ValueError(
                f"model: got {drawn.num_planes} classes, expected {first_new + len(probabilities)}: {first_new} and "
                f"{len(probabilities)} twins; give a model trained on flipped classes"
            )
        rows.append(_score(drawn, torch.from_numpy(record.masks).to(device), probabilities, first_new))
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    energy = {name: columns.pop(name) for name in ENERGY_DISTANCE_TERMS}
    return FlipsEvaluation(dict(probabilities), n, **columns, energy=energy)


def _score(
    drawn: PackedMasks, masks: Tensor, probabilities: Mapping[int, float], first_new: int
) -> dict[str, NDArray[Any]]:
    """One image's row of each array, of its hypotheses (1, n, H, W) and its modes (2^k, H, W), the unflipped first."""
    twins = dict(zip(probabilities, range(first_new, drawn.num_planes), strict=True))
    counts = flip_counts(drawn, masks[:1], twins)
    shares = flip_mode_frequencies(counts, list(probabilities.values()))[0]
    exact = modes(probabilities)[1]
    places, weights = distinct_modes(exact, counts.present[0].cpu().numpy())
    energy = energy_distance(
        drawn,
        masks[places][None],
        convention=convention("kohl-cityscapes", num_classes=drawn.num_planes, classes=[*twins, *twins.values()]),
        weights=torch.from_numpy(weights).to(masks.device),
        ignore=masks[:1] == IGNORE,
    )
    variations = (
        total_variation(shares.cpu(), torch.from_numpy(exact)),
        total_variation_of_draws(torch.from_numpy(weights), drawn.shape[1]),
    )
    row = {
        "present": counts.present[0],
        "frequencies": counts.frequencies[0],
        "undecided": counts.undecided[0],
        "kept": counts.kept[0].sum(0),
        "flipped": counts.flipped[0].sum(0),
        "modes": shares,
        **{name: getattr(energy, name)[0] for name in ENERGY_DISTANCE_TERMS},
        "total_variation": variations[0],
        "perfect_variation": variations[1],
    }
    return {name: value.cpu().numpy() for name, value in row.items()}


def _means(values: NDArray[np.float64]) -> Estimates:
    """Of each column of (images, columns), over the images for which it is known."""
    known = ~np.isnan(values)
    return _ratios(np.where(known, values, 0.0), known.astype(float))


def _ratios(numerators: NDArray[np.float64], denominators: NDArray[np.float64]) -> Estimates:
    """Of the sums over images of each column, (images, columns) both."""
    images = PatientBootstrap([str(i) for i in range(len(numerators))])
    with np.errstate(invalid="ignore"):  # 0 / 0: a column of which nothing is known
        drawn = images.sums(numerators) / images.sums(denominators)
        means = numerators.sum(0) / denominators.sum(0)
    low, high = np.array([quantiles(column, 0.95) for column in drawn.T]).T
    return Estimates(means, low, high)


def _cells(mean: float, low: float, high: float) -> tuple[str, str]:
    return f"{mean:.3f}", DASH if np.isnan(low) else f"{low:.3f} to {high:.3f}"


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_jsonable(entry) for entry in value]
    return None if isinstance(value, float) and np.isnan(value) else value

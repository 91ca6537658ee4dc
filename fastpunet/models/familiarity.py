"""Whether an image is like those that a model was checked on: out-of-distribution detection, kept with its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from fastpunet.arguments import is_number
from fastpunet.models.from_dict import from_dict
from fastpunet.models.image_statistics import image_statistics

LIMIT = 99  # percent of the known images that an unusual one is farther away than
_LARGEST = 1024  # statistics that are read from a file


@dataclass(frozen=True)
class Familiarity:
    """What usual images are: a Gaussian fitted to `image_statistics`, and how far from its mean usual images lie.

    data       the images in words, such as "validation data"
    images     their number
    patients   whose they are
    mean       of the statistics, d numbers
    whitening  d rows of a lower triangular matrix W, row i with i + 1 numbers; |W (x - mean)| is the Mahalanobis
               distance of an image with statistics x (Lee et al. 2018, arXiv 1807.03888)
    quantiles  the 1 %, 2 %, ... 99 % quantiles of the images' own distances, each from a Gaussian that was fitted
               without its patient, by the rank that makes the share of usual images beyond them right (split conformal
               prediction, Vovk et al. 2005; with folds that is an approximation, Barber et al. 2021)

    It is a fact about images as the model takes them, as `intensity` is, and no function of the weights.
    """

    data: str
    images: int
    patients: int
    mean: tuple[float, ...]
    whitening: tuple[tuple[float, ...], ...]
    quantiles: tuple[float, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.data, str):
            raise ValueError(f"familiarity: data is {self.data!r:.80}, expected words")
        for name in ("images", "patients"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"familiarity: {name} is {value!r:.80}, expected a whole number of at least 1")
        d = len(self.mean) if isinstance(self.mean, tuple | list) else 0
        if not 1 <= d <= _LARGEST:
            raise ValueError(f"familiarity: mean is {self.mean!r:.80}, expected 1 .. {_LARGEST} numbers")
        if not isinstance(self.whitening, tuple | list) or len(self.whitening) != d:
            raise ValueError(f"familiarity: whitening is {self.whitening!r:.80}, expected {d} rows")
        rows = tuple(_numbers("whitening", row, place + 1) for place, row in enumerate(self.whitening))
        quantiles = _numbers("quantiles", self.quantiles, LIMIT)
        if quantiles[0] < 0 or list(quantiles) != sorted(quantiles):
            raise ValueError(f"familiarity: quantiles is {self.quantiles!r:.80}, expected distances in ascending order")
        object.__setattr__(self, "mean", _numbers("mean", self.mean, d))
        object.__setattr__(self, "whitening", rows)
        object.__setattr__(self, "quantiles", quantiles)

    @classmethod
    def from_dict(cls, values: object) -> Familiarity:
        """Read the result of `to_dict`. Raises ValueError."""
        found: Familiarity = from_dict("familiarity", cls, values)
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def distances(self, statistics: Tensor) -> Tensor:
        """Mahalanobis distances from the mean of images with these statistics, float64 (B, d): float64 (B,)."""
        whitening = torch.zeros(len(self.mean), len(self.mean), dtype=torch.float64)
        for place, row in enumerate(self.whitening):
            whitening[place, : place + 1] = torch.tensor(row, dtype=torch.float64)
        return ((statistics - torch.tensor(self.mean, dtype=torch.float64)) @ whitening.T).norm(dim=1)

    def percent_nearer(self, statistics: Tensor) -> Tensor:
        """How many percent of the known images are nearer to the mean than each of these, 0 .. 99: int64 (B,)."""
        quantiles = torch.tensor(self.quantiles, dtype=torch.float64)
        return LIMIT - (self.distances(statistics)[:, None] <= quantiles).sum(1)  # 99 also where a distance is NaN

    def __str__(self) -> str:
        """In a sentence."""
        return (
            f"an image is unusual if {len(self.mean)} statistics of its grey values and texture are farther from the "
            f"mean than those of {LIMIT} % of {_who(self)}"
        )


@dataclass(frozen=True)
class Verdict:
    """Whether an image is like those that a model was checked on.

    level  "usual", "unusual" (farther from their mean than 99 % of them) or "unknown" (the weights do not say)
    said   what can be said of the image, a sentence without its subject
    how    how that was judged, or what it takes
    """

    level: str
    said: str
    how: str

    @property
    def sentence(self) -> str:
        return f"The image {self.said}."


def judge(familiarity: Familiarity | None, images: Tensor) -> Verdict:
    """Judge one image (1, C, *size), or the slices of a volume (B, C, *size), of which the middle one in rank counts.

    >>> judge(None, torch.zeros(1, 1, 8, 8)).level
    'unknown'
    """
    if familiarity is None:
        return Verdict(
            "unknown",
            "cannot be compared with those that the model was checked on",
            f"The weights do not describe usual images; fastpunet calibrate does, with {LIMIT} of them or more.",
        )
    nearer = familiarity.percent_nearer(image_statistics(images))
    middle = int(nearer.sort().values[(len(nearer) - 1) // 2])
    level = "unusual" if middle == LIMIT else "usual"
    if level == "unusual":
        said = (
            f"is unlike those that the model was checked on: farther from their mean than {LIMIT} % of them, so that "
            "its hypotheses may be worthless"
        )
    else:
        said = f"looks like those that the model was checked on: {100 - middle} % of them are farther from their mean"
    if len(nearer) > 1:
        said += f" ({int((nearer == LIMIT).sum())} of {len(nearer)} slices are unusual)"
    how = (
        f"Judged by the Mahalanobis distance (Lee et al. 2018) of {len(familiarity.mean)} statistics of grey values "
        f"and texture from their mean over {_who(familiarity)}. The limit is the {LIMIT} % quantile of the distances "
        "of these images, each measured without its own patient."
    )
    return Verdict(level, said, how)


def _who(familiarity: Familiarity) -> str:
    patients = f"{familiarity.patients} patient{'s' if familiarity.patients > 1 else ''}"
    return f"{familiarity.images} images ({patients}, {familiarity.data})"


def _numbers(name: str, values: object, count: int) -> tuple[float, ...]:
    if not isinstance(values, tuple | list) or len(values) != count or not all(map(is_number, values)):
        raise ValueError(f"familiarity: {name} is {values!r:.80}, expected {count} numbers")
    return tuple(map(float, values))

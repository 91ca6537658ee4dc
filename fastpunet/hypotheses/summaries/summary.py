"""Summarises any number of hypotheses in a few maps and numbers per image."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fastpunet.hypotheses.display import html_block, html_picture, html_table, percent
from fastpunet.latents import check_seed
from fastpunet.models.calibration import Calibration
from fastpunet.models.method import Encoding
from fastpunet.sampler import Sampler

if TYPE_CHECKING:
    from fastpunet.hypotheses.pictures import Picture

INNER, OUTER = 0.95, 0.05  # mean probabilities at least as high are certain, and possible
_TABLED = 20  # images in a notebook's table


@dataclass(frozen=True, eq=False)
class Summary:
    """A summary of each image's n hypotheses. K' is 1 (the foreground) for a binary model, else the classes' number."""

    mean: Tensor  # float32 (B, K', *size), mean probability
    entropy: Tensor  # float32 (B, *size), nats: entropy of the mean probability (total uncertainty)
    mutual_information: Tensor  # float32 (B, *size), nats: entropy minus the hypotheses' mean entropy (disagreement)
    volume: Tensor  # int64 (B, n, K'), pixels of each class in each hypothesis
    presence: Tensor  # float32 (B, K'), share of hypotheses in which the class occurs at all
    calibration: Calibration | None = None  # of the model: how far such shares agreed with graders on other images

    @property
    def foreground(self) -> Tensor:
        """Mean probability of the foreground (all classes but 0 if there are several), float32 (B, *size)."""
        return self.mean[:, 0] if self.mean.shape[1] == 1 else 1 - self.mean[:, 0]

    @property
    def foreground_volume(self) -> Tensor:
        """Pixels of the foreground (all classes but 0 if there are several) of each hypothesis, int64 (B, n)."""
        return self.volume[..., 0] if self.volume.shape[2] == 1 else self.volume[..., 1:].sum(2)

    def plot(self, images: object = None) -> Picture:
        """A row for each of the first images: certain and possible outline, mean probability, entropy, volumes.

        The inner outline holds the pixels that are foreground with a mean probability of at least 0.95, the outer one
        those with at least 0.05. Of a volume, the slice with most of the latter is shown.

        images: float or uint8 (B, C, *size) with C of 1 or 3, or (B, *size); None: no background. Needs Matplotlib.
        Raises ValueError for images of another number or size.
        """
        from fastpunet.hypotheses.summaries.summary_picture import summary_picture

        return summary_picture(self, images)

    def _repr_html_(self) -> str:
        images, n = self.volume.shape[:2]
        rows = [(place, *self._row(place)) for place in range(min(images, _TABLED))]
        headers = ["image", "something there", "size where there is: median", "5 to 95 %", "inner", "outer"]
        shown = f"; the first {_TABLED} are listed" if images > _TABLED else ""
        trust = "" if self.calibration is None else f" Of the model: {self.calibration}."
        return html_block(
            f"{n} hypotheses of {images} image{'' if images == 1 else 's'}{shown}. Sizes in pixels; the inner outline "
            f"holds what is foreground with probability {INNER} and more, the outer one {OUTER} and more.{trust}",
            html_picture(self.plot, "outlines, mean probability, entropy and volumes"),
            html_table(headers, rows),
        )

    def _row(self, place: int) -> tuple[str, ...]:
        volumes, probability = self.foreground_volume[place], self.foreground[place]
        there = volumes[volumes > 0].double()
        low, median, high = (
            (f"{q:,.0f}" for q in there.quantile(there.new_tensor([0.05, 0.5, 0.95]))) if len(there) else "---"
        )
        inner, outer = (f"{int((probability >= least).sum()):,}" for least in (INNER, OUTER))
        return percent(len(there) / len(volumes)), median, f"{low} to {high}", inner, outer


@torch.no_grad()
def summarize(
    model: nn.Module,
    images: Tensor,
    n: int = 1000,
    *,
    seed: int | None = None,
    ids: Tensor | None = None,
    precision: str = "auto",
    backend: str = "auto",
    sampler: str = "random",
    chunk: int | None = None,
) -> Summary:
    """Summarise n hypotheses of every image without holding them: apart from `volume`, memory does not grow with n.

    Arguments and errors are those of `fastpunet.sample`, and the hypotheses are the same, for every method. Entropy and
    mutual information are defined in Gal 2016, section 3.3, and Depeweg et al. 2018, equation 2.

    >>> import fastpunet, torch
    >>> summary = fastpunet.summarize(fastpunet.load("lesions"), torch.zeros(1, 1, 64, 64), n=100, seed=0)
    >>> summary.mean.shape, summary.volume.shape
    (torch.Size([1, 1, 64, 64]), torch.Size([1, 100, 1]))
    """
    drawing = Sampler(model, precision=precision, backend=backend, sampler=sampler)
    seed = check_seed(seed)
    groups = [
        summarize_encoded(drawing, encoding, n, seed, its, chunk)
        for encoding, its in drawing.encode_groups(images, ids)
    ]
    names = [field.name for field in fields(Summary) if field.name != "calibration"]
    parts = {name: torch.cat([getattr(group, name) for group in groups]) for name in names}
    return Summary(**parts, calibration=groups[0].calibration)


def summarize_encoded(
    sampler: Sampler, encoding: Encoding, n: int, seed: int, ids: Tensor, chunk: int | None = None
) -> Summary:
    """`summarize` for images that are encoded already."""
    parts = sampler.stream_sums(encoding, n, seed=seed, ids=ids, chunk=chunk)
    probability, entropies, volumes = next(parts)
    collected = [volumes]
    for part in parts:
        probability += part.probability
        entropies += part.entropy
        collected.append(part.volume)
    mean = (probability / n).float().unflatten(-1, encoding.size)
    entropy = _entropy(mean)
    volume = torch.cat(collected, dim=1)
    return Summary(
        mean=mean,
        entropy=entropy,
        mutual_information=(entropy - (entropies / n).float().unflatten(-1, encoding.size)).clamp_(min=0),
        volume=volume,
        presence=(volume > 0).float().mean(1),
        calibration=sampler.method.calibration,
    )


def _entropy(probs: Tensor) -> Tensor:
    """Entropy in nats over the classes of (B, K, *size); K = 1 is the probability of the foreground alone."""
    entropy = torch.special.entr(probs).sum(1)
    return entropy + torch.special.entr(1 - probs)[:, 0] if probs.shape[1] == 1 else entropy

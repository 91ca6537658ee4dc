"""The result of a best fit: the hypothesis that was drawn, the refined one, and how well they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fastpunet.hypotheses.display import html_block, html_picture, html_table, percent

if TYPE_CHECKING:
    from fastpunet.hypotheses.pictures import Picture


@dataclass(frozen=True, eq=False)
class Fit:
    """One hypothesis and how it fits an annotation.

    mask            uint8 (*size), the label map
    z               float32 (latent_dim,), its latent; None for a model without a latent
    log_likelihood  nats, log p(annotation | z): the weighted sum of what the annotation says
    log_prior       nats, log p(z | image); None without a latent, and where the prior's density is unknown
    plausibility    the share of the prior's draws that are farther from its mean than z, or, of a prior that is no
                    Gaussian, less dense: 1 at the most plausible latent, near 0 far out; None where log_prior is
    agreement       the share, by weight, of what the annotation says that is true of the mask
    """

    mask: Tensor
    z: Tensor | None
    log_likelihood: float
    log_prior: float | None
    plausibility: float | None
    agreement: float

    @property
    def objective(self) -> float:
        """log p(annotation | z) + log p(z | image) in nats, the first alone where the second is unknown."""
        return self.log_likelihood + (self.log_prior or 0.0)


@dataclass(frozen=True, eq=False)
class BestFit:
    """The hypothesis that fits an annotation best; `mask`, `z` and the like are those of the best one found.

    start         int, which of the drawn hypotheses fits best; the refinement starts there
    drawn         that hypothesis
    refined       the hypothesis after refinement; None if there was none or if it did not help
    not_refined   why `refined` is None, in a sentence; empty if it is not
    """

    start: int
    drawn: Fit
    refined: Fit | None
    not_refined: str

    @property
    def best(self) -> Fit:
        return self.drawn if self.refined is None else self.refined

    @property
    def mask(self) -> Tensor:
        return self.best.mask

    @property
    def z(self) -> Tensor | None:
        return self.best.z

    @property
    def log_prior(self) -> float | None:
        return self.best.log_prior

    @property
    def plausibility(self) -> float | None:
        return self.best.plausibility

    @property
    def agreement(self) -> float:
        return self.best.agreement

    def __str__(self) -> str:
        holds = f"{percent(self.agreement)} of the annotation holds"
        said = f"{holds}; hypothesis {self.start} is the nearest of those drawn"
        if self.plausibility is not None:
            said += f"; {percent(self.plausibility)} of the prior's draws are less plausible"
        return f"{said}. {self.not_refined or f'Refined: {self._gain():.2f} nats better.'}"

    def _gain(self) -> float:
        return self.best.objective - self.drawn.objective

    def _repr_html_(self) -> str:
        rows = [["drawn", *_cells(self.drawn)]] + ([["refined", *_cells(self.refined)]] if self.refined else [])
        headers = ["hypothesis", "agreement", "log p(annotation | z)", "log p(z | image)", "plausibility"]
        picture = html_picture(self.plot, "outlines of the hypothesis that was drawn and of the refined one")
        return html_block(str(self), html_table(headers, rows), picture)

    def plot(self, image: object = None) -> Picture:
        """A picture of the outlines, on the image float (C, *size) if it is given. Needs Matplotlib."""
        from fastpunet.hypotheses import pictures

        masks = torch.stack([fit.mask for fit in (self.drawn, self.refined) if fit is not None])
        place = pictures.place_to_show(masks, masks.ndim - 1)
        picture, axes = pictures.new_picture()
        pictures.show_image(axes[0, 0], image, tuple(masks.shape[1:]), place)
        for mask, colour in zip(pictures.at_place(masks, place), pictures.COLOURS, strict=False):
            pictures.draw_outline(axes[0, 0], mask > 0, colour)
        axes[0, 0].set_title("drawn (blue)" if self.refined is None else "drawn (blue), refined (orange)", fontsize=8)
        return picture


def _cells(fit: Fit) -> list[str]:
    numbers = (fit.agreement, fit.log_likelihood, fit.log_prior, fit.plausibility)
    return ["unknown" if number is None else f"{number:.4g}" for number in numbers]

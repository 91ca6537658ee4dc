"""What a model says of the annotations of one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from fastpunet.hypotheses.display import html_block, html_picture, html_table

if TYPE_CHECKING:
    from fastpunet.hypotheses.pictures import Picture

FEW_DRAWS = 30  # effective draws below which an estimate of log p(y | x) is not to be trusted


@dataclass(frozen=True, eq=False)
class Assessment:
    """M annotations of one image, each under the model's distribution over segmentations, in the order of `names`.

    names           who annotated
    masks           uint8 (M, *size), the annotations
    position        float32 (M, latent_dim), where they lie in the latent space: the posterior's mean, or, for a model
                    without a posterior, the latent that fits best
    distance        float64 (M,), Mahalanobis distance of the position from the prior's mean
    plausibility    float64 (M,), the share of the prior's draws that are farther out than the position
    kl              float64 (M,), nats, KL(posterior || prior)
    log_evidence    float64 (M,), nats, log p(y | x) summed over the annotated pixels, estimated by importance sampling
    standard_error  float64 (M,), nats, of log_evidence
    effective       float64 (M,), the effective number of draws behind log_evidence; do not trust it below 30
    pixels          int64 (M,), the number of annotated pixels
    nearest         int64 (M,), which hypothesis is nearest; nearest_masks uint8 (M, *size), nearest_iou float64 (M,)
    mean_distance   float64 (M,), the mean of 1 - IoU from all hypotheses
    typicality      float64 (M,), in (0, 1]: of the hypotheses and the annotation together, the share that lies at least
                    as far from the rest as the annotation does; small for an annotation unlike all hypotheses
    rank            int64 (M,), place among the annotations by log_evidence, 1 is the likeliest
    missing         why a field is None
    """

    names: tuple[str, ...]
    masks: Tensor
    position: Tensor | None
    distance: Tensor | None
    plausibility: Tensor | None
    kl: Tensor | None
    log_evidence: Tensor
    standard_error: Tensor
    effective: Tensor
    pixels: Tensor
    nearest: Tensor
    nearest_masks: Tensor
    nearest_iou: Tensor
    mean_distance: Tensor
    typicality: Tensor
    rank: Tensor
    missing: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def per_pixel(self) -> Tensor:
        """log p(y | x) per annotated pixel, nats, float64 (M,)."""
        return self.log_evidence / self.pixels

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before the numbers are used, such as what is missing and which estimates are poor."""
        poor = [name for name, draws in zip(self.names, self.effective.tolist(), strict=True) if draws < FEW_DRAWS]
        notes = [f"{field}: {reason}" for field, reason in self.missing.items()]
        if poor:
            notes.append(
                f"log p(y | x) of {', '.join(poor)} rests on fewer than {FEW_DRAWS} effective draws, so that its "
                "standard error is too small; take a larger n"
            )
        return tuple(notes)

    def rows(self) -> list[dict[str, str | int | float | None]]:
        """One row for each annotation, with plain numbers, for tables and files."""
        columns = {
            name: None if values is None else values.tolist()
            for name, values in (
                ("rank", self.rank),
                ("log_evidence", self.log_evidence),
                ("standard_error", self.standard_error),
                ("per_pixel", self.per_pixel),
                ("effective_draws", self.effective),
                ("typicality", self.typicality),
                ("mean_distance", self.mean_distance),
                ("nearest", self.nearest),
                ("nearest_iou", self.nearest_iou),
                ("mahalanobis", self.distance),
                ("plausibility", self.plausibility),
                ("kl", self.kl),
            )
        }
        return [
            {"annotation": name, **{key: None if values is None else values[m] for key, values in columns.items()}}
            for m, name in enumerate(self.names)
        ]

    def _table(self) -> tuple[list[str], list[list[str]]]:
        headers = [
            "annotation",
            "rank",
            "log p(y | x)",
            "typicality",
            "nearest IoU",
            "Mahalanobis",
            "plausibility",
            "KL",
        ]
        rows = []
        for row in self.rows():
            numbers = [_text(row[key]) for key in ("typicality", "nearest_iou", "mahalanobis", "plausibility", "kl")]
            evidence = f"{row['log_evidence']:.1f} ± {row['standard_error']:.1f}"
            rows.append([str(row["annotation"]), str(row["rank"]), evidence, *numbers])
        return headers, rows

    def __str__(self) -> str:
        headers, rows = self._table()
        widths = [max(len(line[column]) for line in (headers, *rows)) for column in range(len(headers))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in (headers, *rows)
        ]
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        sentence = " ".join([f"{len(self)} annotations under the model.", *self.notes])
        picture = html_picture(self.plot, "each annotation, and the hypothesis nearest to it")
        return html_block(sentence, html_table(*self._table()), picture)

    def plot(self, image: object = None) -> Picture:
        """Each annotation (orange) and the hypothesis nearest to it (blue), on the image float (C, *size) if given.

        Needs Matplotlib.
        """
        from fastpunet.hypotheses import pictures

        size = tuple(self.masks.shape[1:])
        place = pictures.place_to_show(self.masks, len(size))
        picture, axes = pictures.new_picture(1, len(self))
        for m, (name, axis) in enumerate(zip(self.names, axes[0], strict=True)):
            pictures.show_image(axis, image, size, place)
            for masks, colour in ((self.nearest_masks, pictures.COLOURS[0]), (self.masks, pictures.COLOURS[1])):
                pictures.draw_outline(axis, pictures.at_place(masks[m], place) > 0, colour)
            said = f"typicality {float(self.typicality[m]):.3f}, IoU {float(self.nearest_iou[m]):.2f}"
            axis.set_title(f"{name}\n{said}", fontsize=8)
        return picture


def _text(value: object) -> str:
    return "-" if value is None else f"{value:.3f}"

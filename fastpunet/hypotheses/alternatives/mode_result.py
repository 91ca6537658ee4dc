"""What `modes` finds for one image, and how it shows itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from fastpunet.hypotheses.display import html_block, html_picture, html_table, percent

if TYPE_CHECKING:
    from fastpunet.hypotheses.pictures import Picture


@dataclass(frozen=True, eq=False)
class Modes:
    """The k modes of one image's n hypotheses, the most probable first.

    masks          uint8 (k, *size), the representative of each mode, one of the hypotheses
    hypotheses     int64 (k,), its index among the hypotheses
    probabilities  float64 (k,), the share of hypotheses that belong to each mode; they sum to 1
    intervals      float64 (k, 2), 95 % intervals (Wilson) of the probabilities that infinitely many hypotheses of the
                   same model would have, if the modes are these. They grow narrower with n. They do not say whether the
                   model is right about the image
    overlaps       float64 (k,), mean IoU of a mode's hypotheses with its representative: how well it stands for them
    members        int64 (n,), the mode of each hypothesis
    """

    masks: Tensor
    hypotheses: Tensor
    probabilities: Tensor
    intervals: Tensor
    overlaps: Tensor
    members: Tensor

    def __len__(self) -> int:
        return len(self.hypotheses)

    @property
    def names(self) -> list[str]:
        """A name of each representative, which is its number of foreground pixels (voxels), or "nothing"."""
        unit = "pixel" if self.masks.ndim == 3 else "voxel"
        areas = (self.masks > 0).flatten(1).sum(1).tolist()
        return [f"{area:,} {unit}{'' if area == 1 else 's'}" if area else "nothing" for area in areas]

    def __str__(self) -> str:
        """One plain sentence: the modes, with the percentages and intervals of their probabilities."""
        found = f"{len(self)} mode{'' if len(self) == 1 else 's'} among {len(self.members)} hypotheses"
        rows = zip(*self._texts(), self.names, strict=True)
        return f"{found}: " + "; ".join(f"{share} ({interval}) {name}" for share, interval, name in rows)

    def plot(self, image: object = None) -> Picture:
        """Outline all modes on the image, then each alone, with its probability; of a volume, the fullest slice.

        image: float or uint8 (*size), (1, *size) or (3, *size), of the masks' size; None: no background. Needs
        Matplotlib. Raises ValueError for an image of another size.
        """
        from fastpunet.hypotheses.alternatives.mode_picture import modes_picture

        return modes_picture(self, image)

    def _repr_html_(self) -> str:
        shares, intervals = self._texts()
        rows = zip(shares, intervals, self.names, (f"{o:.2f}" for o in self.overlaps.tolist()), strict=True)
        table = html_table(["probability", "95 % interval", "representative", "its hypotheses' mean IoU with it"], rows)
        return html_block(str(self), html_picture(self.plot, "outlines of the modes"), table)

    def _texts(self) -> tuple[list[str], list[str]]:
        """Probabilities and their intervals in percent."""
        shares = [percent(probability) for probability in self.probabilities.tolist()]
        return shares, [f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in self.intervals.tolist()]

"""The data that a score is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from fastpunet.masks import PackedMasks
from fastpunet.metrics import Convention, EnergyDistance, EnergyParts, SelectiveRisk, energy_distance, energy_parts
from fastpunet.metrics.selective import selective_risk_of
from fastpunet.metrics.shares import Shares, read_shares
from fastpunet.scoring.references import References


@dataclass(frozen=True, eq=False)
class ScoredBatch:
    """Hypotheses (B, n, *size) of some images, their references, the convention for distances, and the batch of all
    hypotheses that were drawn of these images, of which these are the first n (None: these are all)."""

    samples: PackedMasks
    references: References
    convention: Convention
    drawn: ScoredBatch | None = None

    @property
    def masks(self) -> PackedMasks:
        """The masks of the references, for scores that need them."""
        assert self.references.masks is not None
        return self.references.masks

    @property
    def num_classes(self) -> int | None:
        """The number of classes K, or None for binary masks, as the functions of `fastpunet.metrics` take it."""
        return None if self.samples.num_planes == 1 else self.samples.num_planes

    @cached_property
    def energy(self) -> EnergyDistance:
        known = self.references
        return energy_distance(
            self.samples, self.masks, convention=self.convention, weights=known.weights, ignore=known.ignore
        )

    @cached_property
    def shares(self) -> Shares:
        """The share of hypotheses and of graders with each class at each pixel."""
        known = self.references
        return read_shares(self.samples, self.masks, self.num_classes, known.weights, None, known.ignore)

    @cached_property
    def selective_risk(self) -> SelectiveRisk:
        return selective_risk_of(self.shares)

    @cached_property
    def energy_parts(self) -> EnergyParts:
        known = self.references
        return energy_parts(self.samples, self.masks, weights=known.weights, ignore=known.ignore)

    @property
    def expected_energy(self) -> Tensor:
        """The energy distance (V) of n hypotheses, on average over all choices of n of those drawn, float64 (B,)."""
        return (self.drawn or self).energy.expected(self.samples.shape[1])

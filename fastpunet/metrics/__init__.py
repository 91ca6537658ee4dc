"""How well hypotheses and graders agree: overlap, energy distance, calibration."""

from fastpunet.metrics.best_overlap import best_dice, best_iou
from fastpunet.metrics.conventions import CONVENTIONS, Convention, convention, default_convention, find_convention
from fastpunet.metrics.energy import ENERGY_DISTANCE_TERMS, EnergyDistance, energy_distance
from fastpunet.metrics.flip_counts import FlipCounts, flip_counts
from fastpunet.metrics.flip_modes import flip_mode_frequencies
from fastpunet.metrics.iou import pairwise_iou
from fastpunet.metrics.matching import matched_dice, matched_iou
from fastpunet.metrics.ncc import ncc
from fastpunet.metrics.nestedness import nestedness
from fastpunet.metrics.presence import presence, present_distance
from fastpunet.metrics.reliability import Reliability, pixel_reliability, presence_reliability
from fastpunet.metrics.total_variation import total_variation, total_variation_of_draws

__all__ = [
    "CONVENTIONS",
    "ENERGY_DISTANCE_TERMS",
    "Convention",
    "EnergyDistance",
    "FlipCounts",
    "Reliability",
    "best_dice",
    "best_iou",
    "convention",
    "default_convention",
    "energy_distance",
    "find_convention",
    "flip_counts",
    "flip_mode_frequencies",
    "matched_dice",
    "matched_iou",
    "ncc",
    "nestedness",
    "pairwise_iou",
    "pixel_reliability",
    "presence",
    "presence_reliability",
    "present_distance",
    "total_variation",
    "total_variation_of_draws",
]

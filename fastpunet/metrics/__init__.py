"""Overlap, and the energy distance built on it."""

from fastpunet.metrics.conventions import CONVENTIONS, Convention, convention
from fastpunet.metrics.energy import EnergyDistance, energy_distance
from fastpunet.metrics.flip_modes import flip_mode_frequencies
from fastpunet.metrics.flips import FlipCounts, flip_counts
from fastpunet.metrics.iou import pairwise_iou
from fastpunet.metrics.nestedness import nestedness
from fastpunet.metrics.presence import presence, present_distance
from fastpunet.metrics.total_variation import total_variation, total_variation_of_draws

__all__ = [
    "CONVENTIONS",
    "Convention",
    "EnergyDistance",
    "FlipCounts",
    "convention",
    "energy_distance",
    "flip_counts",
    "flip_mode_frequencies",
    "nestedness",
    "pairwise_iou",
    "presence",
    "present_distance",
    "total_variation",
    "total_variation_of_draws",
]

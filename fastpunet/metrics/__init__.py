"""Overlap, and the energy distance built on it."""

from fastpunet.metrics.conventions import CONVENTIONS, Convention, convention, default_convention, find_convention
from fastpunet.metrics.energy import EnergyDistance, energy_distance
from fastpunet.metrics.flips import flip_frequencies
from fastpunet.metrics.iou import pairwise_iou
from fastpunet.metrics.nestedness import nestedness
from fastpunet.metrics.presence import presence, present_distance

__all__ = [
    "CONVENTIONS",
    "Convention",
    "EnergyDistance",
    "convention",
    "default_convention",
    "energy_distance",
    "find_convention",
    "flip_frequencies",
    "nestedness",
    "pairwise_iou",
    "presence",
    "present_distance",
]

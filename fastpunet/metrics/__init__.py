"""Overlap, and the energy distance built on it."""

from fastpunet.metrics.conventions import CONVENTIONS, Convention, convention
from fastpunet.metrics.energy import EnergyDistance, energy_distance
from fastpunet.metrics.iou import pairwise_iou

__all__ = [
    "CONVENTIONS",
    "Convention",
    "EnergyDistance",
    "convention",
    "energy_distance",
    "pairwise_iou",
]

"""How well hypotheses and graders agree: overlap, energy distance, calibration."""

from fastpunet.metrics import converting
from fastpunet.metrics.best_overlap import best_dice, best_iou
from fastpunet.metrics.collective_insight import INSIGHT_TERMS, CollectiveInsight, collective_insight
from fastpunet.metrics.consensus import consensus_dice, consensus_iou
from fastpunet.metrics.conventions import CONVENTIONS, Convention, convention, default_convention, find_convention
from fastpunet.metrics.debiased import debiased_squared_error
from fastpunet.metrics.energy import ENERGY_DISTANCE_TERMS, EnergyDistance, energy_distance
from fastpunet.metrics.energy_parts import ENERGY_PARTS, EnergyParts, energy_parts
from fastpunet.metrics.flip_counts import FlipCounts, flip_counts
from fastpunet.metrics.flip_modes import flip_mode_frequencies
from fastpunet.metrics.iou import pairwise_iou
from fastpunet.metrics.kappa import cohens_kappa, kappa_within
from fastpunet.metrics.matching import matched_dice, matched_iou
from fastpunet.metrics.ncc import ncc
from fastpunet.metrics.nestedness import nestedness
from fastpunet.metrics.presence import presence, present_distance
from fastpunet.metrics.probabilities import Probabilities
from fastpunet.metrics.proper_scores import brier_score, image_log_likelihood, pixel_nll
from fastpunet.metrics.reliability import Reliability, pixel_reliability, presence_reliability
from fastpunet.metrics.selective import SELECTIVE_TERMS, SelectiveRisk, selective_risk
from fastpunet.metrics.soft_dice import THRESHOLDS, soft_dice
from fastpunet.metrics.staple import staple
from fastpunet.metrics.total_variation import total_variation, total_variation_of_draws
from fastpunet.metrics.uncertainty import UNCERTAINTIES, uncertainty_ncc
from fastpunet.metrics.volumes import normal_volume_crps, volume_crps

__all__ = [
    "CONVENTIONS",
    "ENERGY_DISTANCE_TERMS",
    "ENERGY_PARTS",
    "INSIGHT_TERMS",
    "SELECTIVE_TERMS",
    "THRESHOLDS",
    "UNCERTAINTIES",
    "CollectiveInsight",
    "Convention",
    "EnergyDistance",
    "EnergyParts",
    "FlipCounts",
    "Probabilities",
    "Reliability",
    "SelectiveRisk",
    "best_dice",
    "best_iou",
    "brier_score",
    "cohens_kappa",
    "collective_insight",
    "consensus_dice",
    "consensus_iou",
    "convention",
    "converting",
    "debiased_squared_error",
    "default_convention",
    "energy_distance",
    "energy_parts",
    "find_convention",
    "flip_counts",
    "flip_mode_frequencies",
    "image_log_likelihood",
    "kappa_within",
    "matched_dice",
    "matched_iou",
    "ncc",
    "nestedness",
    "normal_volume_crps",
    "pairwise_iou",
    "pixel_nll",
    "pixel_reliability",
    "presence",
    "presence_reliability",
    "present_distance",
    "selective_risk",
    "soft_dice",
    "staple",
    "total_variation",
    "total_variation_of_draws",
    "uncertainty_ncc",
    "volume_crps",
]

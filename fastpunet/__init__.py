"""fastpunet: thousands of segmentation hypotheses per image from a Probabilistic U-Net, in one U-Net pass."""

from fastpunet import data, hypotheses, metrics, models
from fastpunet.acceleration import accelerate
from fastpunet.hypotheses import Summary, summarize
from fastpunet.masks import PackedMasks
from fastpunet.metrics import EnergyDistance, energy_distance, pairwise_iou
from fastpunet.models import ProbabilisticUNet
from fastpunet.models.adapters import adapt, register
from fastpunet.models.checkpoint import load, save
from fastpunet.models.method import Encoding
from fastpunet.sampler import Sampler, sample
from fastpunet.windows import windowed

__version__ = "0.1.0"

__all__ = [
    "Encoding",
    "EnergyDistance",
    "PackedMasks",
    "ProbabilisticUNet",
    "Sampler",
    "Summary",
    "accelerate",
    "adapt",
    "data",
    "energy_distance",
    "hypotheses",
    "load",
    "metrics",
    "models",
    "pairwise_iou",
    "register",
    "sample",
    "save",
    "summarize",
    "windowed",
]

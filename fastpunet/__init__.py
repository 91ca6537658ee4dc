"""fastpunet: thousands of segmentation hypotheses per image from a Probabilistic U-Net, in one U-Net pass."""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from fastpunet import data, hypotheses, metrics, models
from fastpunet.acceleration import accelerate
from fastpunet.archive import open_samples
from fastpunet.hypotheses import Summary, summarize
from fastpunet.masks import PackedMasks
from fastpunet.metrics import EnergyDistance, energy_distance, pairwise_iou
from fastpunet.models import ProbabilisticUNet
from fastpunet.models.adapters import adapt, register
from fastpunet.models.checkpoint import load, save
from fastpunet.models.method import Encoding
from fastpunet.sampler import Sampler, sample
from fastpunet.windows import windowed

if TYPE_CHECKING:
    from fastpunet.exporting import export
    from fastpunet.reports.page.reporting import report

    __version__: str

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
    "export",
    "hypotheses",
    "load",
    "metrics",
    "models",
    "open_samples",
    "pairwise_iou",
    "register",
    "report",
    "sample",
    "save",
    "summarize",
    "windowed",
]


_LOADED_WHEN_ASKED_FOR = {"report": "fastpunet.reports.page.reporting", "export": "fastpunet.exporting"}


def __getattr__(name: str) -> Any:
    """Who only samples need not wait for what makes pages, or what traces networks."""
    if name in _LOADED_WHEN_ASKED_FOR:
        return getattr(import_module(_LOADED_WHEN_ASKED_FOR[name]), name)
    if name == "__version__":
        return metadata.version("fastpunet")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

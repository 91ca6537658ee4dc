"""What machine figures are from, for files of results that pytest-benchmark does not write."""

from __future__ import annotations

from typing import Any

import cpuinfo
import torch

from fastpunet.prediction.archiving.threads import processors
from fastpunet_kernels.native import launch


def machine() -> dict[str, Any]:
    """The processor's name, how many of them there are, the CPU kernels' instructions and PyTorch's version."""
    native = launch.kernels.CAPABILITIES[launch.capability()] if launch.kernels else launch.WHY_MISSING
    brand = cpuinfo.get_cpu_info().get("brand_raw", "unknown")
    return {"processor": brand, "processors": processors(), "native": native, "torch": torch.__version__}

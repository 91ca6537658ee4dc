"""What every benchmark shares: the machine in the JSON, and one table at the end."""

from __future__ import annotations

import platform
from typing import Any

import pytest
import torch


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info["torch"] = torch.__version__
    machine_info["threads"] = torch.get_num_threads()
    machine_info["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    machine_info["python"] = platform.python_version()
    if torch.cuda.is_available():
        machine_info["gpu"] = _gpu()


def _gpu() -> dict[str, Any]:
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(torch.cuda.current_device())
    return {
        "name": torch.cuda.get_device_name(),
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "sm_clock_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "power_limit_w": pynvml.nvmlDeviceGetPowerManagementLimit(handle) / 1000,
    }


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")

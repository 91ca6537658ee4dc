"""What every benchmark shares: the device, machine and roofline in the JSON, and our own table at the end."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.report import table
from benchmarks.roofline import roofline
from fastpunet_kernels.native import launch

DEFAULT_JSON = Path(__file__).parent / "results" / "local" / "benchmarks.json"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Results are kept even where nobody said where to, and there is a place for them before anything is timed."""
    options = config.option
    if getattr(options, "benchmark_only", False):
        options.benchmark_json = options.benchmark_json or str(DEFAULT_JSON)
        if isinstance(options.benchmark_json, str):  # older versions of pytest-benchmark have opened the file
            Path(options.benchmark_json).parent.mkdir(parents=True, exist_ok=True)


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info["torch"] = torch.__version__
    machine_info["threads"] = torch.get_num_threads()
    machine_info["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    machine_info["native"] = launch.kernels.CAPABILITIES[launch.capability()] if launch.kernels else launch.WHY_MISSING
    machine_info["python"] = platform.python_version()
    machine_info["roofline"] = roofline()
    if torch.cuda.is_available():
        machine_info["gpu"] = _gpu()


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: object, output_json: dict[str, Any]) -> None:
    """The single rounds are left out: medians are what is compared, and files stay readable."""
    for row in output_json["benchmarks"]:
        row["stats"].pop("data", None)
    config.stash[_REPORT] = output_json


_REPORT = pytest.StashKey[dict[str, Any]]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if _REPORT in config.stash:
        terminalreporter.write_line("\n" + table(config.stash[_REPORT]))
        path = config.option.benchmark_json
        terminalreporter.write_line(f"\nTo publish: python -m benchmarks.report {path}" if path else "")


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

"""Reports what is installed, which backends will run, and why others are missing."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import torch

from fastpunet.models.checkpoint import shipped
from fastpunet_kernels import BACKENDS, select_backend, why_unavailable
from fastpunet_kernels.native import launch

_PACKAGES = ("fastpunet", "torch", "triton", "numpy", "safetensors", "lightning", "pyyaml", "matplotlib")
_EXTRAS = {"lightning": "train", "pyyaml": "train", "matplotlib": "report"}


def facts() -> dict[str, Any]:
    """What `info` prints, as values for JSON. A version is None where the package is missing."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "threads": torch.get_num_threads(),
        "instructions": _instructions(),
        "openmp": launch.kernels is not None and bool(launch.kernels.OPENMP),
        "cuda": None if torch.cuda.is_available() else _why_no_cuda(),
        "devices": [_device(device) for device in _devices()],
        "weights": list(shipped()),
    }


def info() -> str:
    """Versions, devices, backends (and the reason a missing one is missing) and shipped weights, as text."""
    known = facts()
    lines = [f"python       {known['python']} on {known['platform']}", "", "packages"]
    lines += [f"  {name:<13}{version or _missing(name)}" for name, version in known["packages"].items()]
    lines += [
        "",
        "devices",
        f"  cpu        {known['threads']} threads; instructions: {_instructions_and_choice(known)}",
    ]
    if known["cuda"]:
        lines.append(f"  cuda       none: {known['cuda']}")
    lines += [f"  {found['device']}     {found['name']}, {found['gib']} GiB" for found in known["devices"][1:]]
    lines += ["", "backends"]
    for found in known["devices"]:
        lines.append(f"  {found['device']}: auto takes {found['auto']}")
        lines += [
            f"    {name:<11}{state if state == 'ready' else 'missing: ' + state}"
            for name, state in found["backends"].items()
        ]
    lines += ["", "weights      " + (", ".join(known["weights"]) or "none shipped")]
    return "\n".join(lines)


def _devices() -> list[torch.device]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.device("cpu"), *(torch.device("cuda", index) for index in range(count))]


def _device(device: torch.device) -> dict[str, Any]:
    known: dict[str, Any] = {"device": str(device)}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        known |= {"name": properties.name, "gib": properties.total_memory >> 30}
    states = {name: why_unavailable(name, device) or "ready" for name in BACKENDS[1:]}
    return known | {"auto": select_backend("auto", device), "backends": states}


def _instructions() -> str:
    """The instruction set that the kernels use on this processor."""
    if launch.kernels is None:
        return torch.backends.cpu.get_cpu_capability()
    return str(launch.kernels.CAPABILITIES[launch.capability()])


def _instructions_and_choice(known: dict[str, Any]) -> str:
    """The instruction set with what else could be chosen."""
    if launch.kernels is None:
        return f"{known['instructions']} (PyTorch)"
    threads = "" if known["openmp"] else ", one thread only: built without OpenMP"
    names = ", ".join(launch.kernels.CAPABILITIES)
    return f"{known['instructions']} of {names} (set {launch.CAPABILITY_VARIABLE} for less){threads}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _missing(package: str) -> str:
    extra = _EXTRAS.get(package)
    return "missing" + (f": pip install 'fastpunet[{extra}]'" if extra else "")


def _why_no_cuda() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch is a CPU build"
    return "torch finds no GPU or driver"

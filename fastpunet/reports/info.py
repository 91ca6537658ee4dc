"""Reports what is installed, which backends will run, and why others are missing."""

from __future__ import annotations

import importlib.metadata
import platform

import torch

from fastpunet.models.checkpoint import shipped
from fastpunet_kernels import BACKENDS, select_backend, why_unavailable
from fastpunet_kernels.native import launch

_PACKAGES = ("fastpunet", "torch", "triton", "numpy", "safetensors", "lightning", "pyyaml", "matplotlib")
_EXTRAS = {"lightning": "train", "pyyaml": "train", "matplotlib": "report"}


def info() -> str:
    """Versions, devices, backends (and the reason a missing one is missing) and shipped weights, as text."""
    lines = [f"python       {platform.python_version()} on {platform.platform()}", "", "packages"]
    lines += [f"  {name:<13}{_version(name)}" for name in _PACKAGES]
    devices = [torch.device("cpu")]
    lines += [
        "",
        "devices",
        f"  cpu        {torch.get_num_threads()} threads; instructions: {_instructions()}",
    ]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            devices.append(torch.device("cuda", index))
            properties = torch.cuda.get_device_properties(index)
            lines.append(f"  cuda:{index}     {properties.name}, {properties.total_memory >> 30} GiB")
    else:
        lines.append(f"  cuda       none: {_why_no_cuda()}")
    lines += ["", "backends"]
    for device in devices:
        lines.append(f"  {device}: auto takes {select_backend('auto', device)}")
        for backend in BACKENDS[1:]:
            reason = why_unavailable(backend, device)
            lines.append(f"    {backend:<11}{'ready' if reason is None else 'missing: ' + reason}")
    lines += ["", "weights      " + (", ".join(shipped()) or "none shipped")]
    return "\n".join(lines)


def _instructions() -> str:
    """The instruction set that the native kernels use on this processor, and how to choose another one."""
    if launch.kernels is None:
        return f"{torch.backends.cpu.get_cpu_capability()} (PyTorch)"
    names = launch.kernels.CAPABILITIES
    threads = "" if launch.kernels.OPENMP else ", one thread only: built without OpenMP"
    return f"{names[launch.capability()]} of {', '.join(names)} (set {launch.CAPABILITY_VARIABLE} for less){threads}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        extra = _EXTRAS.get(package)
        return "missing" + (f": pip install fastpunet[{extra}]" if extra else "")


def _why_no_cuda() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch is a CPU build"
    return "torch finds no GPU or driver"

"""The device that a command runs on, by its name."""

from __future__ import annotations

import torch


def find_device(name: str = "auto") -> torch.device:
    """A device by its name, such as "cpu", "cuda" or "cuda:1"; "auto" is a GPU if there is one, else the CPU.

    Raises ValueError for another name, and for a GPU that is not there.

    >>> find_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ValueError(f'device: got {name!r}, expected "auto", "cpu", "cuda" or "cuda:0", "cuda:1", ...') from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f'device: got {name!r}, but PyTorch finds {torch.cuda.device_count()} GPUs here; use "cpu", or see '
            "fastpunet info"
        )
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f'device: got {name!r}, expected "auto", "cpu", "cuda" or "cuda:0", "cuda:1", ...')
    return device

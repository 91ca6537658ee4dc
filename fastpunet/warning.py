"""Warnings that point to the caller's line."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import torch

import fastpunet_kernels

_OWN = tuple(
    f"{folder}{os.sep}" for folder in (Path(__file__).parent, *fastpunet_kernels.__path__, Path(torch.__file__).parent)
)


class FastpunetWarning(UserWarning):
    """A warning of fastpunet, by which filters tell it from those of other packages."""


def warn(message: str) -> None:
    """Issue a FastpunetWarning whose place is the line, outside of fastpunet and PyTorch, that called into them.

    Python 3.12's `skip_file_prefixes` does the same.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, FastpunetWarning, stacklevel=level)

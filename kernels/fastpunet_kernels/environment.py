"""Reads and checks the environment variables of fastpunet. docs/contributing/environment.md lists all of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

CPU_CAPABILITY = "FASTPUNET_CPU_CAPABILITY"


def cpu_capability(available: Sequence[str]) -> str:
    """FASTPUNET_CPU_CAPABILITY: the instruction set of the native kernels, one of `available`.

    If the variable is not set, it is the last of these, which is the best one. Raises ValueError for any other value.
    """
    return _one_of(CPU_CAPABILITY, available, available[-1])


def pruned_levels() -> list[int] | None:
    """What FASTPUNET_PRUNING says of CPUs: None, the levels of groups that pay (see pruning.py), or none with "off"."""
    return [] if _pruning() == "off" else None


def prunes_on_gpu() -> bool:
    """Whether FASTPUNET_PRUNING is "gpu": prune on GPUs too."""
    return _pruning() == "gpu"


def triton_is_interpreted() -> bool:
    """TRITON_INTERPRET, a variable of Triton: whether its kernels run in its interpreter, on any device."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def cache_folder() -> Path:
    """The folder `fastpunet` in XDG_CACHE_HOME (by default ~/.cache), in which the fastest tilings are remembered.

    As the XDG Base Directory Specification demands, a relative path is ignored.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "fastpunet"


def processes() -> tuple[int, int]:
    """WORLD_SIZE and LOCAL_WORLD_SIZE, set by torchrun: the processes in all and on this machine, by default 1."""
    return _count("WORLD_SIZE"), _count("LOCAL_WORLD_SIZE")


def rank() -> int | None:
    """RANK, set by torchrun: the number of this process among all, from 0; None in a process that it did not start."""
    value = os.environ.get("RANK")
    if value is not None and not (value.isdecimal() and int(value) < processes()[0]):
        raise ValueError(
            f"RANK: got {value!r}, expected a whole number below WORLD_SIZE, as torchrun sets it; unset it"
        )
    return None if value is None else int(value)


def serving_token() -> str | None:
    """FASTPUNET_TOKEN: the token that clients of `fastpunet serve` have to send; None if it is not set or empty."""
    return os.environ.get("FASTPUNET_TOKEN") or None


def _pruning() -> str:
    return _one_of("FASTPUNET_PRUNING", ("auto", "off", "gpu"), "auto")


def _one_of(name: str, choices: Sequence[str], default: str) -> str:
    value = os.environ.get(name, default)
    if value not in choices:
        raise ValueError(f"{name}: got {value!r}, expected one of {', '.join(choices)}; set or unset that variable")
    return value


def _count(name: str) -> int:
    value = os.environ.get(name, "1")
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{name}: got {value!r}, expected a whole number of at least 1, as torchrun sets it; unset it")
    return int(value)

"""Controls the precision to which PyTorch may round float32 convolutions and matrix products.

PyTorch keeps this choice in switches of the whole process: one for each kind of operation ("conv", "matmul", "rnn") of
each backend ("cuda", and "mkldnn" on the CPU). A switch without a value of its own follows the backend's "all", and
"all" follows ("generic", "all") in the same way. The value "none" means "follow"; in ("generic", "all") it is "ieee".
See https://docs.pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch

PRECISIONS = ("auto", "ieee", "tf32", "bf16")

_OPERATIONS = ("conv", "matmul")


def automatic_precision(device: torch.device) -> str:
    """The precision in which PyTorch would now compute float32 convolutions: bf16 under its autocast, or tf32, ieee."""
    if torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type) == torch.bfloat16:
        return "bf16"
    return _SWITCHES["cuda"].value_outside("conv") if device.type == "cuda" else "ieee"


@contextmanager
def fixed_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Within this context, float32 convolutions and matrix products on `device` run as "ieee" or as "tf32".

    Autocast is off inside. "bf16" is computed by explicit casts, so float32 operations run as "ieee" under it. The
    switches change only if they have another meaning, and are restored afterwards; those that followed another switch
    follow it again. Threads that want the same precision share the context. A thread that wants the other precision
    waits until the last of them has left. Inside a context of the other precision a thread leaves that one meanwhile,
    so that two threads never wait for each other. Do not suspend a generator inside.
    """
    wanted = "tf32" if precision == "tf32" else "ieee"
    switch = _SWITCHES.get("cuda" if device.type == "cuda" else "mkldnn" if device.type == "cpu" else "")
    with torch.autocast(device.type, enabled=False):
        if switch is None:
            yield
        else:
            with switch.held_at(wanted):
                yield


class _Switch:
    """The switches of one backend, held at one value by any number of threads at a time."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._free_or_shared = threading.Condition()
        self._holders: Counter[int] = Counter()  # how often each thread is inside
        self._value = ""
        self._found: dict[str, str] = {}
        self._undo: list[tuple[str, str]] = []

    @contextmanager
    def held_at(self, wanted: str) -> Iterator[None]:
        thread = threading.get_ident()
        with self._free_or_shared:
            outer, times = self._value, self._holders[thread] if self._value != wanted else 0
            self._leave(thread, times)
            self._enter(thread, wanted, 1)
        try:
            yield
        finally:
            with self._free_or_shared:
                self._leave(thread, 1)
                if times:
                    self._enter(thread, outer, times)

    def _enter(self, thread: int, wanted: str, times: int) -> None:
        self._free_or_shared.wait_for(lambda: not self._holders or self._value == wanted)
        if not self._holders:
            self._value = wanted
            self._found = {operation: _meaning(self._backend, operation) for operation in _OPERATIONS}
            self._undo = _set_all(self._backend, wanted)
        self._holders[thread] += times

    def _leave(self, thread: int, times: int) -> None:
        self._holders[thread] -= times
        self._holders += Counter()  # drops threads that have left
        if not self._holders and times:
            for operation, value in reversed(self._undo):
                _write(self._backend, operation, value)
            self._free_or_shared.notify_all()

    def value_outside(self, operation: str) -> str:
        """The value outside all contexts that hold the switch: "ieee", "tf32" or "bf16"."""
        with self._free_or_shared:
            return self._found[operation] if self._holders else _meaning(self._backend, operation)


_SWITCHES = {backend: _Switch(backend) for backend in ("cuda", "mkldnn")}


def _read(backend: str, operation: str) -> str:
    """The value of a switch, or the one that it follows."""
    value: str = torch._C._get_fp32_precision_getter(backend, operation)  # torch.backends does not expose all of them
    return value


def _write(backend: str, operation: str, value: str) -> None:
    torch._C._set_fp32_precision_setter(backend, operation, value)  # torch.backends.mkldnn sets ("generic", "all")


def _meaning(backend: str, operation: str) -> str:
    value = _read(backend, operation)
    return "ieee" if value == "none" else value


def _set_all(backend: str, wanted: str) -> list[tuple[str, str]]:
    """Make convolutions and matrix products of a backend run as `wanted`; return what to write back, last one first.

    The backend's "all" is written first, because a switch that follows it cannot be recognised as such, and (cuDNN's,
    from PyTorch 2.12 on) cannot be made to follow again after it has been written. The switches that do not follow are
    written one by one.
    """
    if all(_meaning(backend, operation) == wanted for operation in _OPERATIONS):
        return []
    undo = [("all", _own_value_of_all(backend))]
    _write(backend, "all", wanted)
    for operation in _OPERATIONS:
        if _meaning(backend, operation) != wanted:
            undo.append((operation, _read(backend, operation)))
            _write(backend, operation, wanted)
    return undo


def _own_value_of_all(backend: str) -> str:
    """The value of a backend's "all", or "none" if it follows ("generic", "all")."""
    value, generic = _read(backend, "all"), _read("generic", "all")
    if value == "none" or value != generic:
        return value
    other = "ieee" if generic != "ieee" else "tf32"
    _write("generic", "all", other)  # the values are equal: change one to see whether the other follows
    follows = _read(backend, "all") == other
    _write("generic", "all", generic)
    return "none" if follows else value

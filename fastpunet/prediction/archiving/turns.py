"""Bounds how many threads compute at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_OFTEN = 1.0  # seconds


class Turns:
    """So many threads may compute at the same time; others wait. One that hangs can lose its turn."""

    def __init__(self, count: int = 1) -> None:
        self._free, self._lock = threading.Semaphore(count), threading.Lock()
        self._inside: set[threading.Thread] = set()

    @contextmanager
    def one(self, waiting: Callable[[], None]) -> Iterator[None]:
        """A context that a thread enters when it has its turn. waiting: is called again and again until then."""
        thread = threading.current_thread()
        while not self._free.acquire(timeout=_OFTEN):
            waiting()
        with self._lock:
            self._inside.add(thread)
        try:
            yield
        finally:
            self.take_from(thread)

    def take_from(self, thread: threading.Thread) -> None:
        """Give the turn of a thread to others, if it has one."""
        with self._lock:
            if thread not in self._inside:
                return
            self._inside.remove(thread)
        self._free.release()

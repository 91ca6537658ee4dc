"""Whether a thread that draws an image still does anything."""

from __future__ import annotations

import threading
import time

from fastpunet.arguments import is_number

STALL_SECONDS = 3600.0


def check_stall(seconds: object) -> float:
    """A number of seconds in which something has to be done. Raises ValueError."""
    if not is_number(seconds) or not float(seconds) > 0:  # type: ignore[arg-type]
        raise ValueError(f"stall_seconds: got {seconds!r}, expected a positive number of seconds")
    return float(seconds)  # type: ignore[arg-type]


class GivenUp(Exception):
    """Nobody waits any more for what this thread does."""


class Life:
    """The signs of life of a thread, while it draws an image. It calls this after each step of the work."""

    def __init__(self) -> None:
        self._lock, self._last = threading.Lock(), time.monotonic()
        self._ended = self._given_up = False

    def __call__(self) -> None:
        """Raise GivenUp if the image was given up meanwhile."""
        self._last = time.monotonic()
        if self._given_up:
            raise GivenUp

    def end(self) -> bool:
        """The work is done; whether anybody waited for it."""
        with self._lock:
            self._ended = True
            return not self._given_up

    def give_up(self, seconds: float) -> bool:
        """Give the image up if there was no sign of life for so long; whether that is so now for the first time."""
        with self._lock:
            if self._ended or self._given_up or time.monotonic() - self._last < seconds:
                return False
            self._given_up = True
            return True

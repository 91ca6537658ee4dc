"""Shows the progress of long computations: a bar on a terminal, an occasional line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from fastpunet.optional import needed_for

with needed_for("showing progress"):
    from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Progress on standard error, with the total, the rate and the time left.

    A terminal shows a bar, which disappears when the work is done. Elsewhere, such as in a log file, at most one line
    is written every 15 seconds, and nothing for work that takes less.
    """

    def __init__(
        self,
        total: int,
        label: str,
        unit: str,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._label, self._unit, self._clock = total, label, unit, clock
        self._stream = sys.stderr if stream is None else stream
        self._done, self._start = 0, clock()
        self._last = self._start
        self._bar = (
            tqdm(total=total, desc=label, unit=unit, leave=False, file=self._stream) if self._stream.isatty() else None
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, count: int) -> None:
        """Note that `count` more units are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
            return
        now = self._clock()
        if now - self._last >= _SECONDS_BETWEEN_LINES and self._done < self._total:
            self._last = now
            print(self._line(now - self._start), file=self._stream, flush=True)

    def _line(self, elapsed: float) -> str:
        left = elapsed * (self._total - self._done) / self._done
        rate = self._done / elapsed
        speed = f"{rate:.1f} {self._unit}s/s" if rate >= 1 else f"{1 / rate:.1f} s/{self._unit}"
        return f"{self._label}: {self._done} of {self._total} {self._unit}s, {speed}, {duration(left)} left"


def duration(seconds: float) -> str:
    """Format a time for people: 40 s, 12 min, 3.5 h.

    >>> duration(40), duration(700), duration(12600)
    ('40 s', '12 min', '3.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

"""Draws images by threads of this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from fastpunet.data.inputs import Input
from fastpunet.prediction.archiving.work import Work
from fastpunet.prediction.opening import Outcome

_MORE_THREADS = 2  # than compute: they read and write meanwhile


def draw_here(work: Work, sources: Iterable[Input], at_once: int) -> Iterator[Outcome]:
    """The outcomes of all sources, in the order in which they are done, by threads of which `at_once` compute."""
    threads = at_once + _MORE_THREADS
    with ThreadPoolExecutor(threads, "sampling") as pool:
        try:
            waiting = set()
            for source in sources:
                waiting.add(pool.submit(work.do, source))
                if len(waiting) > threads:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            for future in waiting:
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

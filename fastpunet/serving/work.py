"""Computes the answers: worker threads, few requests that wait for them, and an end for those that nobody waits for."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from fastpunet.serving.limits import Limits
from fastpunet.serving.refusals import Refusal

T = TypeVar("T")
_REMEMBERED = 0.9  # of the mean time that requests took, when another one has ended


class Watch:
    """Whether anybody still waits for an answer. Whoever computes it calls this between two steps."""

    def __init__(self, seconds: float) -> None:
        self._end, self._left = time.monotonic() + seconds, threading.Event()

    def __call__(self) -> None:
        """Raise Refusal if the client has left, or if its time is over."""
        if self._left.is_set():
            raise Refusal(499, "the client has left", "client left")
        if time.monotonic() > self._end:
            raise out_of_time()

    def leave(self) -> None:
        """Nobody waits any more."""
        self._left.set()

    @property
    def remaining(self) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self._end - time.monotonic())


def out_of_time() -> Refusal:
    return Refusal(504, "the answer took longer than the limit here (--max-seconds); ask for fewer hypotheses", "time")


class Work:
    """Worker threads, each of which computes one answer at a time, and a bounded number of requests beside them.

    Every answer is computed by itself, so that its bits do not depend on what else is asked: a network may round
    differently in a batch of another shape.
    """

    def __init__(self, workers: int, limits: Limits) -> None:
        self._pool = ThreadPoolExecutor(workers, "fastpunet-worker")
        self._workers, self._most = workers, workers + limits.waiting
        self._lock = threading.Lock()
        self._requests = self._jobs = self._running = 0
        self._mean = 1.0  # seconds of computing an answer

    @property
    def waiting(self) -> int:
        """Jobs that no worker has begun."""
        return self._jobs - self._running

    @property
    def running(self) -> int:
        return self._running

    @property
    def full(self) -> bool:
        """Whether another request would be refused."""
        return max(self._requests, self._jobs) >= self._most

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A place for a request, from before its file is read until its answer is sent. Raises Refusal if none is free.

        What a client that has left asked for keeps its place until the worker notices.
        """
        if self.full:
            wait = max(1, math.ceil(self._mean * self._jobs / self._workers))
            raise Refusal(
                503,
                f"{self._most} requests are waiting or being computed, the limit here (--max-waiting); ask again in "
                f"{wait} s",
                "queue full",
                {"Retry-After": str(wait)},
            )
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def do(self, task: Callable[[Watch], T], watch: Watch, gone: Callable[[], Awaitable[None]]) -> T:
        """Compute `task` in a worker. `gone` ends when the client leaves. Raises Refusal if it does, or is too late."""
        with self._lock:
            self._jobs += 1
        job: Future[T] = self._pool.submit(self._compute, task, watch)
        job.add_done_callback(self._end)
        answer = asyncio.wrap_future(job)
        answer.add_done_callback(_look_at)
        leaving = asyncio.ensure_future(gone())
        try:
            either: set[asyncio.Future[Any]] = {answer, leaving}
            await asyncio.wait(either, timeout=watch.remaining, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if leaving.done():
                raise Refusal(499, "the client has left", "client left")
            raise out_of_time()
        finally:
            watch.leave()
            job.cancel()
            leaving.cancel()

    def close(self) -> None:
        """Finish what is computed, and forget what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _compute(self, task: Callable[[Watch], T], watch: Watch) -> T:
        began = time.monotonic()
        with self._lock:
            self._running += 1
        try:
            watch()
            return task(watch)
        finally:
            with self._lock:
                self._running -= 1
                self._mean = _REMEMBERED * self._mean + (1 - _REMEMBERED) * (time.monotonic() - began)

    def _end(self, _: object) -> None:
        with self._lock:
            self._jobs -= 1


def _look_at(answer: asyncio.Future[T]) -> None:
    """Take note of an error that nobody waits for, of which asyncio would complain."""
    if not answer.cancelled():
        answer.exception()

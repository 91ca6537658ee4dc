"""Draws images by threads of this process. One that hangs is given up with its image, and another takes its place."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue

import torch

from fastpunet.data.inputs import Input
from fastpunet.memory import free_memory
from fastpunet.prediction.archiving.life import Life
from fastpunet.prediction.archiving.work import Work
from fastpunet.prediction.opening import Outcome

_MORE_THREADS = 2  # than compute: they read and write meanwhile
_SHARE = 0.8  # of the free memory, which others use too
_LOOKS = 20  # for threads that hang, in the time after which they are given up
_OFTEN = 1.0  # seconds between looks, at most


def draw_here(work: Work, sources: Iterable[Input], at_once: int, stall_seconds: float) -> Iterator[Outcome]:
    """The outcomes of all sources, in the order in which they are done, by threads of which `at_once` compute.

    So few images are begun at a time that they fit together in the memory that is free now, but always one. An image
    for which nothing was done for so many seconds fails. A thread cannot be ended from outside: it stays where it
    hangs, for as long as the process lives, and does nothing for the archive any more.
    """
    crew = _Crew(work, at_once + _MORE_THREADS, stall_seconds)
    memory, begun = _SHARE * free_memory(torch.device("cpu")), dict[str, int]()
    try:
        for source in sources:
            needed = work.memory(source)
            while begun and (len(begun) > at_once + _MORE_THREADS or sum(begun.values()) + needed > memory):
                outcome = crew.outcome()
                del begun[outcome.name]
                yield outcome
            begun[source.name] = needed
            crew.todo.put(source)
        for _ in begun:
            yield crew.outcome()
    finally:
        crew.stop()


def any_hangs() -> bool:
    """Whether a thread that was given up is still there. Native code may end the process with an error then."""
    return any(isinstance(thread, _Hand) for thread in threading.enumerate())


class _Crew:
    """Threads that draw what is in `todo`."""

    def __init__(self, work: Work, size: int, stall_seconds: float) -> None:
        self.todo: SimpleQueue[Input | None] = SimpleQueue()
        self._done: SimpleQueue[Outcome] = SimpleQueue()
        self._work, self._stall_seconds = work, stall_seconds
        self._hands = [self._hand() for _ in range(size)]

    def outcome(self) -> Outcome:
        """The next outcome, once there is one."""
        while True:
            with suppress(Empty):
                return self._done.get(timeout=min(_OFTEN, self._stall_seconds / _LOOKS))
            for place, hand in enumerate(self._hands):
                source = hand.source
                if source is not None and hand.life.give_up(self._stall_seconds):
                    self._hands[place] = self._hand()
                    self._work.give_up(source, hand)
                    name = source.name
                    return Outcome(
                        name,
                        "failed",
                        f"{name}: nothing was done for it for {self._stall_seconds:g} s, perhaps because storage does "
                        "not answer; go on with --skip-existing, or allow more time with --stall-seconds",
                    )

    def stop(self) -> None:
        """Wait for the threads, which begin nothing new."""
        with suppress(Empty):
            while True:
                self.todo.get_nowait()
        for _ in self._hands:
            self.todo.put(None)
        for hand in self._hands:
            hand.join()

    def _hand(self) -> _Hand:
        hand = _Hand(self._work, self.todo, self._done)
        hand.start()
        return hand


class _Hand(threading.Thread):
    """A thread that draws one image after another. The process may end while it hangs.

    source, life: the image that it draws, if any, and its signs of life
    """

    def __init__(self, work: Work, todo: SimpleQueue[Input | None], done: SimpleQueue[Outcome]) -> None:
        super().__init__(name="sampling", daemon=True)
        self._work, self._todo, self._done = work, todo, done
        self.source: Input | None = None
        self.life = Life()

    def run(self) -> None:
        while (source := self._todo.get()) is not None:
            self.life, self.source = Life(), source
            outcome = self._work.do(source, self.life)
            if not self.life.end():
                return
            self.source = None
            self._done.put(outcome)

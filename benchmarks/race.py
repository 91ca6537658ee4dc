"""Our way and its peers on the same work, in turns, so that a busy or throttled machine slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.roofline import peak, synchronize


class Peer(NamedTuple):
    run: Callable[[], Any]
    share: float = 1.0  # of the work that it does; its time is divided by that
    rounds: int | None = None  # turns it takes part in; all if None
    repeats: int = 1  # times in a row a turn, for what is so short that the turn before it shows in cold caches


def race(
    benchmark: BenchmarkFixture,
    ours: Callable[[], Any],
    peers: dict[str, Peer],
    *,
    rounds: int = 9,
    repeats: int = 1,
    precision: str = "ieee",
    **facts: Any,
) -> None:
    """Time `ours`, with every peer run once before each round; medians, and what else is known of the work.

    repeats: times in a row that ours runs a turn; pytest-benchmark's own columns show all of them together.
    precision: of the peak that it is compared with, see `benchmarks.roofline.peak`.
    Facts: flop, done by the work; units and unit, what the work consists of, for tables.
    """
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    peaks: list[float] = []

    def take_turns() -> None:
        if "flop" in facts and (most := peak(precision)):
            peaks.append(most)
        for name, peer in peers.items():
            if peer.rounds is None or len(seconds[name]) < peer.rounds + 1:
                start = time.perf_counter()
                for _ in range(peer.repeats):
                    peer.run()
                synchronize()
                seconds[name].append((time.perf_counter() - start) / peer.share / peer.repeats)

    def timed() -> None:
        for _ in range(repeats):
            ours()
        synchronize()

    try:
        benchmark.pedantic(timed, setup=take_turns, rounds=rounds, warmup_rounds=1)
    except KeyboardInterrupt:
        benchmark.has_error = True  # without this, pytest-benchmark would not write what was timed before
        raise
    benchmark.extra_info.update(facts, precision=precision)
    if benchmark.stats is None:  # under --benchmark-disable everything has run once, and nothing was measured
        return
    own = benchmark.stats.stats.median / repeats
    benchmark.extra_info["seconds"] = own
    benchmark.extra_info["peers"] = {name: median(times[1:] or times) for name, times in seconds.items()}
    if "flop" in facts:
        benchmark.extra_info["gflops"] = facts["flop"] / own / 1e9
    if peaks:
        benchmark.extra_info["peak_gflops"] = median(peaks)  # in the same turns

"""CUDA graphs: what is captured, replayed and forgotten, with stand-ins for CUDA."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from helpers.finished_events import FinishedEvents

from fastpunet import graphs
from fastpunet.graphs import GraphCache
from fastpunet.waits import may_wait


def negative(x):
    return (-x,)


def absolute(x):
    return (x.abs(),)


def test_the_first_call_captures_and_later_ones_replay(captures):
    cache, results = GraphCache(), []
    for x in (1.0, 2.0, 3.0, 4.0):
        results += cache.call("double", lambda x: (2 * x,), [torch.full((2,), x)])
    assert len(captures) == 1
    assert [result.tolist() for result in results] == [[2, 2], [4, 4], [6, 6], [8, 8]]  # none written over by the next


@pytest.mark.parametrize("other", [torch.ones(3), torch.ones(2, dtype=torch.float64), torch.ones(2, 2).T])
def test_other_inputs_and_keys_have_graphs_of_their_own(captures, other):
    cache = GraphCache()
    cache.call("a", negative, [torch.ones(2)])
    assert torch.equal(cache.call("a", negative, [other])[0], -other)
    assert torch.equal(cache.call("b", absolute, [torch.ones(2)])[0], torch.ones(2))
    assert len(captures) == 3
    cache.call("a", negative, [other])
    assert len(captures) == 3


def test_the_graphs_used_last_are_kept(captures):
    cache = GraphCache(limit=2)
    for name in "aabbaccab":  # c drives out b, and b drives out c
        cache.call(name, negative, [torch.ones(1)])
    assert len(captures) == 4
    cache.call("a", negative, [torch.ones(1)])
    assert len(captures) == 4


def test_a_graph_that_goes_has_been_waited_for(captures, monkeypatch):
    waited = []
    monkeypatch.setattr(FinishedEvents, "synchronize", lambda _: waited.append(len(captures)))
    cache = GraphCache(limit=1)
    for name in "ab":
        cache.call(name, negative, [torch.ones(1)])
    assert waited == [1]  # before the next was captured
    cache.forget()
    assert waited == [1, 2]


def test_weights_changed_in_place_are_seen(captures):
    cache, weight = GraphCache(), torch.ones(1)

    def call():
        return float(cache.call("w", lambda x: (x * weight,), [torch.ones(1)])[0])

    assert [call(), call()] == [1, 1]
    weight.fill_(3)
    assert call() == 3
    assert len(captures) == 1


def test_what_cannot_be_captured_is_told_once(monkeypatch, recwarn):
    def refuse(*_):
        try:
            raise RuntimeError("operation not permitted when stream is capturing")
        finally:
            raise RuntimeError("the end of the capture")

    monkeypatch.setattr("fastpunet.graphs.capture", refuse)
    cache = GraphCache()
    assert [cache.call("a", negative, [torch.ones(1)]) for _ in range(4)] == [None] * 4
    assert [str(warning.message) for warning in recwarn] == [
        "CUDA graphs cannot be used here, so kernels are launched one by one, which is slower: "
        "operation not permitted when stream is capturing"
    ]


def test_captures_share_the_pool_of_a_living_graph(captures, monkeypatch):
    stand_in, pools = graphs.capture, []

    def noting(function, inputs, beside):
        pools.append(None if beside is None else beside.pool)
        return replace(stand_in(function, inputs, beside), pool=len(captures))

    monkeypatch.setattr(graphs, "capture", noting)
    cache = GraphCache(limit=2)
    for name in "abc":
        cache.call(name, negative, [torch.ones(1)])
    assert pools == [None, 1, 2]


class FakeCuda:
    """The parts of torch.cuda that a capture uses, with streams that are names, on a device that is one, too."""

    def __init__(self, monkeypatch):
        self.streams, self.waits, self.pools = ["caller"], [], []
        for name in ("CUDAGraph", "Event", "Stream", "current_stream", "graph", "graph_pool_handle", "stream"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
        monkeypatch.setattr(torch.cuda, "device_of", lambda _: nullcontext())

    def CUDAGraph(self):
        return SimpleNamespace(replay=lambda: None)

    def Event(self):
        return SimpleNamespace(record=lambda: None, wait=lambda: None, synchronize=lambda: None)

    def graph_pool_handle(self):
        return object()

    def Stream(self):
        return FakeStream("side", self.waits)

    def current_stream(self):
        return FakeStream(self.streams[-1], self.waits)

    @contextmanager
    def stream(self, stream):
        self.streams.append(stream.name)
        try:
            yield
        finally:
            self.streams.pop()

    @contextmanager
    def graph(self, _, pool, stream, capture_error_mode):
        """Like torch.cuda.graph, it leaves its stream only if nothing has gone wrong."""
        assert graphs._capturing.locked()
        assert not may_wait()
        assert (self.streams[-1], stream.name, capture_error_mode) == ("side", "side", "thread_local")
        self.pools.append(pool)
        self.streams.append(stream.name)
        yield
        self.streams.pop()


class FakeStream(NamedTuple):
    name: str
    waits: list

    def wait_stream(self, other):
        self.waits.append((self.name, other.name))


def test_a_capture_has_a_stream_of_its_own_and_leaves_it(monkeypatch):
    cuda, cache = FakeCuda(monkeypatch), GraphCache()
    for name in "ab":
        cache.call(name, negative, [torch.ones(2)])
    assert cuda.streams == ["caller"]
    assert cuda.waits == [("side", "caller"), ("caller", "side")] * 2
    assert cuda.pools[0] is cuda.pools[1]


def test_a_refused_capture_leaves_stream_and_lock_and_a_pool_that_is_used_no_more(monkeypatch):
    cuda, cache = FakeCuda(monkeypatch), GraphCache()

    def refused(x):
        if cuda.pools[1:]:
            raise RuntimeError("operation not permitted when stream is capturing")
        return (x,)

    cache.call("a", negative, [torch.ones(2)])
    with pytest.warns(UserWarning, match="CUDA graphs cannot be used here.*not permitted"):
        assert cache.call("b", refused, [torch.ones(2)]) is None
    assert len(cuda.streams) == 2  # the stand-in's own, as torch.cuda.graph would leave it
    assert not graphs._capturing.locked()
    assert may_wait()
    cache.call("c", negative, [torch.ones(2)])
    assert cuda.pools[0] is cuda.pools[1] is not cuda.pools[2]
    assert cache.call("b", refused, [torch.ones(2)]) is None  # remembered
    assert len(cuda.pools) == 3

"""Functions as CUDA graphs: the first call for a key captures a graph, which all calls replay with their own inputs."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from fastpunet.waits import without_waiting
from fastpunet.warning import warn

_WARM_UPS = 2  # calls on the capturing stream, in which kernels are compiled and algorithms chosen
_capturing = threading.Lock()  # CUDA and PyTorch's allocator take one capture at a time


class Order(Protocol):
    """The part of torch.cuda.Event that is used here."""

    def record(self) -> None: ...
    def wait(self) -> None: ...
    def synchronize(self) -> None: ...


@dataclass(frozen=True)
class Captured:
    """A function's launches, with the memory that they read and write.

    function  what was captured, which holds the tensors that it reads besides its inputs
    pool      where temporaries are; the graphs of one pool use the same memory one after the other
    done      recorded when a graph's outputs have been copied; the pool's next replay, on any stream, waits for it
    """

    function: Callable[..., tuple[Tensor, ...]]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    replay: Callable[[], None]
    pool: Any
    done: Order


def capture(function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor], beside: Captured | None) -> Captured:
    """Record the kernels that `function(*inputs)` launches. Raises an error if a graph cannot hold what it does.

    beside: a graph of the same device whose pool the new one shares, or None.
    """
    device, graph = inputs[0].device, torch.cuda.CUDAGraph()
    pool, done = (torch.cuda.graph_pool_handle(), torch.cuda.Event()) if beside is None else (beside.pool, beside.done)
    # Tensors made in inference mode could not be copied to later.
    with _capturing, without_waiting(), torch.inference_mode(False), torch.no_grad(), torch.cuda.device(device):
        own = tuple(tensor.clone() for tensor in inputs)
        caller, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(caller)
        try:
            with torch.cuda.stream(side):  # which also leaves that stream if torch.cuda.graph fails to
                for _ in range(_WARM_UPS):
                    function(*own)
                with torch.cuda.graph(graph, pool, side, capture_error_mode="thread_local"):  # other threads may go on
                    outputs = function(*own)
        finally:
            caller.wait_stream(side)
    return Captured(function, own, outputs, graph.replay, pool, done)


class GraphCache:
    """Calls functions as CUDA graphs. The `limit` graphs used last are kept; they share the memory of temporaries.

    A graph reads the tensors that the function read when it was captured. Changes in place take effect.
    """

    def __init__(self, limit: int = 8) -> None:
        self._limit = limit
        self._graphs: OrderedDict[Hashable, Captured | None] = OrderedDict()  # None: it cannot be captured
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[GraphCache], tuple[int]]:
        """Copy and pickle as an empty cache, because graphs belong to one process and model."""
        return GraphCache, (self._limit,)

    def call(
        self, key: Hashable, function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]
    ) -> tuple[Tensor, ...] | None:
        """Return function(*inputs) in fresh memory, or None if it cannot be captured.

        The first time a UserWarning says why. Calls that launch different kernels must have different keys.
        """
        known = (key, *((tensor.device, tensor.shape, tensor.stride(), tensor.dtype) for tensor in inputs))
        with self._lock, torch.cuda.device_of(inputs[0]):
            graph = self._graph(known, function, inputs)
            if graph is None:
                return None
            graph.done.wait()
            for own, given in zip(graph.inputs, inputs, strict=True):
                own.copy_(given)
            graph.replay()
            results = tuple(output.clone() for output in graph.outputs)
            graph.done.record()
            return results

    def forget(self) -> None:
        """Let go of all graphs, once the device has finished with them."""
        with self._lock:
            for known in list(self._graphs):
                self._evict(known)

    def _graph(
        self, known: Hashable, function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]
    ) -> Captured | None:
        if known in self._graphs:
            self._graphs.move_to_end(known)
            return self._graphs[known]
        while len(self._graphs) >= self._limit:
            self._evict(next(iter(self._graphs)))  # the one that was not used for longest
        living = (graph for graph in self._graphs.values() if graph is not None)
        beside = next((graph for graph in living if graph.inputs[0].device == inputs[0].device), None)
        try:
            self._graphs[known] = capture(function, inputs, beside)
        except Exception as error:  # if it is the function's own, the caller will have it again
            for other in [key for key, graph in self._graphs.items() if graph is not None]:
                self._evict(other)  # PyTorch may not capture into the same pool again
            self._graphs[known] = None
            cause: BaseException = error
            while cause.__context__ is not None:  # the end of a capture that has failed raises an error of its own
                cause = cause.__context__
            warn(f"CUDA graphs cannot be used here, so kernels are launched one by one, which is slower: {cause}")
        return self._graphs[known]

    def _evict(self, known: Hashable) -> None:
        """Let go of a graph, which another stream may be replaying."""
        graph = self._graphs.pop(known)
        if graph is not None:
            graph.done.synchronize()

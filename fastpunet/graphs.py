"""Functions as CUDA graphs: the second call for a key captures a graph, and later calls replay it with new inputs."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_WARM_UPS = 2  # calls on the capturing stream, in which kernels are compiled and algorithms chosen


class _Order(Protocol):
    """The part of torch.cuda.Event that is used here."""

    def record(self) -> None: ...
    def wait(self) -> None: ...


@dataclass(frozen=True)
class Captured:
    """A function's launches, with the memory that they read and write."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    replay: Callable[[], None]
    done: _Order  # recorded when the outputs have been copied; the next replay, on any stream, waits for it


def capture(function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]) -> Captured:
    """Record the kernels that `function(*inputs)` launches. RuntimeError if a graph cannot hold what it does."""
    with torch.inference_mode(False), torch.no_grad():  # tensors made in inference mode could not be copied to later
        own = tuple(tensor.clone() for tensor in inputs)
        side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                function(*own)
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may go on
            outputs = function(*own)
    return Captured(own, outputs, graph.replay, torch.cuda.Event())


class GraphCache:
    """Calls functions, and replays the CUDA graph of a key that it has seen before.

    A graph reads the tensors that the function read when it was captured. The caller names those that may change
    between calls. Changes in place take effect; if a tensor has been replaced, the graph is captured anew. The `limit`
    graphs used last are kept, each with the memory of its inputs, outputs and temporaries.
    """

    def __init__(self, limit: int = 8) -> None:
        self._limit = limit
        self._graphs: OrderedDict[Hashable, Captured | None] = OrderedDict()  # None: called once, or not to be captured
        self._refused: set[Hashable] = set()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[GraphCache], tuple[int]]:
        """Copy and pickle as an empty cache, because graphs belong to one process and model."""
        return GraphCache, (self._limit,)

    def call(
        self,
        key: Hashable,
        function: Callable[..., tuple[Tensor, ...]],
        inputs: Sequence[Tensor],
        reads: Iterable[Tensor],
    ) -> tuple[Tensor, ...]:
        """Return function(*inputs) in fresh memory. Calls that launch different kernels must have different keys."""
        where = tuple((tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()) for tensor in reads)
        shapes = tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in inputs)
        known = (key, shapes, where)
        with self._lock, torch.cuda.device_of(inputs[0]):
            graph = self._graph(known, function, inputs)
            if graph is None:
                return function(*inputs)
            graph.done.wait()
            for own, given in zip(graph.inputs, inputs, strict=True):
                own.copy_(given)
            graph.replay()
            results = tuple(output.clone() for output in graph.outputs)
            graph.done.record()
            return results

    def _graph(
        self, known: Hashable, function: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]
    ) -> Captured | None:
        if known not in self._graphs:
            self._graphs[known] = None
            while len(self._graphs) > self._limit:
                self._refused.discard(self._graphs.popitem(last=False)[0])
            return None
        self._graphs.move_to_end(known)
        graph = self._graphs[known]
        if graph is None and known not in self._refused:
            try:
                graph = self._graphs[known] = capture(function, inputs)
            except RuntimeError as error:
                self._refused.add(known)
                warnings.warn(f"no CUDA graph, kernels are launched one by one: {error}", stacklevel=4)
        return graph

"""Captures encoding and drawing as one CUDA graph, which later calls replay with their own images and noise."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from fastpunet.arguments import check_pixels, pixel_range
from fastpunet.branches import both
from fastpunet.graphs import GraphCache
from fastpunet.latents import Noise
from fastpunet.models.kept_casts import KeptCasts
from fastpunet.models.method import Method
from fastpunet.models.snapshot import Snapshot
from fastpunet.models.twin import evaluation_twin
from fastpunet.passes import Passes, all_finite
from fastpunet.waits import RefuseWaits
from fastpunet_kernels import Gaussian

Request = tuple[int, int]  # the arguments (dim, layer) of `Noise.normals`


class Drawn(NamedTuple):
    """Hypotheses, and what is known of the values that they were computed from, all on the device.

    facts  float32 (3,): the smallest and the largest pixel of the images, and 1 if the encoding is finite, else 0
    """

    hypotheses: Tensor
    facts: Tensor


class Replays:
    """Draws hypotheses, and replays a CUDA graph for a shape, output and precision that it has seen before.

    Noise is drawn outside the graph, because a captured graph would repeat the same seed. The first call records which
    random numbers the method asks for. A method that reads the seed or the ids themselves is not captured. After a
    change of the model other than of its weights' values, everything is recorded and captured anew.
    """

    def __init__(self) -> None:
        self._graphs = GraphCache()
        # What each key asks of the noise; None: not only normals, which a graph could not be given.
        self._requests: dict[Any, list[Request] | None] = {}
        self._snapshot: Snapshot | None = None  # the model for which all of this holds

    def forget(self) -> None:
        """Begin anew, as after a change of the model or of the kernels' tilings."""
        self._requests, self._snapshot = {}, None
        self._graphs.forget()

    @torch.no_grad()
    def draw(self, method: Method, passes: Passes, images: Tensor, noise: Noise, output: str, precision: str) -> Drawn:
        """Encode images (B, C, *size) and return what `method.draw` gives for all of `noise` at once.

        Where a graph is replayed, the host does not wait, and the caller must look at the facts. Elsewhere ValueError
        is raised for NaN or infinity in the images.
        """
        backend, compiled = noise.backend, passes.compiles(images, precision)

        def compute(images: Tensor, noise: Noise) -> Drawn:
            twin = evaluation_twin(method)
            encoding = passes.encode(twin, images, precision)
            drawn, facts = both(
                lambda: twin.draw(encoding, noise, output=output, precision=precision, backend=backend),
                lambda: torch.stack((*images.float().aminmax(), all_finite(encoding).float())),
                images.device,
            )
            return Drawn(drawn, facts)

        where = images.device, images.shape, images.dtype
        key = (*where, noise.n, noise.first, noise.sampler, output, precision, backend, compiled)
        requests, snapshot = self._requests.get(key), self._snapshot
        if requests is None or snapshot is None:
            check_pixels(*pixel_range(images))
            noting = _Noting(noise)
            drawn = compute(images, cast(Noise, noting))
            if key not in self._requests:
                self._note(key, noting.requests if noting.only_normals else None, method)
            return drawn
        casts = KeptCasts(method)

        def captured(images: Tensor, *normals: Tensor) -> Drawn:
            with ExitStack() as contexts:
                if not compiled:  # PyTorch runs no compiled code inside such contexts
                    contexts.enter_context(RefuseWaits(images.device))
                    contexts.enter_context(casts.used())
                return compute(images, cast(Noise, _Given(requests, normals, noise)))

        normals = [noise.normals(*request) for request in requests]
        replayed = self._graphs.call(key, captured, (images, *normals))
        if not snapshot.holds():  # looked at while the device computes
            self.forget()
            return self.draw(method, passes, images, noise, output, precision)
        return compute(images, noise) if replayed is None else Drawn(*replayed)

    def _note(self, key: Any, requests: list[Request] | None, method: Method) -> None:
        if self._snapshot is None or not self._snapshot.holds():
            self.forget()
            self._snapshot = Snapshot(method)
        self._requests[key] = requests


class _Noting:
    """Noise that records which random numbers a method asks for."""

    def __init__(self, noise: Noise) -> None:
        self._noise = noise
        self.first, self.n, self.backend, self.sampler = noise.first, noise.n, noise.backend, noise.sampler
        self.requests: list[Request] = []
        self.only_normals = True

    def normals(self, dim: int, layer: int = 0) -> Tensor:
        self._note((dim, layer))
        return self._noise.normals(dim, layer)

    def gaussian(self, mu: Tensor, sigma: Tensor) -> Tensor | Gaussian:
        self._note((mu.shape[1], 0))
        return self._noise.gaussian(mu, sigma)

    def _note(self, request: Request) -> None:
        if request not in self.requests:
            self.requests.append(request)

    def __getattr__(self, name: str) -> Any:
        self.only_normals = False
        return getattr(self._noise, name)


class _Given:
    """Noise that gives normals which have been drawn already; it has neither seed nor ids."""

    def __init__(self, requests: Sequence[Request], normals: Sequence[Tensor], noise: Noise) -> None:
        self._normals = dict(zip(requests, normals, strict=True))
        self.n, self.sampler = noise.n, noise.sampler

    def normals(self, dim: int, layer: int = 0) -> Tensor:
        return self._normals[dim, layer]

    def gaussian(self, mu: Tensor, sigma: Tensor) -> Tensor:
        return torch.addcmul(mu[:, None], sigma[:, None], self.normals(mu.shape[1]))

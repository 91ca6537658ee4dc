"""Decoding forwards and backwards: what training through many hypotheses of an image costs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from benchmarks.race import Peer, race
from benchmarks.workloads import FCOMB_LAYERS, FILTERS, LATENT_DIM
from fastpunet.models.fcomb import FComb
from fastpunet_kernels import decode_logits, fixed_precision

BATCH, SIZE = 8, 64


class Workload:
    """Features of a batch, latents, f_comb's weights, and the gradient of the logits."""

    def __init__(self, n: int, classes: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.fcomb = FComb(FILTERS[0], LATENT_DIM, classes, FCOMB_LAYERS).to(device)
        features = torch.randn(BATCH, FILTERS[0], SIZE, SIZE, device=device)
        self.features = features.contiguous(memory_format=torch.channels_last).requires_grad_()
        self.z = torch.randn(BATCH, n, LATENT_DIM, device=device, requires_grad=True)
        self.gradient = torch.randn(BATCH, n, classes, SIZE, SIZE, device=device)
        self.check()

    def check(self) -> None:
        """No gradient is more than twice as far from that in float64 as PyTorch's.

        All are 1e-4 to 1e-3 away: where a ReLU's input is within rounding of 0, its whole gradient comes or goes.
        """
        exact = copy.deepcopy(self)
        exact.fcomb = exact.fcomb.double()
        exact.features, exact.z = (one.detach().double().requires_grad_() for one in (self.features, self.z))
        exact.gradient = self.gradient.double()
        truth = exact.gradients(exact.published)
        ours, *theirs = (self.gradients(decode) for decode in (self.ours, self.published, self.autograd))
        for name, (right, one, *others) in enumerate(zip(truth, ours, *theirs, strict=True)):
            allowed = 2 * max((other - right).norm() for other in others)
            assert (one - right).norm() <= allowed, f"gradient {name}"

    def split(self, backend: str) -> Tensor:
        split = self.fcomb.split()
        logits = decode_logits(split.base(self.features), split.decoder, self.z, backend=backend)
        return logits.unflatten(3, (SIZE, SIZE))

    def ours(self) -> Tensor:
        return self.split("auto")

    def autograd(self) -> Tensor:
        """The first layer split, as ours, with PyTorch's matrix products and autograd."""
        return self.split("reference")

    def published(self) -> Tensor:
        """f_comb's own forward pass, of features that are repeated and latents that are tiled."""
        n = self.z.shape[1]
        logits = self.fcomb(self.features.repeat_interleave(n, 0), self.z.flatten(0, 1))
        return logits.unflatten(0, (BATCH, n))

    def gradients(self, decode: Callable[[], Tensor]) -> tuple[Tensor, ...]:
        with fixed_precision("ieee", self.z.device):
            return torch.autograd.grad(decode(), [self.features, self.z, *self.fcomb.parameters()], self.gradient)


@pytest.mark.benchmark(group=f"decode forwards and backwards, {BATCH} images of {SIZE} x {SIZE}")
@pytest.mark.parametrize(("n", "classes"), [(16, 1), (64, 1), (16, 24)])
def bench_gradients(benchmark: BenchmarkFixture, device: torch.device, n: int, classes: int) -> None:
    work = Workload(n, classes, device)
    peers = {
        "PyTorch, split, autograd": Peer(partial(work.gradients, work.autograd)),
        "f_comb as published, autograd": Peer(partial(work.gradients, work.published)),
    }
    hidden, last = (FCOMB_LAYERS - 2) * FILTERS[0] ** 2, FILTERS[0] * classes
    flop = 2 * (4 * hidden + 3 * last) * BATCH * SIZE**2 * n  # forwards, again all but the last layer, twice backwards
    ours = partial(work.gradients, work.ours)
    race(benchmark, ours, peers, rounds=5, flop=flop, units=BATCH * n, unit="hypothesis", n=n, classes=classes)

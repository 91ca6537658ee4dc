"""A training step, forwards, backwards and optimiser: the port's, and ours on as many segmentations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn
from torch.distributions import kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.port import PortModel
from benchmarks.race import Peer, race
from fastpunet import ProbabilisticUNet
from fastpunet.training.objective import Objective, ObjectiveConfig

CHANNELS = (32, 64, 128, 192)  # the published network, latent_dim 6
BATCH, SIZE = 8, 128


def stepper(model: nn.Module, loss: Callable[[], torch.Tensor], bf16: bool) -> Callable[[], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-5)
    device = next(model.parameters()).device.type

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            value = loss()
        value.backward()
        optimizer.step()

    return step


def port_step(device: torch.device, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    """One segmentation an image; cross-entropy of the posterior's sample and the analytic KL, as the port has them."""
    port = PortModel(num_filters=CHANNELS).to(device)

    def loss() -> torch.Tensor:
        port(images, labels)
        z = port.posterior_latent_space.rsample()
        logits = port.fcomb(port.unet_features, z)
        reconstruction = binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        return reconstruction + 10 * kl_divergence(port.posterior_latent_space, port.prior_latent_space).sum()

    return stepper(port, loss, bf16=False)


def our_step(
    device: torch.device, images: torch.Tensor, labels: torch.Tensor, graders: int, bf16: bool
) -> Callable[[], None]:
    model = ProbabilisticUNet(1, 1, CHANNELS).to(device, memory_format=torch.channels_last)
    some = images[::graders].contiguous(memory_format=torch.channels_last)
    masks = labels.reshape(BATCH // graders, graders, SIZE, SIZE).to(torch.uint8)

    def loss() -> torch.Tensor:
        elbo = model.elbo(some, masks)
        return elbo.reconstruction.mean() + elbo.kl.sum(-1).mean()

    return stepper(model, loss, bf16)


@pytest.mark.benchmark(group="training step, 8 segmentations of 128 x 128")
@pytest.mark.parametrize(("graders", "bf16"), [(1, False), (4, False), (1, True), (4, True)])
def bench_training_step(benchmark: BenchmarkFixture, device: torch.device, graders: int, bf16: bool) -> None:
    torch.manual_seed(0)
    images = torch.rand(BATCH, 1, SIZE, SIZE, device=device)
    labels = (torch.rand(BATCH, 1, SIZE, SIZE, device=device) > 0.9).float()
    ours = our_step(device, images, labels, graders, bf16)
    peers = {"port, float32": Peer(port_step(device, images, labels))}
    race(benchmark, ours, peers, rounds=5, units=BATCH, unit="segmentation", graders=graders, bf16=bf16)


@pytest.mark.benchmark(group="training step, 8 images of 64 x 64, 4 graders, by hypotheses from the prior")
@pytest.mark.parametrize("hypotheses", [16, 64])
def bench_training_through_hypotheses(benchmark: BenchmarkFixture, device: torch.device, hypotheses: int) -> None:
    """A step of the ELBO plus the energy score, beside a step of the ELBO alone."""
    torch.manual_seed(0)
    images = torch.rand(BATCH, 1, 64, 64, device=device).contiguous(memory_format=torch.channels_last)
    labels = (torch.rand(BATCH, 4, 64, 64, device=device) > 0.9).to(torch.uint8)

    def step(config: ObjectiveConfig) -> Callable[[], None]:
        model = ProbabilisticUNet(1, 1, CHANNELS).to(device, memory_format=torch.channels_last)
        objective = Objective(config).to(device)

        def loss() -> torch.Tensor:
            ids = torch.arange(BATCH, device=device)
            terms = objective.terms_of(model, images, labels, seed=0, ids=ids)
            return objective(terms, 0, objective.scores(terms, labels))

        return stepper(model, loss, bf16=False)

    ours = step(ObjectiveConfig(energy_weight=100.0, hypotheses=hypotheses))
    peers = {"the ELBO alone": Peer(step(ObjectiveConfig()))}
    race(benchmark, ours, peers, rounds=5, units=BATCH * hypotheses, unit="hypothesis", hypotheses=hypotheses)

"""Small models whose hypotheses are drawn through CUDA graphs, or a stand-in for them, and compared with plain ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, Sampler
from fastpunet.latents import Noise
from fastpunet.masks import PackedMasks
from fastpunet.memory import shaped


def small(device: str | torch.device = "cpu", classes: int = 3) -> ProbabilisticUNet:
    torch.manual_seed(0)
    return ProbabilisticUNet(1, classes, channels=(8, 12), latent_dim=6, convs_per_block=1).to(device)


def port(device: str | torch.device = "cpu") -> PortModel:
    """A model of the PyTorch port's shape."""
    torch.manual_seed(0)
    return PortModel(num_classes=3, num_filters=(8, 12), latent_dim=6).to(device).eval()


def labels(hypotheses: Tensor | PackedMasks) -> Tensor:
    return hypotheses.unpack() if isinstance(hypotheses, PackedMasks) else hypotheses


def check_sampler(
    sampler: Sampler, device: str | torch.device, outputs: tuple[str, ...] = ("labels", "probs", "bits")
) -> None:
    """Graphs draw what is drawn without them, for new images, seeds, ids and weights."""
    for output in outputs:
        for seed in range(4):
            images, ids = torch.rand(2, 1, 9, 13, device=device), torch.tensor([seed, 2**40], device=device)
            noise = Noise(seed, ids, 0, 5)
            drawn = sampler._replays.draw(sampler.method, sampler._passes, images, noise, output, sampler.precision)
            ours = shaped(drawn.hypotheses, output, (9, 13))
            assert drawn.facts.tolist() == [images.min(), images.max(), 1]
            plain = sampler.draw(sampler.encode(images), 5, seed=seed, ids=ids, output=output)
            torch.testing.assert_close(labels(ours), labels(plain))
            if seed == 2:
                with torch.no_grad():
                    last_layer(sampler).weight.mul_(-1.5)


def last_layer(sampler: Sampler) -> nn.Module:
    return sampler.method.combiner.last_layer

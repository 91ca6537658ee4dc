"""Batches from main memory: the same hypotheses however they are batched, and nothing computed before its turn."""

import pytest
import torch

from fastpunet import PackedMasks, ProbabilisticUNet, Sampler


@pytest.fixture
def sampler(device):
    torch.manual_seed(0)
    device = device if device.type == "cuda" else torch.device("cpu")
    return Sampler(
        ProbabilisticUNet(1, 3, channels=(8, 12), latent_dim=3, convs_per_block=1).to(device), precision="ieee"
    )


IMAGES = torch.rand(7, 1, 9, 13, generator=torch.Generator().manual_seed(1))


def labels(part):
    return part.unpack() if isinstance(part, PackedMasks) else part


@pytest.mark.parametrize("output", ["labels", "bits"])
@pytest.mark.parametrize("sizes", [[7], [3, 3, 1], [1] * 7])
def test_batches_are_as_one(sampler, output, sizes):
    parts = list(sampler.sample_batches(IMAGES.split(sizes), 5, seed=2, output=output))
    assert [labels(part).shape for part in parts] == [(size, 5, 9, 13) for size in sizes]
    whole = labels(sampler.sample(IMAGES.to(sampler.device), 5, seed=2, output=output)).cpu()
    assert (torch.cat([labels(part) for part in parts]) != whole).float().mean() <= 1e-4
    assert all(labels(part).device.type == "cpu" for part in parts)


def test_an_error_comes_when_its_batch_does(sampler):
    broken = IMAGES[:1] * torch.nan
    parts = sampler.sample_batches([IMAGES[:1], IMAGES[:1], broken], 2, seed=0)
    assert next(parts).shape == (1, 2, 9, 13)
    with pytest.raises(ValueError, match="images: got NaN"):
        list(parts)
    with pytest.raises(ValueError, match="n: got 0"):
        sampler.sample_batches([], 0)
    assert list(sampler.sample_batches([], 1)) == []


@pytest.mark.gpu
def test_many_batches_overlap_without_mixing_them_up(sampler):
    batches = [torch.rand(2, 1, 64, 64) for _ in range(30)]
    found = list(sampler.sample_batches(batches, 200, seed=0, output="bits"))
    for i, (batch, part) in enumerate(zip(batches, found, strict=True)):
        ids = torch.tensor([2 * i, 2 * i + 1])
        plain = sampler.draw(sampler.encode(batch.to(sampler.device)), 200, seed=0, ids=ids)
        assert (part.unpack() != plain.cpu()).float().mean() <= 1e-4

"""Computations that need nothing of each other, one after the other and as branches of a CUDA graph."""

import pytest
import torch

from fastpunet import ProbabilisticUNet, Sampler
from fastpunet.branches import both
from fastpunet.models.kept_casts import KeptCasts


def test_outside_of_a_capture_they_run_in_order():
    said = []
    assert both(lambda: said.append(1) or "a", lambda: said.append(2) or "b", torch.device("cpu")) == ("a", "b")
    assert said == [1, 2]


@pytest.mark.gpu
def test_branches_of_a_graph_are_joined(device):
    x, graph, stream = torch.zeros(1 << 20, device=device), torch.cuda.CUDAGraph(), torch.cuda.Stream()

    def slow(y):
        for _ in range(50):
            y = torch.sin(y) + 1
        return y

    def run():
        first, second = both(lambda: slow(x), lambda: slow(x + 1), x.device)
        return first - second

    with torch.cuda.graph(graph, stream=stream):
        out = run()
    for value in (0.5, -2.0, 3.0):
        x.fill_(value)
        graph.replay()
        assert torch.equal(out, slow(x) - slow(x + 1))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_kept_copies_are_the_weights_in_bf16_with_the_channels_last(layout):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Conv2d(5, 4, 2), torch.nn.Flatten()).to(
        memory_format=layout
    )
    casts, image = KeptCasts(model), torch.rand(2, 3, 9, 8)
    with torch.no_grad():
        for change in (1.0, 1.0, 0.5):
            for parameter in model.parameters():
                parameter.data *= change
            with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
                plain = model(image)
                with casts.used():
                    assert torch.equal(model(image), plain)
    copies = [copy for copy in casts._copies.values() if copy.ndim == 4]
    assert len(copies) == 2
    assert all(copy.is_contiguous(memory_format=torch.channels_last) for copy in copies)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16"])
def test_a_replayed_pass_of_two_branches_is_the_launched_one(precision, device):

    torch.manual_seed(0)
    sampler = Sampler(ProbabilisticUNet(channels=(16, 32)).to(device), precision=precision)
    for seed in range(20):
        image = torch.rand(1, 1, 64, 64, device=device)
        plain = sampler.draw(sampler.encode(image), 100, seed=seed)
        assert (sampler.sample(image, 100, seed=seed) != plain).float().mean() <= 1e-4

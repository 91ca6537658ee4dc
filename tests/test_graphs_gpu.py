"""CUDA graphs on a GPU."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from helpers.replaying import check_sampler, port, small

from fastpunet import Sampler
from fastpunet.graphs import GraphCache

pytestmark = pytest.mark.gpu


def negative(x):
    return (-x,)


@pytest.mark.parametrize("make", [small, port])
@pytest.mark.parametrize(
    ("precision", "outputs"), [("ieee", ("labels", "probs", "bits")), ("tf32", ("labels",)), ("bf16", ("labels",))]
)
def test_real_graphs(precision, outputs, make, device, recwarn):
    check_sampler(Sampler(make(device), precision=precision), device, outputs)
    assert not [str(warning.message) for warning in recwarn if "CUDA graph" in str(warning.message)]


def test_real_graphs_on_two_streams_and_in_inference_mode(device):
    sampler = Sampler(small(device), precision="ieee")
    images = [torch.rand(2, 1, 33, 40, device=device) for _ in range(20)]
    expected = [sampler.draw(sampler.encode(image), 50, seed=i) for i, image in enumerate(images)]
    streams, found = [torch.cuda.Stream(), torch.cuda.Stream()], []
    torch.cuda.synchronize()
    for i, image in enumerate(images):
        with torch.cuda.stream(streams[i % 2]), torch.inference_mode(i % 3 == 0):
            found.append(sampler.sample(image, 50, seed=i))
    torch.cuda.synchronize()
    for ours, plain in zip(found, expected, strict=True):
        assert (ours != plain).float().mean() <= 1e-4


def test_real_graphs_follow_weights_that_were_replaced(device):
    sampler, image = Sampler(small(device), precision="ieee"), torch.rand(1, 1, 16, 16, device=device)
    for _ in range(3):
        sampler.sample(image, 8, seed=0)
    sampler.method.fcomb.last_layer.weight = torch.nn.Parameter(-2 * sampler.method.fcomb.last_layer.weight.detach())
    for _ in range(3):
        ours = sampler.sample(image, 8, seed=0)
        assert (ours != sampler.draw(sampler.encode(image), 8, seed=0)).float().mean() <= 1e-4


def test_a_refused_capture_leaves_everything_as_it_was(device, recwarn):
    warnings.simplefilter("always")  # also the same text from the same place
    cache, x, stream = GraphCache(), torch.ones(2, device=device), torch.cuda.current_stream()
    for name in "ab":
        assert torch.equal(cache.call(name, negative, [x])[0], -x)
        assert cache.call(f"{name} waits", lambda x: (x * float(x.sum()),), [x]) is None
        assert torch.cuda.current_stream() == stream
        assert not torch.cuda.is_current_stream_capturing()
    assert torch.equal(cache.call("c", negative, [x])[0], -x)
    assert len([warning for warning in recwarn if "CUDA graphs cannot be used here" in str(warning.message)]) == 2


def test_graphs_share_memory_and_disturb_no_one(device):
    """More graphs than are kept, replayed in any order on several streams, while others are captured."""
    cache, streams = GraphCache(limit=4), [torch.cuda.Stream() for _ in range(3)]
    torch.cuda.synchronize()
    found = []
    for i in range(60):
        size = 64 + i * 7 % 6  # the graph of which is evicted and captured again
        with torch.cuda.stream(streams[i % 3]):
            x = torch.full((size, 50_000), float(i), device=device)
            (y,) = cache.call(size, lambda x: (((x + 1) * 2 - x).cumsum(0),), [x])
            found.append((i, y))
    torch.cuda.synchronize()
    for i, y in found:
        assert torch.equal(y, (torch.arange(len(y), device=device) + 1.0)[:, None].expand_as(y) * (i + 2))


def test_threads_capture_one_after_the_other(device, recwarn):
    """PyTorch lets no thread draw random numbers on the GPU while another one captures."""

    def work(i):
        with torch.cuda.stream(torch.cuda.Stream()):
            images = torch.rand(2, 1, 16 + i, 16).to(device)
            sampler = Sampler(small(device), precision="ieee")
            parts = [sampler.sample(images, 9, seed=3) for _ in range(4)]
            plain = sampler.draw(sampler.encode(images), 9, seed=3)
            return max(float((part != plain).float().mean()) for part in parts)

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(8))) <= 1e-3
    assert not [str(warning.message) for warning in recwarn if "CUDA graph" in str(warning.message)]


def test_a_second_gpu(recwarn):
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    for device in ("cuda:1", "cuda:0"):
        check_sampler(Sampler(small(device), precision="ieee"), device)
    assert not [str(warning.message) for warning in recwarn if "CUDA graph" in str(warning.message)]


@pytest.mark.parametrize("make", [small, port])
def test_nan_is_an_error_also_where_a_graph_is_replayed(make, device):
    sampler, images = Sampler(make(device), precision="ieee"), torch.rand(2, 1, 16, 16, device=device)
    for _ in range(3):
        sampler.sample(images, 4, seed=0)
    with pytest.raises(ValueError, match="images: got NaN"):
        sampler.sample(images * torch.nan, 4, seed=0)
    batches = [images.cpu(), images.cpu(), torch.nan * images.cpu()]
    parts = sampler.sample_batches(batches, 4, seed=0)
    assert next(parts).shape == next(parts).shape == (2, 4, 16, 16)
    with pytest.raises(ValueError, match="images: got NaN"):
        next(parts)
    with torch.no_grad():
        next(sampler.method.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="model: got NaN"):
        sampler.sample(images, 4, seed=0)


def test_a_replayed_call_waits_once(device):
    """Under a debug mode that warns of every wait, of which the flag at the end is the only one."""
    sampler, images = Sampler(port(device), precision="bf16"), torch.rand(2, 1, 16, 16, device=device)
    for _ in range(3):
        sampler.sample(images, 40, seed=0)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            sampler.sample(images, 40, seed=1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([wait for wait in waits if "synchronizing" in str(wait.message)]) == 1

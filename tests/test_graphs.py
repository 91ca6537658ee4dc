"""CUDA graphs: what is captured, replayed and forgotten, with a stand-in for CUDA; on a GPU the real thing."""

import math
import pickle
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch.distributions import Distribution
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, Sampler, graphs
from fastpunet.graphs import GraphCache
from fastpunet.latents import Noise
from fastpunet.masks import PackedMasks
from fastpunet.memory import shaped
from fastpunet.models import METHODS
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
    monkeypatch.setattr("conftest._Order.synchronize", lambda _: waited.append(len(captures)))
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
        "no CUDA graph, kernels are launched one by one: operation not permitted when stream is capturing"
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
    with pytest.warns(UserWarning, match="no CUDA graph.*not permitted"):
        assert cache.call("b", refused, [torch.ones(2)]) is None
    assert len(cuda.streams) == 2  # the stand-in's own, as torch.cuda.graph would leave it
    assert not graphs._capturing.locked()
    assert may_wait()
    cache.call("c", negative, [torch.ones(2)])
    assert cuda.pools[0] is cuda.pools[1] is not cuda.pools[2]
    assert cache.call("b", refused, [torch.ones(2)]) is None  # remembered
    assert len(cuda.pools) == 3


def small(device="cpu", classes=3):
    torch.manual_seed(0)
    return ProbabilisticUNet(1, classes, channels=(8, 12), latent_dim=3, convs_per_block=1).to(device)


def labels(hypotheses):
    return hypotheses.unpack() if isinstance(hypotheses, PackedMasks) else hypotheses


def check_sampler(sampler, device):
    """Graphs draw what is drawn without them, for new images, seeds, ids and weights."""
    for output in ("labels", "probs", "bits"):
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
                    sampler.method.fcomb.last_layer.weight.mul_(-1.5)


def test_a_sampler_draws_the_same_through_graphs(captures):
    check_sampler(Sampler(small(), precision="ieee"), "cpu")
    assert len(captures) == 3  # one for each output


@pytest.mark.parametrize("name", METHODS)
def test_every_method_draws_the_same_through_graphs(name, captures):
    torch.manual_seed(0)
    sampler = Sampler(METHODS[name](1, 2, channels=(4, 6), convs_per_block=1), precision="ieee")
    images, ids = torch.rand(2, 1, 8, 8), torch.tensor([3, 9])
    for seed in range(4):
        flat = sampler._replays.draw(
            sampler.method, sampler._passes, images, Noise(seed, ids, 0, 3), "logits", sampler.precision
        ).hypotheses
        plain = sampler.sample(images, 3, seed=seed, ids=ids, output="logits")
        torch.testing.assert_close(flat.unflatten(-1, (8, 8)), plain)
    # an order of members or heads takes the seed itself, which no graph can be given anew
    assert len(captures) == (name not in ("UNetEnsemble", "MHeads"))


def test_nan_is_noted_where_it_is_replayed(captures):
    """The kernels of a CPU would refuse NaN in the encoding, so this method has none."""
    torch.manual_seed(0)
    sampler = Sampler(METHODS["DropoutUNet"](1, 2, channels=(4, 6), convs_per_block=1), precision="ieee")
    images, noise = torch.rand(1, 1, 8, 8), Noise(0, torch.tensor([0]), 0, 2)
    draw = partial(sampler._replays.draw, sampler.method, sampler._passes)
    for _ in range(2):
        assert draw(images, noise, "labels", "ieee").facts[2] == 1
    broken = images.clone()
    broken[..., 3, 3] = torch.nan
    least, most, finite = draw(broken, noise, "labels", "ieee").facts.tolist()
    assert math.isnan(least)
    assert math.isnan(most)
    assert finite == 0
    assert len(captures) == 1


@pytest.fixture(params=["ours", "port"])
def drawing(request):
    """A sampler, and draw(seed), which calls it as a GPU would be called, always for the same images."""
    model = small() if request.param == "ours" else port()
    sampler, images = Sampler(model, precision="ieee"), torch.rand(2, 1, 8, 8)

    def draw(seed=0, precision="ieee"):
        noise = Noise(seed, torch.tensor([3, 9]), 0, 5)
        return sampler._replays.draw(sampler.method, sampler._passes, images, noise, "logits", precision).hypotheses

    return model, sampler, images, draw


def check_against_a_new_sampler(drawing):
    model, _, images, draw = drawing
    plain = Sampler(model, precision="ieee").sample(images, 5, seed=1, ids=torch.tensor([3, 9]), output="logits")
    torch.testing.assert_close(draw(1).unflatten(-1, (8, 8)), plain)


@pytest.mark.filterwarnings("error")
def test_nothing_that_is_captured_waits_for_the_device(drawing, captures):
    """A stand-in captures only what waits nowhere: no value is read, and torch.distributions validate nothing."""
    assert Distribution._validate_args
    for _ in range(3):
        check_against_a_new_sampler(drawing)
    assert len(captures) == 1
    assert Distribution._validate_args


def test_what_waits_is_not_captured_and_is_drawn_all_the_same(drawing, captures, recwarn):
    model = drawing[0]
    model.unet.register_forward_hook(lambda _, __, output: output * float(output.sum() > -1e9))
    for _ in range(4):
        check_against_a_new_sampler(drawing)
    assert not captures
    told = [str(warning.message) for warning in recwarn if "CUDA graph" in str(warning.message)]
    assert told == [
        "no CUDA graph, kernels are launched one by one: _local_scalar_dense makes the host wait for the device"
    ]


def replace_an_activation(model):
    model.unet.contracting_path[0].layers[1] = torch.nn.Tanh()


def replace_a_weight(model):
    weight = model.fcomb.last_layer.weight
    model.fcomb.last_layer.weight = torch.nn.Parameter(-2 * weight.detach())


def put_other_memory_under_a_weight(model):
    model.fcomb.last_layer.weight.data = -2 * model.fcomb.last_layer.weight.data


def add_a_hook(model):
    model.unet.register_forward_hook(lambda _, __, output: 2 * output)


def change_an_attribute(model):
    model.unet.contracting_path[0].layers[0].padding = (2, 2)
    model.unet.contracting_path[0].layers[0].dilation = (2, 2)


def put_another_forward(model):
    own = model.unet.forward
    model.unet.forward = lambda *args: 3 * own(*args)


@pytest.mark.parametrize(
    "change",
    [
        replace_an_activation,
        replace_a_weight,
        put_other_memory_under_a_weight,
        add_a_hook,
        change_an_attribute,
        put_another_forward,
    ],
)
def test_a_change_of_the_model_is_captured_anew(drawing, captures, change):
    for _ in range(2):
        check_against_a_new_sampler(drawing)
    change(drawing[0])
    for _ in range(3):
        check_against_a_new_sampler(drawing)
    assert len(captures) == 2


def change_weights_in_place(model):
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)


def change_data_in_place(model):
    for weight in model.parameters():
        weight.data.mul_(1.1)


def train_and_evaluate(model):
    model.train()
    if isinstance(model, PortModel):
        with torch.no_grad():
            model(torch.rand(1, 1, 8, 8), None, training=False)  # leaves its results on itself
            model.sample(testing=True)


@pytest.mark.parametrize("change", [change_weights_in_place, change_data_in_place, train_and_evaluate])
def test_other_values_are_replayed(drawing, captures, change):
    for _ in range(2):
        change(drawing[0])
        check_against_a_new_sampler(drawing)
    for _ in range(3):
        change(drawing[0])
        check_against_a_new_sampler(drawing)
    assert len(captures) == 1


@pytest.mark.parametrize("change", [change_weights_in_place, change_data_in_place])
def test_weights_are_cast_together_and_anew_in_every_pass(drawing, captures, change):
    model, _, images, draw = drawing
    casts = Counter()

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if isinstance(args[0], torch.nn.Parameter):
                casts[func.overloadpacket.__name__] += 1
            return func(*args, **(kwargs or {}))

    for _ in range(3):
        draw(1, "bf16")
    change(model)
    with Count():
        ours = draw(1, "bf16")
    noise = Noise(1, torch.tensor([3, 9]), 0, 5)
    bf16 = Sampler(model, precision="bf16")
    plain = bf16.draw(bf16.encode(images), 5, seed=1, ids=noise.ids, output="logits")
    torch.testing.assert_close(ours.unflatten(-1, (8, 8)), plain)
    assert not casts["_to_copy"]
    assert len(captures) == 1


def test_a_sampler_samples_as_encode_and_draw(captures):
    sampler, images = Sampler(small(classes=1), precision="ieee"), torch.rand(3, 1, 9, 13)
    hypotheses = sampler.sample(images, 4, seed=1)
    assert torch.equal(hypotheses, sampler.draw(sampler.encode(images), 4, seed=1))
    again = pickle.loads(pickle.dumps(sampler))
    assert torch.equal(again.sample(images, 4, seed=1), hypotheses)
    assert not captures
    with pytest.raises(ValueError, match="output: got 'masks'"):
        sampler.sample(images, output="masks")
    with pytest.raises(ValueError, match="n: got 0"):
        sampler.sample(images, 0)
    with pytest.raises(ValueError, match="images: NaN"):
        sampler.sample(images * torch.nan)


def port(device="cpu"):
    torch.manual_seed(0)
    return PortModel(num_classes=3, num_filters=(8, 12), latent_dim=3).to(device).eval()


@pytest.mark.gpu
@pytest.mark.parametrize("make", [small, port])
@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16"])
def test_real_graphs(precision, make, device, recwarn):
    check_sampler(Sampler(make(device), precision=precision), device)
    assert not [str(warning.message) for warning in recwarn if "CUDA graph" in str(warning.message)]


@pytest.mark.gpu
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


@pytest.mark.gpu
def test_real_graphs_follow_weights_that_were_replaced(device):
    sampler, image = Sampler(small(device), precision="ieee"), torch.rand(1, 1, 16, 16, device=device)
    for _ in range(3):
        sampler.sample(image, 8, seed=0)
    sampler.method.fcomb.last_layer.weight = torch.nn.Parameter(-2 * sampler.method.fcomb.last_layer.weight.detach())
    for _ in range(3):
        ours = sampler.sample(image, 8, seed=0)
        assert (ours != sampler.draw(sampler.encode(image), 8, seed=0)).float().mean() <= 1e-4


@pytest.mark.gpu
def test_a_refused_capture_leaves_everything_as_it_was(device, recwarn):
    cache, x, stream = GraphCache(), torch.ones(2, device=device), torch.cuda.current_stream()
    for name in "ab":
        assert torch.equal(cache.call(name, negative, [x])[0], -x)
        assert cache.call(f"{name} waits", lambda x: (x * float(x.sum()),), [x]) is None
        assert torch.cuda.current_stream() == stream
        assert not torch.cuda.is_current_stream_capturing()
    assert torch.equal(cache.call("c", negative, [x])[0], -x)
    assert len([warning for warning in recwarn if "no CUDA graph" in str(warning.message)]) == 2


@pytest.mark.gpu
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


@pytest.mark.gpu
def test_threads_capture_one_after_the_other(device, recwarn):
    def work(i):
        with torch.cuda.stream(torch.cuda.Stream()):
            sampler, images = Sampler(small(device), precision="ieee"), torch.rand(2, 1, 16 + i, 16, device=device)
            parts = [sampler.sample(images, 9, seed=3) for _ in range(4)]
            plain = sampler.draw(sampler.encode(images), 9, seed=3)
            return max(float((part != plain).float().mean()) for part in parts)

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(8))) <= 1e-3
    assert not [str(warning.message) for warning in recwarn if "CUDA graph" in str(warning.message)]


@pytest.mark.gpu
def test_a_second_gpu(recwarn):
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    for device in ("cuda:1", "cuda:0"):
        check_sampler(Sampler(small(device), precision="ieee"), device)
    assert not [str(warning.message) for warning in recwarn if "CUDA graph" in str(warning.message)]


@pytest.mark.gpu
@pytest.mark.parametrize("make", [small, port])
def test_nan_is_an_error_also_where_a_graph_is_replayed(make, device):
    sampler, images = Sampler(make(device), precision="ieee"), torch.rand(2, 1, 16, 16, device=device)
    for _ in range(3):
        sampler.sample(images, 4, seed=0)
    with pytest.raises(ValueError, match="images: NaN"):
        sampler.sample(images * torch.nan, 4, seed=0)
    batches = [images.cpu(), images.cpu(), torch.nan * images.cpu()]
    parts = sampler.sample_batches(batches, 4, seed=0)
    assert next(parts).shape == next(parts).shape == (2, 4, 16, 16)
    with pytest.raises(ValueError, match="images: NaN"):
        next(parts)
    with torch.no_grad():
        next(sampler.method.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="model: NaN"):
        sampler.sample(images, 4, seed=0)


@pytest.mark.gpu
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

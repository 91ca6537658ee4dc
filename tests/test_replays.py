"""Encoding and drawing as one CUDA graph, with a stand-in for CUDA: what is captured, and when it is captured anew."""

import math
import pickle
from collections import Counter
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from helpers.replaying import check_sampler, port, small
from torch.distributions import Distribution
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.port import PortModel
from fastpunet import Sampler, adapt, windowed
from fastpunet.latents import Noise
from fastpunet.models import METHODS
from fastpunet.models.twin import evaluation_twin
from fastpunet.passes import Passes, all_finite
from fastpunet.replays import _Given
from fastpunet.waits import RefuseWaits, without_waiting


@pytest.mark.parametrize("make", [small, port])
def test_a_sampler_draws_the_same_through_graphs(make, captures):
    check_sampler(Sampler(make(), precision="ieee"), "cpu")
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
    assert len(captures) == (name not in ("UNetEnsemble", "MHeads", "SSN"))


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
def test_nothing_that_is_captured_waits_for_the_device(drawing, captures, monkeypatch):
    """A stand-in captures only what waits nowhere: no value is read, and torch.distributions validate nothing."""
    monkeypatch.setattr(Distribution, "_validate_args", True)  # torch.compile turns it off for the whole process
    for _ in range(3):
        check_against_a_new_sampler(drawing)
    assert len(captures) == 1
    assert Distribution._validate_args


@pytest.mark.parametrize("make", [small, port, lambda: windowed(small(), 12)])
def test_a_captured_pass_has_no_tensor_beside_the_device(make, monkeypatch):
    """With the device "meta", whose tensors have no values: none can be read, and none is copied to or from another."""
    autocast = torch.autocast
    monkeypatch.setattr(
        torch, "autocast", lambda kind, *a, **k: nullcontext() if kind == "meta" else autocast(kind, *a, **k)
    )
    monkeypatch.setattr("fastpunet_kernels.dispatch.select_backend", lambda *_: "reference")
    method = adapt(make())
    with torch.no_grad():
        method.encode(torch.rand(2, 1, 20, 24))  # what a first call finds out
        method.to("meta")
        images, ids, normals = (
            torch.rand(2, 1, 20, 24, device="meta"),
            torch.arange(2),
            torch.rand(2, 5, 6, device="meta"),
        )
        noise = _Given([(6, 0)], [normals], Noise(0, ids, 0, 5))
        for precision in ("ieee", "bf16"):
            with without_waiting(), RefuseWaits(images.device):
                twin = evaluation_twin(method)
                encoding = Passes().encode(twin, images, precision)
                drawn = twin.draw(encoding, noise, output="labels", precision=precision, backend="auto")
                assert all_finite(encoding).device == drawn.device == images.device


def test_what_waits_is_not_captured_and_is_drawn_all_the_same(drawing, captures, recwarn):
    model = drawing[0]
    model.unet.register_forward_hook(lambda _, __, output: output * float(output.sum() > -1e9))
    for _ in range(4):
        check_against_a_new_sampler(drawing)
    assert not captures
    told = [str(warning.message) for warning in recwarn if "CUDA graph" in str(warning.message)]
    assert told == [
        "CUDA graphs cannot be used here, so kernels are launched one by one, which is slower: "
        "_local_scalar_dense makes the host wait for the device"
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
    with pytest.raises(ValueError, match="images: got NaN"):
        sampler.sample(images * torch.nan)

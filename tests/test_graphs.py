"""CUDA graphs: what is captured, replayed and forgotten, with a stand-in for CUDA; on a GPU the real thing."""

import pickle

import pytest
import torch

from fastpunet import ProbabilisticUNet, Sampler
from fastpunet.graphs import GraphCache
from fastpunet.latents import Noise
from fastpunet.masks import PackedMasks
from fastpunet.memory import shaped
from fastpunet.models import METHODS


def negative(x):
    return (-x,)


def absolute(x):
    return (x.abs(),)


def test_the_second_call_captures_and_later_ones_replay(captures):
    cache, results = GraphCache(), []
    for x in (1.0, 2.0, 3.0, 4.0):
        results += cache.call("double", lambda x: (2 * x,), [torch.full((2,), x)], [])
        assert len(captures) == (len(results) > 1)
    assert [result.tolist() for result in results] == [[2, 2], [4, 4], [6, 6], [8, 8]]  # none written over by the next


@pytest.mark.parametrize("other", [torch.ones(3), torch.ones(2, dtype=torch.float64), torch.ones(2, 2).T])
def test_other_inputs_and_keys_have_graphs_of_their_own(captures, other):
    cache = GraphCache()
    for _ in range(2):
        cache.call("a", negative, [torch.ones(2)], [])
    assert torch.equal(cache.call("a", negative, [other], [])[0], -other)
    assert torch.equal(cache.call("b", absolute, [torch.ones(2)], [])[0], torch.ones(2))
    assert len(captures) == 1
    cache.call("a", negative, [other], [])
    assert len(captures) == 2


def test_the_graphs_used_last_are_kept(captures):
    cache = GraphCache(limit=2)
    for name in "aabbaccab":  # c drives out b
        cache.call(name, negative, [torch.ones(1)], [])
    assert len(captures) == 3
    cache.call("b", negative, [torch.ones(1)], [])
    assert len(captures) == 4


def test_weights_changed_in_place_are_seen_and_replaced_ones_are_captured_anew(captures):
    cache, weight = GraphCache(), torch.ones(1)

    def call():
        return float(cache.call("w", lambda x: (x * weight,), [torch.ones(1)], [weight])[0])

    assert [call(), call()] == [1, 1]
    weight.fill_(3)
    assert call() == 3
    assert len(captures) == 1
    weight = torch.full((1,), 5.0)
    assert [call(), call(), call()] == [5, 5, 5]
    assert len(captures) == 2


def test_what_cannot_be_captured_runs_all_the_same_and_says_why_once(monkeypatch, recwarn):
    def refuse(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr("fastpunet.graphs.capture", refuse)
    cache = GraphCache()
    assert [float(cache.call("a", negative, [torch.ones(1)], [])[0]) for _ in range(4)] == [-1] * 4
    assert [str(warning.message) for warning in recwarn] == [
        "no CUDA graph, kernels are launched one by one: operation not permitted when stream is capturing"
    ]


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
            flat = sampler._replays.draw(sampler.method, sampler._passes, images, noise, output, sampler.precision)
            ours = shaped(flat, output, (9, 13))
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
        )
        plain = sampler.sample(images, 3, seed=seed, ids=ids, output="logits")
        torch.testing.assert_close(flat.unflatten(-1, (8, 8)), plain)
    # an order of members or heads takes the seed itself, which no graph can be given anew
    assert len(captures) == (name not in ("UNetEnsemble", "MHeads"))


def test_nan_in_the_encoding_is_named_whether_or_not_it_is_replayed(captures):
    sampler, images, ids = Sampler(small(), precision="ieee"), torch.rand(1, 1, 8, 8), torch.tensor([0])
    for broken in (False, False, False, True):
        with torch.no_grad():
            sampler.method.prior.conv_layer.bias.fill_(torch.nan if broken else 0.0)
        arguments = (sampler.method, sampler._passes, images, Noise(0, ids, 0, 2), "labels", "ieee")
        if broken:
            with pytest.raises(ValueError, match="NaN"):  # by the kernels on a CPU, by name on a GPU
                sampler._replays.draw(*arguments)
        else:
            sampler._replays.draw(*arguments)
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


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16"])
def test_real_graphs(precision, device, recwarn):
    check_sampler(Sampler(small(device), precision=precision), device)
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

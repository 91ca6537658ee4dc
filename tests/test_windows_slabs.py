"""Large images slab by slab: features are not kept, and hypotheses are the same."""

import weakref

import pytest
import torch

from fastpunet import ProbabilisticUNet, Sampler, memory, sample, summarize, windowed
from fastpunet.masks import PackedMasks
from fastpunet.windows.features import Slabs
from fastpunet.windows.joining import added, put
from fastpunet_kernels import Sums, pack_bits

VOLUME = torch.ones(1, 2, 1, dtype=torch.int64)
CASES = pytest.mark.parametrize(
    ("size", "window", "overlap", "num_classes"),
    [((21, 9, 14), 8, 0.5, 1), ((9, 20, 11), (4, 8, 8), 0.25, 3), ((40, 31), (16, 16), 0.5, 1), ((33, 17), 8, 0.0, 3)],
)


def model_and_image(size, num_classes, images=1):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, num_classes, (4, 6), 3, convs_per_block=1, dims=len(size)).eval()
    image = torch.rand(images, 1, *size, generator=torch.Generator().manual_seed(1))
    logits = sample(model, image, 9, seed=0, output="logits")
    with torch.no_grad():  # so that every class is somewhere
        model.fcomb.last_layer.bias.sub_(logits.transpose(0, 2).flatten(1).median(1).values)
    return model, image


def both(model, window, overlap):
    return (windowed(model, window, overlap, by_slab=slabs) for slabs in (True, False))


@CASES
@pytest.mark.parametrize("output", ["labels", "logits", "probs", "bits"])
def test_hypotheses_are_those_of_kept_features(size, window, overlap, num_classes, output):
    model, image = model_and_image(size, num_classes, images=2)
    ours, kept = (
        sample(some, image, 7, seed=3, output=output, precision="ieee") for some in both(model, window, overlap)
    )
    if output == "bits":
        ours, kept = ours.words, kept.words
    if output in ("labels", "bits"):
        assert torch.equal(ours, kept)
    else:  # the matrix product of the combiner's first layer may round otherwise for another number of pixels
        torch.testing.assert_close(ours, kept, rtol=1e-5, atol=1e-6)
    assert ours.float().std() > 0


@CASES
def test_summaries_are_those_of_kept_features(size, window, overlap, num_classes, monkeypatch):
    model, image = model_and_image(size, num_classes)
    monkeypatch.setitem(memory._BUDGET_BYTES, "cpu", 1 << 16)  # many chunks
    ours, kept = (summarize(some, image, 40, seed=3, precision="ieee") for some in both(model, window, overlap))
    assert torch.equal(ours.volume, kept.volume)
    for name in ("mean", "entropy", "mutual_information"):
        torch.testing.assert_close(getattr(ours, name), getattr(kept, name), rtol=0, atol=1e-6)


def test_given_latents_and_parts_of_a_stream_are_decoded_alike():
    model, image = model_and_image((21, 9, 14), 1)
    samplers = [Sampler(some, precision="ieee") for some in both(model, 8, 0.5)]
    encodings = [sampler.encode(image) for sampler in samplers]
    assert isinstance(encodings[0], Slabs)
    assert torch.equal(encodings[0].prior.mu, encodings[1].prior.mu)
    assert torch.equal(encodings[0].prior.sigma, encodings[1].prior.sigma)
    z = torch.randn(1, 5, 3)
    ours, kept = (s.decode(e, z, output="logits") for s, e in zip(samplers, encodings, strict=True))
    assert torch.equal(ours, kept)
    parts = list(samplers[0].stream(encodings[0], 5, seed=1, chunk=2))
    assert [len(part[0]) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat(parts, 1), samplers[1].draw(encodings[1], 5, seed=1))


def test_a_summary_passes_each_window_once_through_the_u_net(monkeypatch):
    model, image = model_and_image((21, 9, 14), 1)
    seen = []
    monkeypatch.setattr(
        ProbabilisticUNet, "features", lambda self, images: seen.append(len(images)) or self.unet(images)
    )
    sampler = Sampler(windowed(model, 8, by_slab=True))
    encoding = sampler.encode(image)
    in_first_row = sum(seen)
    seen.clear()
    list(sampler.stream_sums(encoding, 500, seed=0))
    rows = len(range(0, 21 - 8, 4)) + 1
    assert sum(seen) == rows * in_first_row  # whatever n is


def test_features_that_do_not_fit_are_not_kept(monkeypatch):
    model, image = model_and_image((21, 9, 14), 1)
    expected = sample(windowed(model, 8), image, 3, seed=0)
    assert not isinstance(Sampler(windowed(model, 8)).encode(image), Slabs)
    needed = 2 * 4 * 4 * 21 * 9 * 14
    for free, kept in ((2 * needed, True), (2 * needed - 1, False)):
        monkeypatch.setattr("fastpunet.memory.free_memory", lambda _, free=free: free)
        assert isinstance(Sampler(windowed(model, 8)).encode(image), Slabs) is not kept
        assert torch.equal(sample(windowed(model, 8), image, 3, seed=0), expected)
    method = windowed(model, 8)
    with pytest.raises(ValueError, match="images: got 21 x 9 x 14 pixels, whose features do not fit in memory"):
        method.differentiable_logits(Sampler(method).encode(image), torch.zeros(1, 1, 3))
    maps = ProbabilisticUNet(1, 1, (4, 6), 3, convs_per_block=1, dims=3, latent_maps=1)
    monkeypatch.setattr("fastpunet.memory.free_memory", lambda _: needed)
    with pytest.raises(ValueError, match="images: got 1 of 21 x 9 x 14 pixels; their features"):
        Sampler(windowed(maps, 8)).encode(image)


def test_nan_in_a_slab_is_found():
    model, image = model_and_image((21, 9, 14), 1)
    sampler = Sampler(windowed(model, 8, by_slab=True))
    with torch.no_grad():
        model.unet.contracting_path[0].layers[0].weight.fill_(float("nan"))
    encoding = sampler.encode(image)
    with pytest.raises(ValueError, match="NaN or infinity in the U-Net's features"):
        sampler.draw(encoding, 2)


def test_bits_are_put_at_any_pixel():
    generator = torch.Generator().manual_seed(0)
    for lengths in ((5, 70, 1, 32, 31, 64), (32, 32), (33, 95), (3,)):
        parts = [torch.rand(2, 3, 1, length, generator=generator) > 0.5 for length in lengths]
        expected = pack_bits(torch.cat(parts, -1))
        whole = torch.full_like(expected, -1)
        first = 0
        for part in parts:
            put(whole, pack_bits(part), first, "bits")
            first += part.shape[-1]
        assert torch.equal(whole, expected)
        PackedMasks(whole, (1, sum(lengths)))  # raises for bits behind the last


def test_by_slab_is_a_switch():
    model, _ = model_and_image((8, 8), 1)
    with pytest.raises(ValueError, match="by_slab: got 'yes', expected true or false"):
        windowed(model, 8, by_slab="yes")


def test_sums_of_chunks_are_not_kept():
    alive = weakref.WeakSet()

    def parts():
        for _ in range(20):
            sums = Sums(torch.ones(1, 1, 9, dtype=torch.float64), torch.ones(1, 9, dtype=torch.float64), VOLUME)
            alive.add(sums.probability)
            yield sums
            del sums
            assert len(alive) <= 2  # the total, and the last

    total = added(parts())
    assert total.probability.sum() == 20 * 9
    assert total.volume.shape == (1, 40, 1)

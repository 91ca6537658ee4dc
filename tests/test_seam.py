"""One Sampler for every method: what holds for all of them alike, whoever wrote the model."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from benchmarks.port import PortModel
from fastpunet import PackedMasks, ProbabilisticUNet, Sampler, sample, summarize, windowed
from fastpunet.latents import Noise
from fastpunet.models import SSN, DropoutUNet, Image2ImageVAE, MHeads, UNetEnsemble

N = 12
IDS = torch.tensor([5, 2**40, 3])
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}  # the rounding of float32 convolutions of another batch
SMALL = {"channels": (4, 6, 8), "convs_per_block": 1}


class MixturePrior(nn.Module):
    """Two Gaussians whose weights and means follow the image."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2 + 2 * 2 * 3, 3, padding=1)

    def forward(self, x):
        logits, rest = self.conv(x).mean((2, 3)).split((2, 12), 1)
        mu, log_sigma = rest.unflatten(1, (2, 6)).chunk(2, 2)
        return MixtureSameFamily(Categorical(logits=logits), Independent(Normal(3 * mu, log_sigma.exp()), 1))


def port_with_a_mixture_prior():
    model = PortModel(2, 1, (4, 6, 8), 3)
    model.prior = MixturePrior()
    return model


MODELS = {
    "Probabilistic U-Net": lambda: ProbabilisticUNet(2, 3, latent_dim=3, **SMALL),
    "Probabilistic U-Net with a mixture": lambda: ProbabilisticUNet(2, 1, latent_dim=3, prior="mixture:2", **SMALL),
    "Probabilistic U-Net with a flow": lambda: ProbabilisticUNet(2, 3, latent_dim=3, prior="flow:2", **SMALL),
    "Probabilistic U-Net of volumes": lambda: ProbabilisticUNet(2, 1, latent_dim=3, dims=3, **SMALL),
    "Dropout U-Net": lambda: DropoutUNet(2, 3, **SMALL),
    "Dropout U-Net of volumes": lambda: DropoutUNet(2, 1, dims=3, **SMALL),
    "U-Net Ensemble": lambda: UNetEnsemble(2, 1, members=20, **SMALL),
    "M-Heads": lambda: MHeads(2, 3, heads=20, **SMALL),
    "Image2Image VAE": lambda: Image2ImageVAE(2, 1, latent_dim=3, **SMALL),
    "SSN": lambda: SSN(2, 3, **SMALL),
    "SSN of volumes": lambda: SSN(2, 1, dims=3, **SMALL),
    "live model of the PyTorch port's shape": lambda: PortModel(2, 1, (4, 6, 8), 3),
    "live model with a mixture prior": port_with_a_mixture_prior,
}
IN_WINDOWS = {
    "Probabilistic U-Net in windows": lambda: windowed(ProbabilisticUNet(2, 3, latent_dim=3, **SMALL), 12),
    "Dropout U-Net in windows": lambda: windowed(DropoutUNet(2, 3, **SMALL), 12),
    "live model in windows": lambda: windowed(PortModel(2, 1, (4, 6, 8), 3), (12, 16)),
    "SSN in windows": lambda: windowed(SSN(2, 3, **SMALL), 12),
    "SSN of volumes in windows": lambda: windowed(SSN(2, 1, dims=3, **SMALL), (4, 6, 6)),
    "M-Heads of volumes in windows": lambda: windowed(MHeads(2, 1, heads=20, dims=3, **SMALL), (4, 6, 6)),
}


@pytest.fixture(params=[*MODELS, *IN_WINDOWS])
def model(request):
    torch.manual_seed(0)
    return (MODELS | IN_WINDOWS)[request.param]()


@pytest.fixture
def images(model):
    size = (6, 9, 7) if getattr(model, "dims", 2) == 3 else (16, 20)
    return torch.rand(3, 2, *size, generator=torch.Generator().manual_seed(1))


def logits_of(sampler, images, n, **options):
    return sampler.sample(images, n, seed=7, output="logits", **options)


def test_a_hypothesis_depends_on_seed_id_and_number_alone(model, images):
    sampler = Sampler(model)
    whole = logits_of(sampler, images, N, ids=IDS)
    assert all(not torch.allclose(whole[:, 0], whole[:, k]) for k in range(1, N))
    torch.testing.assert_close(logits_of(sampler, images, 5, ids=IDS), whole[:, :5], **TOLERANCE)
    for chunk in (1, 5):
        torch.testing.assert_close(logits_of(sampler, images, N, ids=IDS, chunk=chunk), whole, **TOLERANCE)
    for i in range(3):
        alone = logits_of(sampler, images[i : i + 1], N, ids=IDS[i : i + 1])
        torch.testing.assert_close(alone[0], whole[i], **TOLERANCE)
    batches = list(sampler.sample_batches([(images[1:], IDS[1:]), [images[:1], IDS[:1]]], N, seed=7, output="logits"))
    torch.testing.assert_close(torch.cat((batches[1], batches[0])), whole, **TOLERANCE)
    torch.testing.assert_close(sample(model, images, N, seed=7, ids=IDS, output="logits"), whole, **TOLERANCE)
    assert not torch.allclose(sampler.sample(images, N, seed=8, ids=IDS, output="logits"), whole)


def test_a_prefix_of_a_thousand_is_sixteen(model, images):
    sampler = Sampler(model)
    most = 1000 if sampler.max_hypotheses is None else sampler.max_hypotheses
    many, few = (sampler.sample(images[:1], n, seed=3, ids=IDS[:1], output="logits") for n in (most, 16))
    torch.testing.assert_close(many[:, :16], few, **TOLERANCE)


def test_every_output_is_the_same_hypotheses(model, images):
    sampler = Sampler(model)
    logits, probs, labels, bits = (
        sampler.sample(images, N, seed=7, ids=IDS, output=output) for output in ("logits", "probs", "labels", "bits")
    )
    binary = sampler.num_classes == 1
    expected = logits.sigmoid() if binary else logits.softmax(2)
    torch.testing.assert_close(probs, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(labels, (logits[:, :, 0] > 0).byte() if binary else logits.argmax(2).byte())
    assert isinstance(bits, PackedMasks)
    assert bits.size == tuple(images.shape[2:])
    assert torch.equal(bits.unpack(), labels)


def test_a_stream_holds_the_same_hypotheses_a_few_at_a_time(model, images, monkeypatch):
    sampler = Sampler(model)
    whole = logits_of(sampler, images, N, ids=IDS)
    encoding = sampler.encode(images)
    each = sampler.method.scratch_bytes(encoding) + whole[:, 0].numel() * 4
    monkeypatch.setattr("fastpunet.memory._BUDGET_BYTES", {"cpu": 5 * each})
    parts = list(sampler.stream(encoding, N, seed=7, ids=IDS, output="logits"))
    assert [part.shape[1] for part in parts] == [5, 5, 2]
    torch.testing.assert_close(torch.cat(parts, 1), whole, **TOLERANCE)


def test_a_summary_is_that_of_the_hypotheses(model, images):
    maps = summarize(model, images, N, seed=7, ids=IDS)
    probs, labels = (sample(model, images, N, seed=7, ids=IDS, output=output) for output in ("probs", "labels"))
    torch.testing.assert_close(maps.mean, probs.mean(1), **TOLERANCE)
    classes = [1] if probs.shape[2] == 1 else range(probs.shape[2])
    volume = torch.stack([(labels == label).flatten(2).sum(2) for label in classes], dim=-1)
    assert (maps.volume - volume).abs().max() <= 1
    assert maps.mutual_information.max() > 1e-6


def test_threads_draw_the_same_and_leave_the_model_as_it_was(model, images):
    model.train()
    before = {name: (dict(vars(module)), module.training) for name, module in model.named_modules()}
    expected = sample(model, images, N, seed=7, ids=IDS)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: sample(model, images, N, seed=7, ids=IDS), range(12)))
    assert all((result != expected).float().mean() <= 1e-4 for result in results)
    for name, module in model.named_modules():
        attributes, training = before[name]
        assert module.training == training
        assert vars(module).keys() == attributes.keys()
        assert all(vars(module)[key] is value for key, value in attributes.items())


def test_nan_in_the_weights_is_an_error_that_names_the_part(model, images):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(ValueError, match="^model: got NaN or (infinity|impossible values)"):
        sample(model, images, 2, seed=0)


def test_numpy_integers_and_lists_of_batches_are_taken(model, images):
    np = pytest.importorskip("numpy")
    sampler = Sampler(model)
    expected = sampler.sample(images, 2, seed=1)
    assert torch.equal(sampler.sample(images, np.int64(2), seed=np.int32(1)), expected)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images), batch_size=2)
    batches = list(sampler.sample_batches(loader, 2, seed=1))
    assert (torch.cat(batches) != expected).float().mean() <= 1e-4
    with pytest.raises(TypeError, match="^batches: got a dict"):
        list(sampler.sample_batches([{"image": images}], 2, seed=1))


def test_noise_is_counted():
    noise = Noise(3, IDS, 4, 6)
    parts = [part.normals(5, layer=2) for part in noise.parts(4)]
    assert [part.shape[1] for part in parts] == [4, 2]
    assert torch.equal(torch.cat(parts, 1), noise.normals(5, layer=2))
    assert not torch.equal(noise.normals(5), noise.normals(5, layer=2))
    assert sorted(Noise(3, IDS, 0, 9).choose(9)) == list(range(9))

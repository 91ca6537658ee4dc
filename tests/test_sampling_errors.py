"""sample and Sampler: bad input is an error that names the argument and says what to do."""

import pytest
import torch

from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, Sampler, memory, sample
from fastpunet.models import MHeads


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return ProbabilisticUNet(1, 1, channels=(8, 12, 16), latent_dim=3).eval()


@pytest.fixture
def images():
    return torch.rand(3, 1, 21, 18, generator=torch.Generator().manual_seed(2))


def test_more_hypotheses_than_the_memory_holds_are_refused_before_any_work(model, monkeypatch):
    monkeypatch.setattr("fastpunet.memory.free_memory", lambda _: 1_000_000)
    monkeypatch.setattr(model.unet, "forward", None)
    message = (
        r"^n: got 100000; 100000 hypotheses of 2 images as labels take 0.2 GB, and 0.0 GB are free; use "
        r"output=\"bits\" \(0.0 GB\), draw them part by part with Sampler.stream, or call "
        r"fastpunet.summarize, which keeps no hypotheses$"
    )
    with pytest.raises(ValueError, match=message):
        sample(model, torch.rand(2, 1, 32, 32), 100_000)


def test_the_memory_that_is_free_is_asked_of_the_system():
    free = memory.free_memory(torch.device("cpu"))
    with open("/proc/meminfo", encoding="ascii") as lines:
        total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal"))
    assert total / 1000 < free <= total


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(images=[[0.0]]), TypeError, "images: got list"),
        (
            dict(images=torch.rand(8, 8)),
            ValueError,
            r"images: got shape \(8, 8\), expected \(B, C, H, W\);.* images\[None, None\]",
        ),
        (dict(images=torch.rand(1, 8, 8)), ValueError, r"images: .* images\[None\]$"),
        (dict(images=torch.rand(1, 1, 1, 8, 8)), ValueError, "images: got shape .*; drop or join axes$"),
        (dict(images=torch.zeros(1, 1, 8, 8, dtype=torch.uint8)), TypeError, "images: got torch.uint8"),
        (dict(images=torch.rand(1, 3, 8, 8)), ValueError, "images: got 3 channels, expected 1 as the model takes"),
        (dict(images=torch.rand(0, 1, 8, 8)), ValueError, "images: got the empty shape"),
        (dict(images=torch.rand(1, 1, 0, 8)), ValueError, "images: got the empty shape"),
        (dict(images=torch.full((1, 1, 8, 8), torch.nan)), ValueError, "images: got NaN or infinity"),
        (dict(images=torch.full((1, 1, 8, 8), -torch.inf)), ValueError, "images: got NaN or infinity"),
        (
            dict(images=torch.empty(1, 1, 8, 8, device="meta")),
            ValueError,
            "images: got device meta, expected cpu as the model",
        ),
        (dict(n=0), ValueError, "n: got 0, expected a whole number of at least 1"),
        (dict(n=-5), ValueError, "n: got -5"),
        (dict(n=2.5), TypeError, "n: got 2.5, expected a whole number"),
        (dict(n=2**32 + 1), ValueError, "n: got 4294967297"),
        (dict(seed=-1), ValueError, "seed: got -1"),
        (dict(seed=2**63), ValueError, "seed: got 9223372036854775808"),
        (dict(seed="1"), TypeError, "seed: got '1', expected a whole number"),
        (dict(ids=torch.tensor([0.0])), TypeError, "ids: got torch.float32"),
        (dict(ids=torch.tensor([0, 1])), ValueError, r"ids: got shape \(2,\), expected \(1,\)"),
        (dict(output="masks"), ValueError, "output: got 'masks', expected one of labels, logits, probs, bits"),
        (dict(precision="fp16"), ValueError, "precision: got 'fp16', expected one of auto"),
        (dict(precision="tf32"), ValueError, 'precision: got "tf32" for a model on cpu, expected one on an NVIDIA GPU'),
        (dict(backend="cuda"), ValueError, "backend: got 'cuda', expected one of auto"),
        (dict(chunk=0), ValueError, "chunk: got 0"),
        (dict(chunk="all"), TypeError, "chunk: got 'all', expected a whole number"),
        (dict(model=torch.nn.Linear(1, 1)), TypeError, "model: got Linear without unet, prior, fcomb"),
        (dict(model=None), TypeError, "model: got NoneType"),
    ],
)
def test_bad_input_is_named(model, change, error, message):
    arguments = dict(model=model, images=torch.rand(1, 1, 8, 8), n=2, seed=0) | change
    with pytest.raises(error, match=f"^{message}"):
        sample(arguments.pop("model"), arguments.pop("images"), arguments.pop("n"), **arguments)


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (torch.randn(1, 4, 2), r"z: got \(1, 4, 2\), expected \(B, n, latent_dim\) = \(1, n, 3\)"),
        (torch.randn(2, 4, 3), r"z: got \(2, 4, 3\)"),
        (torch.randn(1, 3), r"z: got \(1, 3\)"),
        (torch.zeros(1, 4, 3, dtype=torch.int64), "z: got torch.int64, expected finite floats"),
        (torch.full((1, 4, 3), torch.nan), "z: got torch.float32 with NaN or infinity, expected finite"),
        (torch.randn(1, 0, 3), "n: got 0, expected a whole number of at least 1"),
    ],
)
def test_bad_latents_are_named(model, z, message):
    sampler = Sampler(model)
    with pytest.raises(ValueError, match=f"^{message}"):
        sampler.decode(sampler.encode(torch.rand(1, 1, 8, 8)), z)


def test_an_encoding_of_another_method_is_refused(model, images):
    encoding = Sampler(MHeads(channels=(8, 12))).encode(images)
    with pytest.raises(TypeError, match="^encoding: got Heads, expected the LatentEncoding that encode"):
        Sampler(model).draw(encoding, 2)
    with pytest.raises(TypeError, match="^encoding: got Tensor"):
        Sampler(model).draw(images, 2)


def test_more_classes_than_a_byte_holds_are_refused():
    with pytest.raises(ValueError, match="model: got 300 classes, expected at most 256"):
        sample(PortModel(1, 300, (8, 12), 3), torch.rand(1, 1, 8, 8), 2)

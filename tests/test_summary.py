"""summarize: the streamed maps equal those of the hypotheses held at once."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fastpunet import ProbabilisticUNet, memory, sample, summarize
from fastpunet.models import latent_method

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("chunk", [None, 1, 7])
def test_equals_the_hypotheses_held_at_once(classes, chunk):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, classes, channels=(6, 8), latent_dim=2)
    with torch.no_grad():
        model.fcomb.last_layer.weight.mul_(5)
    images, ids = torch.rand(2, 1, 7, 9), torch.tensor([5, 2])
    maps = summarize(model, images, 50, seed=3, ids=ids, chunk=chunk)
    probs = sample(model, images, 50, seed=3, ids=ids, output="probs").double()
    labels = sample(model, images, 50, seed=3, ids=ids)
    torch.testing.assert_close(maps.mean.double(), probs.mean(1), rtol=1e-5, atol=1e-6)
    complete = torch.cat((1 - probs, probs), 2) if classes == 1 else probs
    total = torch.special.entr(complete.mean(1)).sum(1)
    expected = torch.special.entr(complete).sum(2).mean(1)
    torch.testing.assert_close(maps.entropy.double(), total, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps.mutual_information.double(), total - expected, rtol=1e-3, atol=1e-5)
    assert (maps.mutual_information > 1e-4).any()
    counted = [labels == c for c in ([1] if classes == 1 else range(classes))]
    volume = torch.stack([c.sum((2, 3)) for c in counted], dim=-1)
    assert torch.equal(maps.volume, volume)
    torch.testing.assert_close(maps.presence, (volume > 0).float().mean(1))


def test_hypotheses_are_taken_a_few_at_a_time(monkeypatch):
    model = ProbabilisticUNet(1, 1, channels=(4,), latent_dim=2)
    each = 4 * (3 * 2 + 4) + 4 * 8 * 8  # latents, the first layer's share, logits
    monkeypatch.setattr(memory, "_BUDGET_BYTES", {"cpu": 10 * each})
    drawn, decode_sums = [], latent_method.decode_sums
    monkeypatch.setattr(
        latent_method, "decode_sums", lambda *args, **options: drawn.append(args[2].n) or decode_sums(*args, **options)
    )
    summarize(model, torch.rand(1, 1, 8, 8), 95, seed=0)
    assert drawn == [10] * 9 + [5]


def test_bad_input_is_named():
    model = ProbabilisticUNet(1, 1, channels=(4,), latent_dim=2)
    with pytest.raises(ValueError, match="^n: got 0"):
        summarize(model, torch.rand(1, 1, 8, 8), 0)
    with pytest.raises(ValueError, match="^images: got 2 channels"):
        summarize(model, torch.rand(1, 2, 8, 8), 5)


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_hundred_times_the_hypotheses_need_hardly_more_memory():
    program = """
import sys, torch, fastpunet
from benchmarks.peak_memory import peak_mib
model = fastpunet.ProbabilisticUNet(1, 1, channels=(32,), latent_dim=6)
fastpunet.summarize(model, torch.rand(1, 1, 16, 16), int(sys.argv[1]), seed=0)
print(peak_mib())
"""
    few, many = (
        float(subprocess.run([sys.executable, "-c", program, n], cwd=ROOT, check=True, capture_output=True).stdout)
        for n in ("1000", "100000")
    )
    assert many - few < 50  # MiB; 100 000 masks of float32 logits alone would be 98


@pytest.mark.parametrize(("classes", "size"), [(1, (8, 9)), (3, (8, 9)), (1, (4, 8, 9))])
def test_it_shows_itself(classes, size):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, classes, channels=(4,), latent_dim=2, dims=len(size))
    images = torch.rand(2, 1, *size)
    summary = summarize(model, images, 20, seed=0)
    masks = sample(model, images, 20, seed=0)
    assert torch.equal(summary.foreground_volume, (masks > 0).flatten(2).sum(2))
    probs = sample(model, images, 20, seed=0, output="probs")
    foreground = probs[:, :, 0] if classes == 1 else probs[:, :, 1:].sum(2)
    torch.testing.assert_close(summary.foreground, foreground.mean(1))
    html = summary._repr_html_()
    assert html.count("data:image/png;base64,") == 1
    assert html.count("<tr>") == 3
    assert len(summary.plot(images).axes) == 8
    with pytest.raises(ValueError, match="^images: got 1 images, expected 2"):
        summary.plot(images[:1])
    with pytest.raises(ValueError, match="^image: got shape"):
        summary.plot(torch.rand(2, 1, 5, 5))

"""summarize: the streamed maps equal those of the hypotheses held at once."""

import pytest
import torch

from fastpunet import ProbabilisticUNet, sample, summarize


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("chunk", [None, 1, 7])
def test_equals_the_hypotheses_held_at_once(classes, chunk):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, classes, channels=(6, 8), latent_dim=2)
    with torch.no_grad():
        model.fcomb.last_layer.weight.mul_(5)
    images, ids = torch.rand(2, 1, 7, 9), torch.tensor([5, 2])
    summary = summarize(model, images, 50, seed=3, ids=ids, chunk=chunk)
    probs = sample(model, images, 50, seed=3, ids=ids, output="probs").double()
    labels = sample(model, images, 50, seed=3, ids=ids)
    torch.testing.assert_close(summary.mean.double(), probs.mean(1), rtol=1e-5, atol=1e-6)
    complete = torch.cat((1 - probs, probs), 2) if classes == 1 else probs
    total = torch.special.entr(complete.mean(1)).sum(1)
    expected = torch.special.entr(complete).sum(2).mean(1)
    torch.testing.assert_close(summary.entropy.double(), total, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(summary.mutual_information.double(), total - expected, rtol=1e-3, atol=1e-5)
    assert (summary.mutual_information > 1e-4).any()
    counted = [labels == c for c in ([1] if classes == 1 else range(classes))]
    volume = torch.stack([c.sum((2, 3)) for c in counted], dim=-1)
    assert torch.equal(summary.volume, volume)
    torch.testing.assert_close(summary.presence, (volume > 0).float().mean(1))


def test_memory_does_not_grow_with_n(monkeypatch):
    model = ProbabilisticUNet(1, 1, channels=(4,), latent_dim=2)
    monkeypatch.setattr("fastpunet.hypotheses.summary._MOST_BYTES", 4 * 64 * 10)
    held = []
    from fastpunet.hypotheses import summary as module

    volumes = module._volumes
    monkeypatch.setattr(module, "_volumes", lambda logits: held.append(logits.shape[1]) or volumes(logits))
    summarize(model, torch.rand(1, 1, 8, 8), 95, seed=0)
    assert held == [10] * 9 + [5]


def test_bad_input_is_named():
    model = ProbabilisticUNet(1, 1, channels=(4,), latent_dim=2)
    with pytest.raises(ValueError, match="^n: got 0"):
        summarize(model, torch.rand(1, 1, 8, 8), 0)
    with pytest.raises(ValueError, match="^images: got 2 channels"):
        summarize(model, torch.rand(1, 2, 8, 8), 5)

"""The stochastic segmentation network: its distribution against the analytic one, its objective against loops."""

import math

import numpy as np
import pytest
import torch
from baseline_cases import IDS, LOSS_CASES, all_logits, annotations, build, entropy, loss, pictures

import fastpunet
from fastpunet.latents import Noise
from fastpunet.models import SSN
from fastpunet_kernels import philox_normal


@pytest.mark.parametrize("num_classes", [1, 3])
def test_moments_of_the_logits_are_the_analytic_ones(num_classes):
    model, images, n = build(SSN, num_classes, rank=2), pictures(1, (3, 4)), 40_000
    model.factor_layer.weight.mul_(30)
    mean, factor, sigma = model.distribution(images)
    drawn = all_logits(model, images, n)[0].flatten(1).double()
    factor = factor[0].flatten(1).double()
    covariance = factor.T @ factor + torch.diag(sigma[0].flatten().double() ** 2)
    variance = covariance.diagonal()
    off = (drawn.mean(0) - mean[0].flatten()) / (variance / n).sqrt()
    assert off.abs().max() < 4.5
    errors = (drawn.var(0) / variance - 1) / math.sqrt(2 / n)
    assert errors.abs().max() < 4.5
    correlation = covariance / (variance[:, None] * variance).sqrt()
    above = torch.ones_like(correlation).triu(1).bool()
    errors = ((drawn.T.corrcoef() - correlation) / (1 - correlation**2) * math.sqrt(n))[above]
    assert errors.abs().max() < 5
    assert correlation[above].std() > 0.1  # and there is something to be found


def naive_loss(model, images, labels, ignore_index, class_weights, b, g):
    """-log (1 / M) sum_m p(labels | logits_m) of one segmentation, draw by draw and factor by factor, in float64."""
    mean, factor, sigma = (part[b].double() for part in model.distribution(images))
    half, classes = model.draws // 2, model.num_classes
    e = philox_normal(7, IDS[b : b + 1], 0, half, model.rank)[0].double()
    log_likelihoods = []
    for m in range(half):
        seeds = [7 ^ (label + 1) << 48 for label in range(classes)]
        pixels = [philox_normal(seed, IDS[b : b + 1], m, 1, mean.shape[1])[0, 0].double() for seed in seeds]
        offset = sigma * torch.stack(pixels)
        for r in range(model.rank):
            offset = offset + factor[r] * e[m, r]
        for logits in (mean + offset, mean - offset):
            scores = torch.cat((torch.zeros_like(logits), logits)) if classes == 1 else logits
            target = labels[b, g].flatten()
            known = torch.ones_like(target).bool() if ignore_index is None else target != ignore_index
            target = target.masked_fill(~known, 0)
            log_p = scores.log_softmax(0).gather(0, target[None])[0]
            weight = known.double() if class_weights is None else known * torch.tensor(class_weights)[target].double()
            log_likelihoods.append((weight * log_p).sum())
    return math.log(model.draws) - torch.stack(log_likelihoods).logsumexp(0)


@LOSS_CASES
def test_the_loss_and_its_gradients_are_those_of_a_loop(num_classes, ignore_index, class_weights):
    model = build(SSN, num_classes, rank=2, draws=4).requires_grad_(True)
    images, labels = pictures(), annotations(num_classes, ignore_index)
    terms = loss(model, images, labels, ignore_index, class_weights)
    assert terms.kl.shape == (3, 3, 0)
    naive = torch.stack(
        [
            torch.stack([naive_loss(model, images, labels, ignore_index, class_weights, b, g) for g in range(3)])
            for b in range(3)
        ]
    )
    torch.testing.assert_close(terms.reconstruction.double(), naive, rtol=1e-5, atol=1e-4)
    parameters = list(model.parameters())
    found = torch.autograd.grad(terms.reconstruction.sum(), parameters)
    expected = torch.autograd.grad(naive.sum(), parameters)
    whole = torch.stack([theirs.norm() for theirs in expected]).norm()
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm() + 1e-6 * whole


def test_one_draw_without_noise_has_the_cross_entropy():
    model, images, labels = build(SSN, 3, draws=2), pictures(), annotations(3, None)
    for layer in (model.factor_layer, model.diagonal_layer):
        layer.weight.zero_()
        layer.bias.zero_()
    model.diagonal_layer.bias.fill_(-60.0)
    found = loss(model, images, labels, None, None).reconstruction
    mean = model.distribution(images).mean.unflatten(2, (13, 17))
    for b, g in np.ndindex(3, 3):
        assert float(found[b, g]) == pytest.approx(entropy(mean[b], labels[b, g], None, None), rel=1e-5)


def test_training_finds_what_pixels_have_in_common_even_from_no_factors():
    """Graders outline all or nothing. Factors that start at 0.001 of their size have to grow, and pixels to agree."""
    model = build(SSN, rank=2).requires_grad_(True)
    with torch.no_grad():
        model.factor_layer.weight.mul_(1e-3)
        model.factor_layer.bias.mul_(1e-3)
    images = pictures(2, (8, 8))
    labels = torch.tensor([0, 1])[None, :, None, None].expand(2, 2, 8, 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(200):
        optimizer.zero_grad()
        ids = torch.arange(2) + 2 * step
        model.loss_terms(images, labels, seed=0, ids=ids).reconstruction.mean().backward()
        optimizer.step()
    final = model.loss_terms(images, labels, seed=1, ids=torch.arange(2)).reconstruction.mean()
    assert final < 6  # independent pixels would have 64 log 2 = 44, a perfect model log 2 = 0.7
    share = fastpunet.sample(model, images, 400, seed=0).float().mean((2, 3))
    assert ((share < 0.1) | (share > 0.9)).float().mean() > 0.9
    assert ((share > 0.5).float().mean(1) - 0.5).abs().max() < 0.2


def test_noise_of_classes_and_factors_is_independent():
    model, images = build(SSN, 2, rank=3), pictures(1)
    mean, factor, sigma = model.distribution(images)
    logits = all_logits(model, images, 5, ids=IDS[:1])[0].flatten(2)
    e = Noise(7, IDS[:1], 0, 5).normals(3)[0]
    pixels = (logits - mean[0] - torch.einsum("rkp,nr->nkp", factor[0], e)) / sigma[0]
    for label in range(2):
        expected = Noise(7, IDS[:1], 0, 5).normals(13 * 17, layer=1 + label)[0]
        torch.testing.assert_close(pixels[:, label], expected, rtol=1e-3, atol=1e-4)
    correlation = torch.cat((pixels.flatten(1), e), 1).flatten()
    assert len(correlation.unique()) > 0.99 * len(correlation)


@pytest.mark.parametrize("sampler", ["sobol", "antithetic"])
def test_other_samplers_take_the_place_of_the_factors_noise_alone(sampler):
    model, images = build(SSN, rank=3), pictures(1)
    mean, factor, sigma = model.distribution(images)
    drawn = fastpunet.sample(model, images, 6, seed=7, ids=IDS[:1], output="logits", sampler=sampler)[0].flatten(2)
    e = Noise(7, IDS[:1], 0, 6, sampler=sampler).normals(3)[0]
    pixels = Noise(7, IDS[:1], 0, 6).normals(13 * 17, layer=1)[0]
    expected = mean[0] + torch.einsum("rkp,nr->nkp", factor[0], e) + sigma[0] * pixels[:, None]
    torch.testing.assert_close(drawn, expected, rtol=1e-5, atol=1e-5)


def test_there_is_no_latent():
    model, images = build(SSN), pictures()
    sampler = fastpunet.Sampler(model)
    with pytest.raises(TypeError, match="^model: SSN has no latent that could be decoded; use draw"):
        sampler.decode(sampler.encode(images), torch.zeros(3, 2, 10))


@pytest.mark.parametrize("size", [(5, 6, 7), (1, 1, 3)])
def test_volumes(size):
    model = build(SSN, 2, dims=3)
    logits = all_logits(model, pictures(2, size), 3)
    assert logits.shape == (2, 3, 2, *size)
    assert torch.isfinite(logits).all()
    labels = torch.ones(2, 1, *size, dtype=torch.int64)
    assert torch.isfinite(model.loss_terms(pictures(2, size), labels, seed=0, ids=IDS[:2]).reconstruction).all()


def test_an_odd_number_of_draws_is_refused():
    with pytest.raises(ValueError, match="^draws: got 3, expected an even number"):
        SSN(draws=3)

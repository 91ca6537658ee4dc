"""Each baseline by itself: its loss by hand, and its source of randomness."""

import math

import numpy as np
import pytest
import torch
from baseline_cases import IDS, LOSS_CASES, all_logits, annotations, build, entropy, loss, pictures
from torch.distributions import MultivariateNormal, kl_divergence

from fastpunet.latents import Noise
from fastpunet.models import DropoutUNet, Image2ImageVAE, MHeads, UNetEnsemble
from fastpunet_kernels import philox_normal


@LOSS_CASES
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_m_heads_loss_equals_a_loop(num_classes, ignore_index, class_weights, epsilon):
    model, images = build(MHeads, num_classes, heads=3, epsilon=epsilon), pictures()
    labels = annotations(num_classes, ignore_index)
    found = loss(model, images, labels, ignore_index, class_weights)
    heads = all_logits(model, images, 3)
    for b, g in np.ndindex(3, 3):
        each = sorted(entropy(heads[b, m], labels[b, g], ignore_index, class_weights) for m in range(3))
        expected = (1 - epsilon) * each[0] + epsilon * (each[1] + each[2]) / 2
        assert float(found.reconstruction[b, g]) == pytest.approx(expected, rel=1e-5)
    assert found.kl.shape == (3, 3, 0)


def test_m_heads_shares_the_gradient_as_the_loss():
    model, images = build(MHeads, heads=4, epsilon=0.3), pictures(1)
    model.last_layer.requires_grad_(True)
    model.last_layer.weight.data.zero_()
    model.last_layer.bias.data.copy_(torch.tensor([2.0, -1.0, 0.5, -3.0]))  # the logits of every pixel
    labels = torch.ones(1, 1, 13, 17, dtype=torch.int64)
    loss(model, images, labels, None, None, ids=IDS[:1]).reconstruction.sum().backward()
    slope = -13 * 17 * (1 - torch.sigmoid(model.last_layer.bias.detach()))  # of -log sigmoid, over the pixels
    torch.testing.assert_close(model.last_layer.bias.grad, slope * torch.tensor([0.7, 0.1, 0.1, 0.1]))


# Image2Image VAE


@LOSS_CASES
def test_vae_loss_is_reconstruction_and_kl_by_hand(num_classes, ignore_index, class_weights):
    model, images = build(Image2ImageVAE, num_classes, latent_dim=3), pictures()
    labels = annotations(num_classes, ignore_index)
    seen = []
    model.unet.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    found = loss(model, images, labels, ignore_index, class_weights)
    (entered,) = seen
    noise = philox_normal(7, IDS, 0, 3, 3)
    for b, g in np.ndindex(3, 3):
        counted = labels[b, g] != ignore_index if ignore_index is not None else torch.ones(13, 17, dtype=torch.bool)
        classes = (1,) if num_classes == 1 else range(num_classes)
        planes = torch.stack([(labels[b, g] == label) & counted for label in classes]).float() - 0.5
        posterior = model.posterior(torch.cat((images[b], planes))[None]).base_dist
        mean, sd = posterior.loc[0], posterior.scale[0]
        standard = MultivariateNormal(torch.zeros(3), torch.eye(3))
        kl = kl_divergence(MultivariateNormal(mean, torch.diag(sd**2)), standard)
        assert float(found.kl[b, g].sum()) == pytest.approx(float(kl), rel=1e-4, abs=1e-6)
        torch.testing.assert_close(found.kl[b, g], (mean**2 + sd**2 - 1) / 2 - sd.log(), rtol=1e-4, atol=1e-6)
        z = mean + sd * noise[b, g]
        own = torch.cat((images[b], z[:, None, None].expand(3, 13, 17)))[None]
        torch.testing.assert_close(entered[3 * b + g], own[0])
        expected = entropy(model.last_layer(model.unet(own))[0], labels[b, g], ignore_index, class_weights)
        assert float(found.reconstruction[b, g]) == pytest.approx(expected, rel=1e-5)


def test_vae_draws_from_a_standard_normal_whatever_the_image():
    model = build(Image2ImageVAE, latent_dim=4)
    entered = []
    model.unet.register_forward_pre_hook(lambda _, arguments: entered.append(arguments[0].unflatten(0, (3, 5))))
    images = pictures()
    for given in (images, 100 * images):
        model.logits(model.encode(given), Noise(7, IDS, 0, 5))
    for seen, given in zip(entered, (images, 100 * images), strict=True):
        assert torch.equal(seen[:, :, :2], given[:, None].expand(-1, 5, -1, -1, -1))
        z = philox_normal(7, IDS, 0, 5, 4)
        torch.testing.assert_close(seen[:, :, 2:], z[..., None, None].expand(-1, -1, -1, 13, 17), rtol=0, atol=1e-6)


# Dropout U-Net


def test_without_dropout_all_hypotheses_are_the_network():
    model, images = build(DropoutUNet, 3), pictures()
    model.dropout = 0.0
    logits = all_logits(model, images, 4)
    network = model.last_layer(model.unet(images))
    torch.testing.assert_close(logits, network[:, None].expand(-1, 4, -1, -1, -1), rtol=1e-5, atol=1e-6)


def entering(model, images, n, chunk=None):
    """What enters each block, and its first convolution: [(x, dropped x)] by the block's name, over the passes."""
    found = {}

    def watch(name, down):
        pool = down.layers[0] if isinstance(down.layers[0], torch.nn.AvgPool2d) else torch.nn.Identity()
        conv = next(layer for layer in down.layers if isinstance(layer, torch.nn.Conv2d))
        down.register_forward_pre_hook(lambda _, given: found.setdefault(name, []).append([pool(given[0]).clone()]))
        conv.register_forward_pre_hook(lambda _, given: found[name][-1].append(given[0].clone()))

    for i, down in enumerate(model.unet.contracting_path):
        watch(f"down {i}", down)
    for i, up in enumerate(model.unet.upsampling_path):
        watch(f"up {i}", up.conv_block)
    encoding = model.encode(images)
    for noise in Noise(7, IDS[: len(images)], 0, n).parts(chunk or n):
        model.logits(encoding, noise)
    return found


INNERMOST = ["down 2", "down 3", "down 4", "up 0", "up 1", "up 2"]


@pytest.mark.parametrize("dropout", [0.5, 0.2])
def test_dropout_takes_units_of_the_three_innermost_blocks(dropout):
    torch.manual_seed(0)
    model = DropoutUNet(2, 1, (8, 8, 8, 8, 8), convs_per_block=1, dropout=dropout).requires_grad_(False)
    flags = {}
    for name, [(x, after)] in entering(model, pictures(2, (64, 64)), 4).items():
        positive = x > 0
        if name not in INNERMOST:
            assert torch.equal(after, x)
            continue
        kept = after != 0
        torch.testing.assert_close(after, x * kept / (1 - dropout))  # survivors make up for the rest
        share, units = float(kept[positive].float().mean()), int(positive.sum())
        assert abs(share - (1 - dropout)) < 5 * math.sqrt(dropout * (1 - dropout) / units), name
        flags[name] = kept, positive
    assert list(flags) == INNERMOST

    kept, positive = (flag.unflatten(0, (2, 4)) for flag in flags["down 2"])
    assert torch.equal(positive[:, 0], positive[:, 3])  # hypotheses still share all that comes before
    mixed = (kept & positive).any((3, 4)) & (~kept & positive).any((3, 4))
    assert mixed.float().sum() >= 0.9 * positive.any((3, 4)).sum()  # units drop out, not whole channels
    chance = dropout**2 + (1 - dropout) ** 2
    for one, other in (((0, 0), (0, 1)), ((0, 2), (0, 3)), ((0, 0), (1, 0))):  # (image, hypothesis)
        both = positive[one] & positive[other]
        agreement = float((kept[one] == kept[other])[both].float().mean())
        assert abs(agreement - chance) < 5 * math.sqrt(chance * (1 - chance) / int(both.sum()))
    one, other = ([flag[0].flatten() for flag in flags[name]] for name in ("down 2", "up 2"))  # of a layer each
    size = min(len(one[0]), len(other[0]))
    both = one[1][:size] & other[1][:size]
    agreement = float((one[0][:size] == other[0][:size])[both].float().mean())
    assert abs(agreement - chance) < 5 * math.sqrt(chance * (1 - chance) / int(both.sum()))


def test_dropout_runs_what_is_deterministic_once():
    torch.manual_seed(0)
    model = DropoutUNet(2, 1, (4, 4, 4, 4, 4), convs_per_block=1)
    passes = {name: [len(x) for x, _ in calls] for name, calls in entering(model, pictures(3), 7, chunk=3).items()}
    assert passes.pop("down 0") == passes.pop("down 1") == [3]
    assert all(images == [9, 9, 3] for images in passes.values())


@LOSS_CASES
def test_dropout_loss_is_that_of_one_pass(num_classes, ignore_index, class_weights):
    model, images = build(DropoutUNet, num_classes), pictures()
    labels = annotations(num_classes, ignore_index)
    found = loss(model, images, labels, ignore_index, class_weights)
    logits = all_logits(model, images, 1, ids=IDS)
    for b, g in np.ndindex(3, 3):
        expected = entropy(logits[b, 0], labels[b, g], ignore_index, class_weights)
        assert float(found.reconstruction[b, g]) == pytest.approx(expected, rel=1e-5)
    assert found.kl.shape == (3, 3, 0)


# U-Net Ensemble


def members_of(model, images):
    """Which member each hypothesis is."""
    outputs = torch.stack([member.last_layer(member.unet(images)) for member in model.members], dim=1)
    hypotheses = all_logits(model, images, len(model.members))
    same = (hypotheses[:, :, None] - outputs[:, None]).abs().amax((0, 3, 4, 5)) < 1e-6
    assert same.sum(0).eq(1).all()
    assert same.sum(1).eq(1).all()
    return same.int().argmax(1).tolist()


def test_ensemble_hypotheses_are_the_members_each_once():
    model = build(UNetEnsemble, 3, members=6)
    order = members_of(model, pictures())
    assert sorted(order) == list(range(6))
    assert order == members_of(model, pictures(1))
    images = pictures(1)
    drawn = torch.stack([all_logits(model, images, 1, seed=seed)[0, 0] for seed in range(40)])
    assert len(torch.unique(drawn, dim=0)) > 1  # n = 1 is not always the same member


@LOSS_CASES
def test_ensemble_trains_one_member_an_example(num_classes, ignore_index, class_weights):
    model, images = build(UNetEnsemble, num_classes, members=5), pictures()
    model.requires_grad_(True)
    labels, ids = annotations(num_classes, ignore_index), torch.tensor([7, 11, 12])  # members 2, 1 and 2
    found = loss(model, images, labels, ignore_index, class_weights, ids)
    found.reconstruction.sum().backward()
    for b, member in enumerate((2, 1, 2)):
        logits = model.members[member](images[b : b + 1]).detach()[0]
        for g in range(3):
            expected = entropy(logits, labels[b, g], ignore_index, class_weights)
            assert float(found.reconstruction[b, g].detach()) == pytest.approx(expected, rel=1e-5)
    for index, member in enumerate(model.members):
        moved = [p.grad is not None and bool(p.grad.any()) for p in member.parameters()]
        assert all(moved) if index in (1, 2) else not any(moved)
    alone = model.members[1].last_layer.weight.grad.clone()
    model.zero_grad()
    loss(model, images[1:2], labels[1:2], ignore_index, class_weights, ids[1:2]).reconstruction.sum().backward()
    torch.testing.assert_close(model.members[1].last_layer.weight.grad, alone, rtol=1e-4, atol=1e-4)


# All four

"""The four baselines: each loss by hand, each source of randomness, and what all of them promise alike."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

import fastpunet
from fastpunet.models import DropoutUNet, Image2ImageVAE, MHeads, ProbabilisticUNet, UNetEnsemble
from fastpunet_kernels import philox_normal

BASELINES = [DropoutUNet, UNetEnsemble, MHeads, Image2ImageVAE]
LIMITED = {UNetEnsemble: "members", MHeads: "heads"}
SMALL = dict(channels=(4, 6, 8), convs_per_block=1)
IDS = torch.tensor([5, 2**40, 3])
LOSS_CASES = pytest.mark.parametrize(
    ("num_classes", "ignore_index", "class_weights"),
    [(1, None, None), (1, 255, None), (1, 255, (0.5, 3.0)), (3, None, None), (3, 255, None), (3, 0, (0.5, 3.0, 2.0))],
)


def build(method, num_classes=1, **arguments):
    torch.manual_seed(0)
    few = {LIMITED[method]: 5} if method in LIMITED else {}
    return method(2, num_classes, **SMALL, **{**few, **arguments}).requires_grad_(False)


def pictures(count=3, size=(13, 17)):
    return torch.rand(count, 2, *size, generator=torch.Generator().manual_seed(1))


def annotations(num_classes, ignore_index, graders=3, size=(13, 17)):
    labels = torch.randint(0, max(2, num_classes), (3, graders, *size), generator=torch.Generator().manual_seed(2))
    if ignore_index is not None:
        labels[torch.rand(labels.shape, generator=torch.Generator().manual_seed(3)) < 0.3] = ignore_index
    return labels


def entropy(logits, labels, ignore_index, class_weights):
    """Cross-entropy of logits (K, H, W) with labels (H, W), pixel by pixel in float64."""
    total = 0.0
    logits, labels = logits.double().numpy(), labels.numpy()
    for y, x in np.ndindex(labels.shape):
        if labels[y, x] != ignore_index:
            scores = logits[:, y, x] if len(logits) > 1 else np.array([0.0, logits[0, y, x]])
            surprise = np.log(np.exp(scores).sum()) - scores[labels[y, x]]
            total += surprise if class_weights is None else class_weights[labels[y, x]] * surprise
    return total


def loss(model, images, labels, ignore_index, class_weights, ids=IDS):
    weights = None if class_weights is None else torch.tensor(class_weights)
    return model.loss_terms(images, labels, seed=7, ids=ids, ignore_index=ignore_index, class_weights=weights)


def all_logits(model, images, n, **options):
    return torch.cat(list(model.hypotheses(images, n, seed=7, **options)), dim=1)


# M-Heads


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
    all_logits(model, images, 5, ids=IDS)
    all_logits(model, 100 * images, 5, ids=IDS)
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
    all_logits(model, images, n, ids=IDS[: len(images)], chunk=chunk)
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
    drawn = torch.stack([model.sample(images, 1, seed=seed)[0, 0] for seed in range(40)])
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


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("method", BASELINES)
def test_a_hypothesis_depends_on_seed_id_and_number_alone(method, num_classes):
    many = {LIMITED[method]: 16} if method in LIMITED else {}
    model, images = build(method, num_classes, **many), pictures()
    sixteen = all_logits(model, images, 16, ids=IDS)
    for options in ({}, {"chunk": 1}, {"chunk": 3}, {"chunk": 5}):
        torch.testing.assert_close(all_logits(model, images, 4, ids=IDS, **options), sixteen[:, :4])
    alone = all_logits(model, images[1:2], 16, ids=IDS[1:2], chunk=7)
    torch.testing.assert_close(alone, sixteen[1:2])
    turned = all_logits(model, images.flip(0), 16, ids=IDS.flip(0))
    torch.testing.assert_close(turned.flip(0), sixteen)
    assert all(not torch.equal(sixteen[:, 0], sixteen[:, k]) for k in range(1, 16))
    other = torch.cat(list(model.hypotheses(images, 16, seed=8, ids=IDS)), dim=1)
    assert not torch.equal(other, sixteen)
    if method not in LIMITED:  # their randomness is each image's own
        twins = images[:1].expand(2, -1, -1, -1)
        first, second = all_logits(model, twins, 4, ids=IDS[:2])
        assert not torch.allclose(first, second)


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("method", BASELINES)
def test_every_output_is_the_same_hypotheses(method, num_classes):
    model, images = build(method, num_classes), pictures()
    logits, probs, labels, bits = (
        fastpunet.sample(model, images, 5, seed=7, ids=IDS, output=output, chunk=2)
        for output in ("logits", "probs", "labels", "bits")
    )
    torch.testing.assert_close(logits, all_logits(model, images, 5, ids=IDS))
    expected = logits.sigmoid() if num_classes == 1 else logits.softmax(2)
    torch.testing.assert_close(probs, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(labels, (logits[:, :, 0] > 0).byte() if num_classes == 1 else logits.argmax(2).byte())
    assert labels.float().std() > 0.1  # not all one label
    assert torch.equal(bits.unpack(), labels)
    assert torch.equal(model.sample(images, 5, seed=7, ids=IDS), labels)


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (16, 31)])
@pytest.mark.parametrize("method", BASELINES)
def test_any_size(method, size, num_classes):
    model = build(method, num_classes)
    logits = all_logits(model, pictures(2, size), 3)
    assert logits.shape == (2, 3, num_classes, *size)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("method", [*BASELINES, ProbabilisticUNet])
def test_images_of_any_float_dtype(method, dtype):
    model, images = build(method), pictures().half()
    expected = model.sample(images.float(), 3, seed=7)
    assert torch.equal(model.sample(images.to(dtype), 3, seed=7), expected)
    assert torch.equal(fastpunet.sample(model, images.to(dtype), 3, seed=7), expected)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        (DropoutUNet, {"dropout": 0.3}),
        (UNetEnsemble, {"members": 5}),
        (MHeads, {"heads": 5, "epsilon": 0.1}),
        (Image2ImageVAE, {"latent_dim": 2, "log_sigma_bound": None}),
    ],
)
def test_a_checkpoint_brings_the_model_back(method, arguments, tmp_path):
    model = build(method, 3, **arguments)
    fastpunet.save(model, tmp_path / "model.safetensors")
    again = fastpunet.load(tmp_path / "model.safetensors")
    assert type(again) is method
    assert again.config == model.config
    assert {name: model.config[name] for name in arguments} == arguments
    images = pictures()
    assert torch.equal(all_logits(again, images, 5, ids=IDS), all_logits(model, images, 5, ids=IDS))


@pytest.mark.parametrize("method", BASELINES)
def test_training_reaches_every_parameter_and_leaves_no_trace(method):
    model = build(method, 3, **({LIMITED[method]: 3} if method in LIMITED else {})).requires_grad_(True)
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    state = torch.get_rng_state()
    terms = loss(model, pictures(), annotations(3, None), None, None, torch.arange(3))
    (terms.reconstruction.mean() + terms.kl.sum(-1).mean()).backward()
    assert not [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    model.sample(pictures(), 3, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before


@pytest.mark.parametrize(("method", "limit"), LIMITED.items())
def test_no_more_hypotheses_than_there_are(method, limit):
    model, images = build(method, **{limit: 4}), pictures()
    message = f"^n: got 5, expected at most 4: {method.__name__} has no more hypotheses"
    for call in (model.sample, lambda *given: fastpunet.sample(model, *given)):
        with pytest.raises(ValueError, match=message):
            call(images, 5)


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize(
    ("error", "name", "images", "options"),
    [
        (TypeError, "images", np.zeros((1, 2, 8, 8)), {}),
        (ValueError, "images", torch.rand(2, 8, 8), {}),
        (ValueError, "images", torch.rand(1, 3, 8, 8), {}),
        (ValueError, "images", torch.full((1, 2, 8, 8), math.nan), {}),
        (TypeError, "images", torch.zeros(1, 2, 8, 8, dtype=torch.uint8), {}),
        (ValueError, "n", torch.rand(1, 2, 8, 8), {"n": 0}),
        (TypeError, "n", torch.rand(1, 2, 8, 8), {"n": 2.0}),
        (ValueError, "seed", torch.rand(1, 2, 8, 8), {"seed": -1}),
        (ValueError, "ids", torch.rand(1, 2, 8, 8), {"ids": torch.tensor([1, 2])}),
        (TypeError, "ids", torch.rand(1, 2, 8, 8), {"ids": [1]}),
    ],
)
def test_bad_input_to_sampling_is_named(method, error, name, images, options):
    model = build(method)
    for call in (model.sample, lambda *given, **rest: fastpunet.sample(model, *given, **rest)):
        with pytest.raises(error, match=f"^{name}: "):
            call(images, **{"n": 2, **options})


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize(
    ("name", "value"), [("chunk", 0), ("output", "masks"), ("backend", "native"), ("precision", "fp8")]
)
def test_bad_options_of_sample_are_named(method, name, value):
    with pytest.raises(ValueError, match=f"^{name}: got"):
        fastpunet.sample(build(method), pictures(), 2, **{name: value})


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize(("num_classes", "label"), [(1, 2), (3, 3), (3, -1)])
def test_labels_out_of_range_are_refused(method, num_classes, label):
    with pytest.raises(ValueError, match=f"^labels: got .*{label}"):
        loss(build(method, num_classes), pictures(), torch.full((3, 2, 13, 17), label), None, None)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        *((method, {name: 0}) for method in BASELINES for name in ("in_channels", "num_classes", "convs_per_block")),
        *((method, {"channels": ()}) for method in BASELINES),
        *((DropoutUNet, {"dropout": rate}) for rate in (0.0, 1.0, -0.5, math.nan, 1)),
        (DropoutUNet, {"channels": (8,)}),
        (UNetEnsemble, {"members": 0}),
        (MHeads, {"heads": 1}),
        (MHeads, {"epsilon": 1.0}),
        (MHeads, {"epsilon": -0.1}),
        (Image2ImageVAE, {"latent_dim": 0}),
        (Image2ImageVAE, {"log_sigma_bound": 0.0}),
    ],
)
def test_impossible_architectures_are_refused(method, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"^{name}: got"):
        method(**arguments)

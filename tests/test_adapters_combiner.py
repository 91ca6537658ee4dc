"""Combiners of any module structure, flattened: equal to their own forward pass, in the weights of the moment."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, weight_norm

from fastpunet.models.fcomb import FComb, broadcast_latents, flatten_combiner
from fastpunet_kernels import decode_samples

C, L, H = 5, 3, 8


def _bn(width, kind=nn.BatchNorm2d):
    norm = kind(width)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


def _prelu(width):
    activation = nn.PReLU(width)
    nn.init.normal_(activation.weight)
    return activation


def _conv(ins, outs, **options):
    return nn.Conv2d(ins, outs, 1, **options)


STRUCTURES = {
    "as published": lambda: [_conv(C + L, H), nn.ReLU(), _conv(H, H), nn.ReLU(), _conv(H, 3)],
    "BatchNorm before ReLU": lambda: [_conv(C + L, H), _bn(H), nn.ReLU(), _conv(H, 3)],
    "BatchNorm after ReLU": lambda: [_conv(C + L, H), nn.ReLU(), _bn(H), _conv(H, 3)],
    "BatchNorm first and last": lambda: [_bn(C + L), _conv(C + L, H), nn.ReLU(), _conv(H, 3), _bn(3)],
    "LeakyReLU": lambda: [_conv(C + L, H), nn.LeakyReLU(0.2), _conv(H, H), nn.LeakyReLU(-0.5), _conv(H, 3)],
    "PReLU": lambda: [_conv(C + L, H), _prelu(H), _conv(H, 3), _bn(3), _prelu(1), _conv(3, 3)],
    "no activation": lambda: [_conv(C + L, H), _conv(H, 3)],
    "one layer": lambda: [_conv(C + L, 3)],
    "ends in an activation": lambda: [_conv(C + L, H), nn.ReLU(), _conv(H, 3), nn.LeakyReLU(0.1)],
    "two activations in turn": lambda: [_conv(C + L, H), nn.LeakyReLU(0.3), nn.ReLU(), nn.LeakyReLU(2.0), _conv(H, 3)],
    "groups and no bias": lambda: [_conv(C + L, H, groups=2), nn.ReLU(), _conv(H, 6, groups=2, bias=False), nn.ReLU()],
    "dropout, identity, nesting": lambda: [
        nn.Sequential(_conv(C + L, H), nn.Identity()),
        nn.Sequential(nn.Sequential(nn.ReLU(), nn.Dropout2d()), _conv(H, 1)),
    ],
    "mixed widths": lambda: [_conv(C + L, 2), nn.LeakyReLU(), _conv(2, 40), nn.ReLU(), _conv(40, 24)],
}


def _error(modules, split, size=(6, 7), latents_first=False):
    features, z = torch.randn(2, C, *size), torch.randn(2, 4, L)
    ours = decode_samples(split.base(features), split.decoder, z, output="logits").unflatten(-1, size)
    inputs = [
        [z_k, features] if latents_first else [features, z_k]
        for z_k in (broadcast_latents(z[:, k], features) for k in range(4))
    ]
    with torch.no_grad():
        exact = copy.deepcopy(modules).eval().double()
        expected = torch.stack([exact(torch.cat(both, 1).double()) for both in inputs], 1)
    return ((ours - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("latents_first", [False, True])
def test_flattened_combiners_equal_their_own_forward_pass(structure, latents_first):
    torch.manual_seed(0)
    combiner = nn.Sequential(*STRUCTURES[structure]()).train()
    split = flatten_combiner(combiner, L, latents_first=latents_first)
    assert _error(combiner, split, latents_first=latents_first) < 1e-6
    assert split.last_activation is None


def test_volumes_are_read_like_images():
    torch.manual_seed(0)
    combiner = nn.Sequential(nn.Conv3d(C + L, H, 1), _bn(H, nn.BatchNorm3d), nn.ReLU(), nn.Conv3d(H, 2, 1))
    assert _error(combiner, flatten_combiner(combiner, L), size=(3, 4, 5)) < 1e-6


@pytest.mark.parametrize("dims", [2, 3])
def test_our_own_f_comb_keeps_its_weights_bit_for_bit(dims):
    fcomb = FComb(C, L, 2, 3, dims)
    split = flatten_combiner(fcomb, L)
    first = fcomb.layers[0].weight.flatten(1)
    assert torch.equal(split.feature_weight, first[:, :C])
    assert torch.equal(split.decoder.z_weight, first[:, C:])
    assert torch.equal(split.decoder.weights[0], fcomb.layers[2].weight.flatten(1))
    assert torch.equal(split.decoder.biases[1], fcomb.last_layer.bias)


def test_what_was_read_stays_when_the_weights_change():
    fcomb = FComb(C, L, 2, 3)
    split = flatten_combiner(fcomb, L)
    kept = [tensor.clone() for tensor in (split.feature_weight, split.feature_bias, *split.decoder.weights)]
    with torch.no_grad():
        for parameter in fcomb.parameters():
            parameter.zero_()
    for before, now in zip(kept, (split.feature_weight, split.feature_bias, *split.decoder.weights), strict=True):
        assert torch.equal(before, now)
    assert not split.decoder.weights[0].requires_grad


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("hook", [weight_norm, nn.utils.spectral_norm, prune.random_unstructured])
def test_weights_are_those_that_hooks_make_of_new_values(hook):
    """A hook recomputes `weight` at each pass only: after a change it is stale until then."""
    torch.manual_seed(0)
    conv = _conv(C + L, H)
    hook(conv, "weight", 0.3) if hook is prune.random_unstructured else hook(conv)
    combiner = nn.Sequential(conv, nn.ReLU(), _conv(H, 3)).eval()
    combiner(torch.rand(1, C + L, 2, 2))
    with torch.no_grad():
        for parameter in combiner.parameters():
            parameter.mul_(2)
        combiner[0].bias.add_(1)
    stale = combiner[0].weight
    split = flatten_combiner(combiner, L)
    assert combiner[0].weight is stale  # nothing is left on the model
    combiner(torch.rand(1, C + L, 2, 2))
    effective = combiner[0].weight.detach().flatten(1)
    assert torch.equal(split.feature_weight, effective[:, :C])
    assert torch.equal(split.decoder.z_weight, effective[:, C:])


@pytest.mark.parametrize("parametrization", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrized_weights_are_the_effective_ones(parametrization):
    torch.manual_seed(0)
    combiner = nn.Sequential(parametrization(_conv(C + L, H)), nn.ReLU(), _conv(H, 3)).eval()
    split = flatten_combiner(combiner, L)
    assert torch.equal(split.feature_weight, combiner[0].weight.detach().flatten(1)[:, :C])


@pytest.mark.parametrize(
    ("end", "classes", "name"),
    [
        (nn.Sigmoid(), 1, "sigmoid"),
        (nn.Softmax(dim=1), 3, "softmax"),
        (nn.Softmax2d(), 3, "softmax"),
        (nn.LogSoftmax(1), 3, "log-softmax"),
    ],
)
def test_an_activation_of_the_logits_is_noted(end, classes, name):
    logits = nn.Sequential(_conv(C + L, H), nn.ReLU(), _conv(H, classes))
    split = flatten_combiner(nn.Sequential(logits, end), L)
    assert split.last_activation == name
    assert _error(logits, split) < 1e-6


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ([_conv(C + L, H), nn.GELU(), _conv(H, 1)], "it has the module GELU; it holds Conv2d, GELU, Conv2d"),
        ([nn.Conv2d(C + L, H, 3), nn.ReLU()], "a convolution of kernel size 3 x 3"),
        ([_conv(C + L, H, stride=2)], "a convolution with stride 2 x 2"),
        ([_conv(C + L, H, padding=1)], "a 1x1 convolution with padding 1 x 1"),
        ([nn.ConvTranspose2d(C + L, H, 1)], "the module ConvTranspose2d"),
        ([_conv(C + L, H), nn.BatchNorm2d(H, track_running_stats=False)], "BatchNorm2d without running statistics"),
        ([_conv(C + L, H), nn.InstanceNorm2d(H, track_running_stats=True)], "the module InstanceNorm2d"),
        ([_conv(C + L, H), nn.Softmax(1), _conv(H, 2)], "a softmax before the last layer"),
        ([_conv(C + L, 2), nn.Sigmoid()], "a sigmoid of each of 2 classes at the end"),
        ([_conv(C + L, 1), nn.Softmax(1)], "a softmax of a single class"),
        ([_conv(C + L, 2), nn.Softmax(0)], "a softmax over the images of a batch"),
        ([_conv(C + L, 2), _conv(3, 2)], "2 channels before a layer that takes 3"),
        ([_conv(C + L, 2), nn.ReLU(), _conv(3, 2)], "2 channels before a layer that takes 3"),
        ([_conv(C + L, 2), nn.PReLU(3)], "a PReLU of 3 slopes after 2 channels"),
        ([_conv(L, H), nn.ReLU(), _conv(H, 1)], "3 inputs, no more than the latent's 3"),
        ([nn.ReLU(), _conv(C + L, 1)], "no layer of weights before its first activation"),
        ([], "no layer of weights before its first activation; it holds no modules"),
    ],
)
def test_what_cannot_be_read_is_named(modules, reason):
    with pytest.raises(ValueError, match=f"^model: its combiner cannot be read as 1x1 convolutions.*{reason}"):
        flatten_combiner(nn.Sequential(*modules), L)


def test_more_classes_than_a_byte_holds_are_refused():
    with pytest.raises(ValueError, match="^model: got 300 classes, expected at most 256"):
        flatten_combiner(FComb(C, L, 300, 2), L)

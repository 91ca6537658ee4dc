"""What cannot be right is refused by name: values, combiners, priors, subclasses that do more than their layers."""

import copy

import pytest
import torch
from helpers.peers import (
    Combiner,
    K,
    L,
    Peer,
    Prior,
    Rolled,
    WithEnd,
)
from torch import nn
from torch.distributions import Normal

import fastpunet


def _model(make):
    torch.manual_seed(0)
    return make().train()


@pytest.mark.parametrize(("part", "name"), [("unet", "the U-Net's features"), ("prior", "the prior's")])
def test_values_that_are_not_finite_name_the_part(part, name):
    model = _model(Peer)
    with torch.no_grad():
        (model.unet.head if part == "unet" else model.prior.conv).bias.fill_(float("inf") if part == "unet" else 100.0)
    with pytest.raises(ValueError, match=f"^model: got NaN or infinity in {name}"):
        fastpunet.sample(model, torch.rand(1, 1, 8, 8), 2)


class _Odd(Combiner):
    def __init__(self, change):
        super().__init__(nn.Sequential(nn.Conv2d(8 + L, K, 1), nn.GELU(), nn.Conv2d(K, K, 1)))
        self.change = change

    def forward(self, features, z):
        return self.change(super().forward(features, z))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[..., :1], r"gives no \(B, 2, \*size\)"),
        (lambda x: (x, x), r"gives no \(B, 2, \*size\)"),
        (lambda x: nn.functional.dropout(x, 0.5, True), "draws random numbers"),
        (lambda x: x.sigmoid(), "gives probabilities"),
    ],
)
@pytest.mark.filterwarnings("ignore:the model's combiner")
def test_combiners_that_can_be_right_in_no_way_are_refused(change, message):
    with pytest.raises(ValueError, match=f"^model: its combiner.*{message}"):
        fastpunet.sample(_model(lambda: Peer(combiner=_Odd(change))), torch.rand(1, 1, 8, 8), 2)


def test_a_pair_of_tensors_is_not_guessed_at():
    with pytest.raises(
        TypeError, match=r"^model: its prior gives \(a tensor \(1, 3\), a tensor \(1, 3\)\), from which"
    ):
        fastpunet.sample(_model(lambda: Peer(prior=Prior(lambda m, s: (m, s)))), torch.rand(1, 1, 8, 8), 2)


def test_a_latent_of_every_pixel_is_refused():
    def spatial(m, s):
        return Normal(m[..., None, None].expand(-1, -1, 2, 2), s.exp()[..., None, None])

    with pytest.raises(TypeError, match="differ from pixel to pixel"):
        fastpunet.sample(_model(lambda: Peer(prior=Prior(spatial))), torch.rand(1, 1, 8, 8), 2)


class _OwnUNet(fastpunet.ProbabilisticUNet):
    """A subclass of ours with layers that behave differently in training."""

    def __init__(self, **changes):
        super().__init__(channels=(8, 12), latent_dim=L, num_classes=K)
        torch.manual_seed(0)
        self.unet = nn.Sequential(self.unet, nn.BatchNorm2d(8), nn.Dropout(0.5))
        self.fcomb.layers = nn.Sequential(*self.fcomb.layers, nn.BatchNorm2d(8))
        for name, value in changes.items():
            setattr(self, name, value)


def test_a_subclass_of_ours_computes_in_evaluation_mode_and_is_left_alone():
    model, images, z = _OwnUNet().train(), torch.rand(2, 1, 9, 10), torch.randn(2, 1, L)
    values = copy.deepcopy(model.state_dict())
    sampler = fastpunet.Sampler(model)
    got = sampler.decode(sampler.encode(images), z, output="logits")[:, 0]
    assert torch.equal(got, sampler.decode(sampler.encode(images), z, output="logits")[:, 0])
    assert model.unet[2].training
    assert all(torch.equal(model.state_dict()[name], value) for name, value in values.items())
    model.eval()
    torch.testing.assert_close(got, model.fcomb(model.unet(images), z[:, 0]).detach())


@pytest.mark.parametrize("change", ["hook", "forward", "module"])
def test_a_subclass_whose_combiner_does_more_than_its_layers_is_refused(change):
    model = _OwnUNet()
    if change == "hook":
        model.fcomb.register_forward_hook(lambda *seen: seen[-1] * 2)
    elif change == "forward":
        model.fcomb.forward = lambda features, z: features[:, :K] + z.sum()
    else:
        model.fcomb = Rolled()
    with pytest.raises(ValueError, match="^model: the forward pass of its combiner, a .*, does not give what"):
        fastpunet.sample(model, torch.rand(1, 1, 8, 8), 2)


@pytest.mark.filterwarnings("ignore:the model's `sample`")
def test_values_that_no_distribution_has_are_named():
    model = _model(lambda: Peer(prior=Prior(lambda m, s: Normal(m, s.exp() * float("nan")))))
    with pytest.raises(ValueError, match="^model: got NaN or (impossible values in its prior|infinity in the prior)"):
        fastpunet.sample(model, torch.rand(1, 1, 8, 8), 2)


def test_a_prior_that_cannot_be_asked_is_named():
    class Flow:
        def sample(self, count):
            raise NotImplementedError

    with pytest.raises(TypeError, match=r"^model: its prior, a Flow, cannot be drawn from by sample\(\) alone"):
        fastpunet.sample(_model(lambda: Peer(prior=Prior(lambda *_: Flow()))), torch.rand(1, 1, 8, 8), 2)


@pytest.mark.filterwarnings("ignore:the model's combiner")
def test_a_random_combiner_is_refused_without_a_touch_of_the_global_generator():
    model, image = Peer(combiner=WithEnd(lambda x: x * torch.rand_like(x))), torch.zeros(1, 1, 8, 8)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="^model: its combiner draws random numbers"):
        fastpunet.sample(model, image, 2, seed=0)
    assert torch.equal(torch.get_rng_state(), before)

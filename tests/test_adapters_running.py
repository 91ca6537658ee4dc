"""Foreign models run as their own code does: sizes, memory layouts, wrappers, hooks, and what reaches the combiner."""

import pytest
import torch
from helpers.peers import (
    Finishing,
    HooksAround,
    ImageOnly,
    L,
    Lightning,
    Peer,
    Prior,
    Unet,
)
from torch import nn
from torch.optim.swa_utils import AveragedModel

import fastpunet
from benchmarks.port import PortModel
from fastpunet import adapt
from fastpunet.models.adapters.adapted import VerifiedEncoding
from fastpunet.passes import Passes


def _model(make):
    torch.manual_seed(0)
    return make().train()


def test_odd_sizes_are_padded_to_the_first_multiple_that_is_taken():
    model = _model(Peer)
    images = torch.rand(2, 1, 50, 35)
    sampler = fastpunet.Sampler(model)
    encoding = sampler.encode(images)
    padded = nn.functional.pad(images, (0, 1, 0, 2), mode="replicate")
    torch.testing.assert_close(encoding.features, model.unet(padded)[..., :50, :35])
    torch.testing.assert_close(encoding.prior.mu, model.prior(images).mean)


class _AnySize(Unet):
    """Poolings inside, and back to whatever size came in."""

    def forward(self, x):
        return self.head(nn.functional.interpolate(self.pool(self.pool(self.first(x))), x.shape[2:]))


def test_a_u_net_that_takes_the_size_itself_is_not_padded():
    model = _model(lambda: Peer(_AnySize()))
    images = torch.rand(1, 1, 30, 29)
    torch.testing.assert_close(fastpunet.Sampler(model).encode(images).features, model.unet(images))


class _Shrinking(nn.Conv2d):
    def __init__(self):
        super().__init__(1, 8, 3)


def test_features_of_another_size_are_an_error():
    with pytest.raises(ValueError, match="^model: its networks do not take .* its features have the size 14 x 14"):
        fastpunet.sample(_model(lambda: Peer(_Shrinking())), torch.rand(1, 1, 16, 16), 2)


class _Viewing(Prior):
    """Flattens by `view`, which memory with channels last does not allow."""

    def forward(self, x):
        return self.make(*self.conv(x).view(len(x), 2 * L, -1).mean(2).chunk(2, 1))


def test_code_that_needs_contiguous_images_gets_them():
    model = _model(lambda: Peer(Unet(), _Viewing()))
    images = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(fastpunet.Sampler(model).encode(images).prior.mu, model.prior(images).mean)


@pytest.mark.parametrize("form", [tuple, lambda pair: {"x": pair[0], "coarse": pair[1]}, list])
def test_the_features_among_several_outputs_are_those_of_the_images_size(form):
    class Several(Unet):
        def forward(self, x):
            return form((super().forward(x), x[..., ::2, ::2]))

    class OfParts(Peer):
        def forward(self, x, segm):
            raise NotImplementedError

    model = _model(lambda: OfParts(Several()))
    entries = model.unet(images := torch.rand(1, 1, 8, 8))
    features = entries["x"] if isinstance(entries, dict) else entries[0]
    torch.testing.assert_close(fastpunet.Sampler(model).encode(images).features, features)


def test_channels_that_the_u_net_does_not_take_are_its_own_error_in_one_line():
    with pytest.raises(
        ValueError, match=r"^model: its networks do not take images of 3 channels .*expected input\["
    ) as e:
        fastpunet.sample(_model(Peer), torch.rand(1, 3, 8, 8), 2)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        AveragedModel,
        lambda model: torch.compile(model, backend="eager"),
        lambda model: torch.compile(nn.DataParallel(model), backend="eager"),
        lambda model: Lightning(model, None),
        lambda model: Lightning(nn.DataParallel(model), None),
    ],
)
def test_wrappers_are_taken_off(wrap):
    model, images = _model(Peer), torch.rand(1, 1, 8, 8)
    expected = fastpunet.sample(model, images, 3, seed=1, output="logits")
    torch.testing.assert_close(fastpunet.sample(wrap(model), images, 3, seed=1, output="logits"), expected)


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel, lambda m: torch.compile(m, backend="eager")])
def test_a_module_around_the_network_may_change_its_images(wrap):
    model, images = _model(Peer), torch.rand(2, 1, 9, 11)
    around = wrap(Lightning(wrap(model), lambda x: (x - 0.5) / 0.2))
    got = fastpunet.sample(around, images, 3, seed=1, output="logits")
    torch.testing.assert_close(got, fastpunet.sample(model, (images - 0.5) / 0.2, 3, seed=1, output="logits"))


def test_hooks_of_the_model_itself_run():
    model, images, z = _model(HooksAround), torch.rand(2, 1, 8, 8), torch.randn(2, 1, L)
    sampler = fastpunet.Sampler(model)
    own = model.combined((images - 0.5) / 0.2, z[:, 0]).detach()
    torch.testing.assert_close(sampler.decode(sampler.encode(images), z, output="logits")[:, 0], own)


def test_hooks_that_change_what_the_parts_are_given_run_once():
    model = _model(Peer).eval()
    model.fcomb.register_forward_pre_hook(lambda _, inputs: (2 * inputs[0], inputs[1] - 1))
    model.prior.register_forward_pre_hook(lambda _, inputs: (3 * inputs[0],))
    images, z = torch.rand(2, 1, 10, 7), torch.randn(2, 1, L)  # to be padded
    sampler = fastpunet.Sampler(model, precision="ieee")
    with pytest.warns(UserWarning, match="decodes by its own forward pass"):
        encoding = sampler.encode(images)
    decoded = sampler.decode(encoding, z, output="logits")[:, 0]
    with torch.no_grad():
        torch.testing.assert_close(encoding.prior.mu, model.prior(images).mean)
        padded = nn.functional.pad(images, (0, 1, 0, 2), mode="replicate")
        torch.testing.assert_close(decoded, model.combined(padded, z[:, 0])[..., :10, :7])


class _Keyword(Peer):
    def forward(self, x, segm=None, training=False):  # noqa: ARG002
        self.unet_features, self.prior_latent_space = self.unet(x), self.prior(x=x)


def test_a_prior_that_is_called_by_keyword_sees_no_padding():
    model, images = _model(_Keyword), torch.rand(2, 1, 10, 7)
    torch.testing.assert_close(fastpunet.Sampler(model).encode(images).prior.mu, model.prior(images).mean)


def test_features_are_what_the_models_own_sample_hands_to_its_combiner():
    model, images, z = _model(Finishing), torch.rand(2, 1, 8, 8), torch.randn(2, 1, L)
    sampler = fastpunet.Sampler(model)
    for _ in range(2):
        encoding = sampler.encode(images)
        model.combined(images, z[:, 0])
        own = model.fcomb(2 * model.unet_features.tanh(), z[:, 0]).detach()
        torch.testing.assert_close(sampler.decode(encoding, z, output="logits")[:, 0], own)


def test_a_model_that_draws_in_its_forward_pass_leaves_the_global_generator_alone():
    model = _model(ImageOnly)
    before = torch.get_rng_state()
    first = fastpunet.sample(model, torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)), 3, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    second = fastpunet.sample(model, torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)), 3, seed=1)
    assert torch.equal(first, second)


@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16"])
def test_a_combiner_is_verified_in_float32_whatever_the_networks_compute_in(precision):
    """The switch for TF32 is one of the process, and oneDNN on a CPU has it as well."""
    method = adapt(PortModel(num_filters=(8, 12), latent_dim=3).eval())
    encoding = Passes().encode(method, torch.rand(1, 1, 16, 16), precision)
    assert isinstance(encoding, VerifiedEncoding)

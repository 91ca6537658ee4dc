"""A model's `sample` is observed whenever images are encoded, however the model was when it was first seen."""

from types import MethodType

import pytest
import torch
import torch.nn.functional as F
from helpers import structures
from helpers.peers import Combiner, Lightning, Peer

import fastpunet
from fastpunet.latents import Noise
from fastpunet.models.priors import AxisAligned

_REFUSED = r"^model: its own code returns .*, which is neither the last output of its combiner"


def _model(make):
    torch.manual_seed(0)
    return make().eval()


def _spread(model, images, n=300):
    """The standard deviation of the latents that are drawn, relative to the prior's."""
    encoding = fastpunet.Sampler(model).encode(images)
    z = encoding.prior.latents(Noise(3, torch.arange(len(images)), 0, n))
    return (z.std(1) / model.prior(images).stddev).mean().item()


class _Tempered(Peer):
    temperature = divisor = 1.0

    def sample(self, testing=False):  # noqa: ARG002
        return self.fcomb(self.unet_features, self.temperature * self.prior_latent_space.sample()) / self.divisor


def test_latents_that_are_changed_after_a_first_call_are_drawn_so():
    for change in ("attribute", "method"):
        model, images = _model(_Tempered), torch.rand(2, 1, 8, 8)
        fastpunet.sample(model, images, 2)
        if change == "attribute":
            model.temperature = 3.0
        else:
            wide = lambda self, testing=False: self.fcomb(self.unet_features, 3 * self.prior_latent_space.sample())  # noqa: ARG005, E731
            model.sample = MethodType(wide, model)
        assert _spread(model, images) == pytest.approx(3, abs=0.3)


def test_logits_that_are_changed_after_a_first_call_are_refused():
    model, images = _model(_Tempered), torch.rand(2, 1, 8, 8)
    fastpunet.sample(model, images, 2)
    model.divisor = 2.0
    with pytest.raises(TypeError, match=_REFUSED):
        fastpunet.sample(model, images, 2)


class _Bounding(Peer):
    """Scales features down if they are large."""

    def sample(self, testing=False):  # noqa: ARG002
        f = self.unet_features
        return self.fcomb(f / f.abs().max() if f.abs().max() > 2 else f, self.prior_latent_space.sample())


class _Rectifying(Peer):
    """Edits features in place."""

    def sample(self, testing=False):  # noqa: ARG002
        return self.fcomb(F.relu_(self.unet_features), self.prior_latent_space.sample())


class _Scaling(Peer):
    """Hands over a number that depends on the image."""

    def sample(self, testing=False):  # noqa: ARG002
        f = self.unet_features
        return self.fcomb(f, self.prior_latent_space.sample(), float(f.abs().mean()))


class _Scaled(Combiner):
    def forward(self, features, z, scale=1.0):
        return super().forward(features, z) * scale


@pytest.mark.filterwarnings("ignore:the model's combiner")
@pytest.mark.parametrize("kind", [_Bounding, _Rectifying, lambda: _Scaling(combiner=_Scaled())])
def test_what_is_handed_over_is_that_of_the_image_not_of_the_first_one(kind):
    images = 20 * torch.rand(1, 1, 8, 8)
    fresh = fastpunet.sample(_model(kind), images, 3, seed=1, output="logits")
    model = _model(kind)
    fastpunet.sample(model, torch.zeros(1, 1, 8, 8), 2)
    torch.testing.assert_close(fastpunet.sample(model, images, 3, seed=1, output="logits"), fresh)
    torch.testing.assert_close(fastpunet.sample(model, images, 3, seed=1, output="logits"), fresh)


class _Threshold(Peer):
    bound = 0.0

    def sample(self, testing=False):
        logits = super().sample(testing)
        return logits[:, 1] > logits[:, 0] + self.bound


def test_labels_that_agree_by_accident_prove_nothing():
    for bias in (-100.0, 100.0):
        model = _model(_Threshold)
        with torch.no_grad():
            model.fcomb.net[-1].bias[1] += bias
        fastpunet.sample(model, torch.rand(2, 1, 8, 8), 2)
        model.bound = 1.0
        with pytest.raises(TypeError, match=_REFUSED):
            fastpunet.sample(model, torch.rand(2, 1, 8, 8), 2)


class _NeedsTesting(_Tempered):
    def sample(self, testing):
        return super().sample(testing)


class _NeedsMore(Peer):
    def sample(self, count):
        raise NotImplementedError(count)


def test_a_sample_with_a_required_argument_is_observed_or_said_not_to_be():
    model, images = _model(_NeedsTesting), torch.rand(2, 1, 8, 8)
    model.temperature = 3.0
    assert _spread(model, images) == pytest.approx(3, abs=0.3)
    model = _model(_NeedsMore)
    with pytest.warns(UserWarning, match="`sample` could not be traced \\(it needs count\\)"):
        fastpunet.sample(model, images, 2)
    fastpunet.sample(model, images, 2)  # without a warning


class _Twice(Peer):
    def sample(self, testing=False):  # noqa: ARG002
        mean = self.fcomb(self.unet_features, self.prior_latent_space.mean)
        drawn = self.fcomb(self.unet_features, self.prior_latent_space.sample())
        return self.of(mean, drawn)


def test_of_several_calls_the_last_must_be_the_result():
    model, images = _model(_Twice), torch.rand(2, 1, 8, 8)
    model.of = lambda mean, drawn: drawn  # noqa: ARG005
    expected = fastpunet.sample(_model(Peer), images, 3, seed=1, output="logits")
    torch.testing.assert_close(fastpunet.sample(model, images, 3, seed=1, output="logits"), expected)
    for of in (lambda mean, drawn: (mean + drawn) / 2, lambda mean, drawn: mean):  # noqa: ARG005
        model.of = of
        with pytest.raises(TypeError, match=_REFUSED):
            fastpunet.sample(model, images, 2)


class _Outer(Lightning):
    def forward(self, x):
        self.net(x)
        return self.change(self.net.sample(testing=True))


def test_what_a_module_around_the_model_makes_of_logits_is_not_left_out():
    images = torch.rand(2, 1, 8, 8)
    fastpunet.sample(_Outer(_model(Peer), lambda x: x), images, 2)
    with pytest.raises(TypeError, match=_REFUSED):
        fastpunet.sample(_Outer(_model(Peer), lambda x: 2 * x - 3), images, 2)


class _Truncated(Peer):
    """Draws other latents than its prior's only now and then."""

    def sample(self, testing=False):  # noqa: ARG002
        prior = self.prior_latent_space
        z = (prior.sample() - prior.mean) / prior.stddev
        return self.fcomb(self.unet_features, prior.mean + prior.stddev * z.clamp(-1.8, 1.8))


def test_latents_that_are_changed_now_and_then_are_drawn_by_the_models_own_code():
    model, images = _model(_Truncated), torch.rand(2, 1, 8, 8)
    prior = model.prior(images)
    z = fastpunet.Sampler(model).encode(images).prior.latents(Noise(3, torch.arange(2), 0, 300))
    assert (((z - prior.mean[:, None]) / prior.stddev[:, None]).abs() < 1.81).all()


class _Editing(Combiner):
    def forward(self, features, z):
        return super().forward(features.mul_(2), z)


def test_a_combiner_that_edits_its_features_is_refused():
    with pytest.raises(ValueError, match="^model: its combiner, a _Editing, edits its features or latents in place"):
        fastpunet.sample(_model(lambda: Peer(combiner=_Editing())), torch.rand(2, 1, 8, 8), 2)


class _Bump(Combiner):
    def forward(self, features, z):
        bump = F.relu(0.1 - (F.relu(z[:, 0] - 1) + F.relu(1 - z[:, 0])))
        return super().forward(features, z) + 50 * bump[:, None, None, None]


def test_a_combiner_with_more_activations_than_its_layers_decodes_itself():
    with pytest.warns(UserWarning, match="decodes by its own forward pass"):
        fastpunet.sample(_model(lambda: Peer(combiner=_Bump())), torch.rand(2, 1, 8, 8), 2)


def test_a_dtype_that_the_networks_do_not_take_is_named():
    with pytest.raises(
        ValueError, match=r"^images: got torch.float32, .* with weights of torch.float64 do not take; convert"
    ):
        fastpunet.adapt(_model(Peer).double()).encode(torch.rand(1, 1, 8, 8))


def test_code_that_draws_several_hypotheses_is_known_by_the_last_of_them():
    torch.manual_seed(0)
    model = structures.STRUCTURES["lightning-uq-box"].make(8).eval()  # whose predict_step draws five
    assert isinstance(fastpunet.Sampler(model).encode(torch.rand(2, 1, 16, 16)).prior, AxisAligned)


def test_a_pass_that_begins_to_draw_random_numbers_leaves_the_global_generator_as_it_was():
    model, images = _model(lambda: structures.UqBox(8)), torch.rand(1, 1, 32, 64)
    before = torch.get_rng_state()
    for _ in range(2):
        fastpunet.sample(model, images, 2, seed=0)
        assert torch.equal(torch.get_rng_state(), before)

"""What foreign models do around their combiner: how they call it, what they draw, and what they make of its logits."""

import pytest
import torch
from helpers.peers import Combiner, ImageOnly, L, Peer, Tempered, layers
from torch import nn

import fastpunet
from fastpunet.latents import Noise

pytestmark = pytest.mark.filterwarnings("ignore:the model's combiner")


def _model(make):
    torch.manual_seed(0)
    return make().train()


def test_latents_that_the_models_own_code_changes_are_drawn_by_that_code():
    """Each is a function of (seed, id, k) alone, whatever the batch and n."""
    model, images = _model(Tempered), torch.rand(2, 1, 8, 8)
    sampler, noise = fastpunet.Sampler(model), Noise(3, torch.tensor([5, 6]), 0, 400)
    z = sampler.encode(images).prior.latents(noise)
    prior = model.prior(images)
    torch.testing.assert_close(z.mean(1), 0.5 * prior.mean.detach(), atol=0.2, rtol=0)
    torch.testing.assert_close(z.std(1), 0.5 * prior.stddev.detach(), atol=0, rtol=0.2)
    later = sampler.encode(images[1:]).prior.latents(Noise(3, torch.tensor([6]), 7, 4))
    torch.testing.assert_close(later, z[1:, 7:11])


def test_latents_that_a_forward_pass_changes_are_drawn_by_that_pass():
    class Flow(ImageOnly):
        def forward(self, x):
            features, prior = self.unet(x), self.prior(x)
            return self.fcomb(features, prior.rsample().exp())

    model, images = _model(Flow), torch.rand(1, 1, 8, 8)
    z = fastpunet.Sampler(model).encode(images).prior.latents(Noise(3, torch.tensor([0]), 0, 200))
    assert (z > 0).all()
    torch.testing.assert_close(z.log().mean(1), model.prior(images).mean.detach(), atol=0.3, rtol=0)


def test_latents_that_never_change_are_said():
    class Fixed(Peer):
        def sample(self, testing=False):  # noqa: ARG002
            return self.fcomb(self.unet_features, self.prior_latent_space.mean + 1)

    with pytest.warns(UserWarning, match="gives its combiner the same latents in every call") as caught:
        fastpunet.sample(_model(Fixed), torch.rand(2, 1, 8, 8), 2)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: (x, 1.0),
        lambda x: {"probabilities": x.softmax(1)},
        lambda x: x.log_softmax(1),
        lambda x: x.argmax(1),
        lambda x: x.argmax(1, keepdim=True),
    ],
)
def test_what_sample_returns_may_be_logits_probabilities_or_labels(change):
    class Returning(Peer):
        def sample(self, testing=False):
            return change(super().sample(testing))

    model, images = _model(Returning), torch.rand(2, 1, 8, 8)
    expected = fastpunet.sample(_model(Peer), images, 3, seed=1, output="logits")
    torch.testing.assert_close(fastpunet.sample(model, images, 3, seed=1, output="logits"), expected)


def test_logits_may_become_probabilities_in_place():
    class Editing(Peer):
        def sample(self, testing=False):
            return super().sample(testing).sigmoid_()

    images = torch.rand(2, 1, 8, 8)
    expected = fastpunet.sample(_model(Peer), images, 3, seed=1, output="logits")
    torch.testing.assert_close(fastpunet.sample(_model(Editing), images, 3, seed=1, output="logits"), expected)


@pytest.mark.parametrize("edit", [lambda x: x.mul_(0.5), lambda x: x[:, 1].sub_(3), lambda x: x.data.neg_()])
def test_what_sample_does_to_logits_in_place_is_not_left_out(edit):
    class Editing(Peer):
        def sample(self, testing=False):
            logits = super().sample(testing)
            edit(logits)
            return logits

    with pytest.raises(TypeError, match=r"^model: its own code returns a tensor .*, which is neither the last output"):
        fastpunet.sample(_model(Editing), torch.rand(2, 1, 8, 8), 2)


class _Switching(Combiner):
    def __init__(self):
        super().__init__(layers(norm="after"))
        self.change = None

    def forward(self, features, z):
        return super().forward(features, z if self.change is None else self.change(z))


SWITCHES = {
    "training mode": lambda combiner: combiner.train(),
    "an attribute": lambda combiner: setattr(combiner, "change", lambda z: 2 * z),
    "a branch that no latent here takes": lambda combiner: setattr(combiner, "change", lambda z: z.clamp(-9, 9)),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_combiner_that_is_changed_for_the_call_is_refused(name):
    class Switched(Peer):
        def sample(self, testing=False):
            SWITCHES[name](self.fcomb)
            try:
                return super().sample(testing)
            finally:
                self.fcomb.eval().change = None

    with pytest.raises(ValueError, match="^model: its combiner, a _Switching, gives something else when the model's"):
        fastpunet.sample(_model(lambda: Switched(combiner=_Switching())), torch.rand(2, 1, 8, 8), 2)


@pytest.mark.parametrize("edit", [lambda features, _: features.zero_(), lambda _, z: z.mul_(2)])
def test_what_the_combiner_was_given_must_stay_as_it_is(edit):
    class Editing(Peer):
        def sample(self, testing=False):  # noqa: ARG002
            z = self.prior_latent_space.sample()
            logits = self.fcomb(self.unet_features, z)
            edit(self.unet_features, z)
            return logits

    with pytest.raises(TypeError, match="^model: its own code edits features or latents in place after"):
        fastpunet.sample(_model(Editing), torch.rand(2, 1, 8, 8), 2)


@pytest.mark.parametrize("change", [lambda x: x / 2, lambda x: x.flip(1), lambda x: x.round(), lambda x: x[..., ::2]])
def test_what_sample_makes_of_logits_is_not_left_out(change):
    class Changing(Peer):
        def sample(self, testing=False):
            return change(super().sample(testing))

    with pytest.raises(
        TypeError, match=r"^model: its own code returns a tensor .*, which is neither the last output of its combiner"
    ):
        fastpunet.sample(_model(Changing), torch.rand(2, 1, 8, 8), 2)


class _Joins(Peer):
    """Concatenates features and z itself, for a combiner that takes them as one."""

    latents_first = False

    def combined(self, x, z):
        Peer.forward(self, x)
        return self.fcomb(Combiner(None, self.latents_first).join(self.unet_features, z))

    def sample(self, testing=False):  # noqa: ARG002
        z = self.prior_latent_space.sample()
        return self.fcomb(Combiner(None, self.latents_first).join(self.unet_features, z))


class _Tiled(Peer):
    """Hands z over at every pixel."""

    def sample(self, testing=False):  # noqa: ARG002
        z = self.prior_latent_space.sample()[..., None, None].expand(-1, -1, *self.unet_features.shape[2:])
        return self.fcomb(z=z, features=self.unet_features)


class _TakesMaps(Combiner):
    def forward(self, features, z):
        return self.net(torch.cat((features, z), 1))


class _Optional(Combiner):
    """Computes something else by default than as its model calls it."""

    def forward(self, features, z, scale=1.0):
        return super().forward(features * scale, z)


class _Doubling(Peer):
    def sample(self, testing=False):  # noqa: ARG002
        return self.fcomb(self.unet_features, self.prior_latent_space.sample(), scale=2.0)


@pytest.mark.parametrize("latents_first", [False, True])
def test_a_combiner_that_is_given_both_in_one_is_called_so(latents_first):
    for net in (layers(), layers(nn.GELU)):
        model = _model(lambda net=net: _Joins(combiner=net))
        model.latents_first = latents_first
        images, z = torch.rand(2, 1, 8, 8), torch.randn(2, 1, L)
        sampler = fastpunet.Sampler(model, precision="ieee")
        got = sampler.decode(sampler.encode(images), z, output="logits")[:, 0]
        torch.testing.assert_close(got, model.combined(images, z[:, 0]).detach())


def test_latents_at_every_pixel_and_other_arguments_are_given_as_the_model_does():
    images, z = torch.rand(2, 1, 8, 8), torch.randn(2, 1, L)
    for model in (_model(lambda: _Tiled(combiner=_TakesMaps())), _model(lambda: _Doubling(combiner=_Optional()))):
        sampler = fastpunet.Sampler(model, precision="ieee")
        got = sampler.decode(sampler.encode(images), z, output="logits")[:, 0]
        model(images)
        features, tiled = model.unet_features, z[:, 0, :, None, None].expand(-1, -1, 8, 8)
        own = (
            model.fcomb(features, z[:, 0], scale=2.0) if isinstance(model, _Doubling) else model.fcomb(features, tiled)
        )
        torch.testing.assert_close(got, own.detach())

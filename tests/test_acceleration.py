"""accelerate: a model's own loop, the same hypotheses, faster, and everything else as it was."""

import copy
import pickle

import pytest
import torch
from helpers.peers import C, Combiner, L, NeedsAxes, Peer, Skip, Swapped, WithEnd, layers
from torch import nn

import fastpunet
from benchmarks.port import PortModel
from fastpunet.acceleration import decoding


@pytest.fixture
def port():
    torch.manual_seed(0)
    return PortModel(1, 3, (8, 12), 3).eval()


def _loop(model, image, count=4):
    torch.manual_seed(5)
    with torch.no_grad():
        model(image, None, training=False)
        return torch.stack([model.sample(testing=True) for _ in range(count)])


def _assert_close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_loop_gives_the_same_hypotheses_without_the_models_own_layers(port, monkeypatch):
    image = torch.rand(2, 1, 16, 24)
    expected, ran, own = _loop(port, image), [], type(port.fcomb).forward
    monkeypatch.setattr(type(port.fcomb), "forward", lambda *args: ran.append(1) or own(*args))
    assert fastpunet.accelerate(port) is port
    _assert_close(_loop(port, image), expected)  # which compares both forms once
    assert ran
    ran.clear()
    _assert_close(_loop(port, image), expected)
    assert not ran
    assert port.z_prior_sample.shape == (2, 3)


def test_new_images_and_new_weights_are_seen_and_it_can_be_undone(port):
    images = torch.rand(2, 1, 1, 16, 16)
    fastpunet.accelerate(port)
    first = _loop(port, images[0])
    second = _loop(port, images[1])
    with torch.no_grad():
        port.fcomb.layers[0].weight.mul_(2)
        changed = _loop(port, images[1])
    del port.fcomb.forward
    assert not torch.allclose(first, second)
    _assert_close(changed, _loop(port, images[1]))
    assert not torch.allclose(changed, second)


def test_gradients_still_flow(port):
    fastpunet.accelerate(port)
    port.unet.requires_grad_(False)
    port.prior.requires_grad_(False)
    port(torch.rand(1, 1, 16, 16), None, training=False)
    port.sample(testing=False).sum().backward()
    assert port.fcomb.layers[0].weight.grad.abs().sum() > 0


def test_inference_mode_works(port):
    image = torch.rand(1, 1, 16, 16)
    expected = _loop(port, image)
    fastpunet.accelerate(port)
    with torch.inference_mode():
        _assert_close(_loop(port, image), expected)


def test_copies_are_of_their_own(port):
    fastpunet.accelerate(port)
    image = torch.rand(1, 1, 16, 16)
    expected = _loop(port, image)
    for twin in (copy.deepcopy(port), pickle.loads(pickle.dumps(port))):
        torch.testing.assert_close(_loop(twin, image), expected)
        with torch.no_grad():
            twin.fcomb.last_layer.bias.add_(100)
        torch.testing.assert_close(_loop(twin, image), expected + 100)
    torch.testing.assert_close(_loop(port, image), expected)
    shallow = copy.copy(port)
    shallow.unet_features, shallow.prior_latent_space = None, None
    torch.testing.assert_close(_loop(shallow, image), expected)
    torch.testing.assert_close(_loop(port, image), expected)


class _OwnSample(Peer):
    """A `sample` with a meaning of its own."""

    def sample(self, testing=False, mode="mean"):
        z = self.prior_latent_space.mean if mode == "mean" else super().sample(testing)
        return (self.fcomb(self.unet_features, z).sigmoid(), z) if mode == "mean" else z.sigmoid()


def test_the_models_own_sample_keeps_its_meaning():
    torch.manual_seed(0)
    model, image = _OwnSample().eval(), torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        model(image)
        expected = model.sample()
        fastpunet.accelerate(model)
        got = model.sample()
        _assert_close(got[0], expected[0])
        assert torch.equal(got[1], expected[1])
        torch.manual_seed(1)
        drawn = model.sample(testing=True, mode="random")
        del model.fcomb.forward
        torch.manual_seed(1)
        _assert_close(drawn, model.sample(testing=True, mode="random"))


@pytest.mark.parametrize(
    "combiner",
    [
        lambda: Combiner(layers(lambda: nn.LeakyReLU(0.1), norm="before")),
        lambda: Combiner(latents_first=True),
        lambda: WithEnd(lambda x: x.softmax(1)),
        lambda: WithEnd(torch.sigmoid),
        Skip,
        NeedsAxes,
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_combiner_gives_what_it_gave(combiner, dtype):
    torch.manual_seed(0)
    model = Peer(combiner=combiner()).eval().to(dtype)
    features, z = torch.rand(2, C, 6, 7, dtype=dtype), torch.randn(2, L, dtype=dtype)
    z = z[..., None, None] if combiner is NeedsAxes else z
    with torch.no_grad():
        expected = model.fcomb(features, z)
        fastpunet.accelerate(model)
        for _ in range(2):
            got = model.fcomb(features, z)
            assert got.dtype == dtype
            _assert_close(got, expected)


def test_a_combiner_that_takes_its_arguments_the_other_way_round():
    model = Peer(combiner=Swapped()).eval()
    features, z = torch.rand(2, C, 6, 7), torch.randn(2, L)
    with torch.no_grad():
        expected = model.fcomb(z, features)
        _assert_close(fastpunet.accelerate(model).fcomb(z, features), expected)


def test_training_mode_keeps_dropout_and_running_means():
    model = Peer(combiner=Combiner(layers(norm="before"))).train()
    fastpunet.accelerate(model)
    before = model.fcomb.net[1].running_mean.clone()
    with torch.no_grad():
        model.fcomb(torch.rand(2, C, 4, 4), torch.randn(2, L))
    assert not torch.equal(model.fcomb.net[1].running_mean, before)


def test_calls_of_another_kind_reach_the_combiner_itself(port):
    fastpunet.accelerate(port)
    with torch.no_grad():
        features, z = torch.rand(2, 8, 4, 4), torch.randn(2, 3)
        named = port.fcomb(feature_map=features, z=z)
        _assert_close(named, port.fcomb(features, z))
        with pytest.raises(TypeError):
            port.fcomb(features)


def test_sampling_an_accelerated_model_compares_with_its_own_combiner():
    """The replaced forward pass would agree with the kernels whatever the combiner does."""
    torch.manual_seed(0)
    model, x, z = Peer(combiner=Skip()).eval(), torch.rand(1, 1, 8, 8), torch.randn(1, 1, L)
    with torch.no_grad():
        own = model.combined(x, z[:, 0])
    fastpunet.accelerate(model)
    sampler = fastpunet.Sampler(model)
    with pytest.warns(UserWarning, match="decodes by its own forward pass"):
        encoding = sampler.encode(x)
    torch.testing.assert_close(sampler.decode(encoding, z, output="logits")[:, 0], own)


def test_a_combiner_is_verified_once_and_without_its_replaced_forward_pass(monkeypatch):
    """Else each verification would begin another, until Python's stack is full."""
    verified = []
    verify = decoding.verify
    monkeypatch.setattr(decoding, "verify", lambda *given: (verified.append(given), verify(*given))[1])
    model = fastpunet.accelerate(Peer(combiner=Skip()).eval())
    with pytest.warns(UserWarning, match="decodes by its own forward pass"):
        fastpunet.sample(model, torch.rand(1, 1, 8, 8), 3, seed=0)
    assert 1 <= len(verified) <= 3


@pytest.mark.parametrize("model", [nn.Linear(1, 1), fastpunet.ProbabilisticUNet(channels=(4,))])
def test_models_without_that_loop_are_refused(model):
    with pytest.raises(TypeError, match="^model: got"):
        fastpunet.accelerate(model)


def test_combiners_that_cannot_be_read_are_refused():
    with pytest.raises(ValueError, match="^model: its combiner cannot be read .* it has the module GELU"):
        fastpunet.accelerate(Peer(combiner=Combiner(layers(nn.GELU))))
    model = Peer()
    model.fcomb.forward = lambda *_: 0
    with pytest.raises(TypeError, match="was replaced by other code"):
        fastpunet.accelerate(model)


class _Limited(Combiner):
    @property
    def of_property(self):
        return None

    @staticmethod
    def of_function():
        return None

    def limited(self, z):
        for limit in (self.of_property, self.of_function()):
            z = z if limit is None else z.clamp(-limit, limit)
        return z

    def forward(self, features, z):
        return super().forward(features, self.limited(z))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("of_property", property(lambda _: 1.0)),
        ("of_function", staticmethod(lambda: 1.0)),
        ("limited", lambda _, z: z.clamp(-1, 1)),
    ],
)
def test_a_method_of_the_class_may_be_replaced(name, value, monkeypatch):
    model, features, z = Peer(combiner=_Limited()).eval(), torch.rand(2, C, 6, 7), 5 * torch.randn(2, L)
    fastpunet.accelerate(model)
    with torch.no_grad():
        for _ in range(2):
            model.fcomb(features, z)
        monkeypatch.setattr(_Limited, name, value)
        _assert_close(model.fcomb(features, z), _Limited.forward(model.fcomb, features, z))

"""A combiner that was verified is only confirmed afterwards, as long as its own call runs the same operators."""

import gc
import pickle
import weakref
from types import MethodType, SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.peers import Combiner, L, Peer, Tempered
from torch import nn

import fastpunet
from fastpunet.latents import Noise
from fastpunet.models.adapters import adapted
from fastpunet.models.adapters.adapted import OwnEncoding, VerifiedEncoding
from fastpunet.models.confirmation import confirm
from fastpunet.models.verification import verify

pytestmark = pytest.mark.filterwarnings("ignore:the model's combiner")
LIMIT = None  # a global variable
FAR = 3.0  # no latent that a model draws here is as large


def _limited(z, limit):
    return z if limit is None else z.clamp(-limit, limit)


class Layered(Combiner):
    """Reads a limit of its latents from everywhere."""

    gain = 1.0  # of the class
    settings_class = type("Settings", (), {"limit": None})

    def __init__(self):
        super().__init__()
        self.slope, self.settings, self.noted = 0.0, {"gains": [1.0, 1.0]}, SimpleNamespace(limit=None)
        self.threshold = nn.Parameter(torch.tensor(1e4))

    @property
    def of_property(self):
        return None

    @staticmethod
    def of_function():
        return None

    def joined(self, features, z):
        for limit in (LIMIT, self.of_property, self.of_function(), self.settings_class.limit, self.noted.limit):
            z = _limited(z, limit)
        return self.join(features, z) * self.settings["gains"][0] * self.gain

    def forward(self, features, z):
        joined = self.joined(features, z)
        return self.net(joined) + self.slope * joined[:, :1] * joined[:, 1:2]


def _model(combiner=Layered):
    torch.manual_seed(0)
    return Peer(combiner=combiner()).eval()


@pytest.fixture
def counted(monkeypatch):
    """How often the whole comparison was made, and how often the short one was enough."""
    counts = {"verify": 0, "confirm": 0}

    def count(name, function):
        def call(*args):
            result = function(*args)
            counts[name] += name == "verify" or result is not None
            return result

        return call

    monkeypatch.setattr(adapted, "verify", count("verify", verify))
    monkeypatch.setattr(adapted, "confirm", count("confirm", confirm))
    return counts


def _own(model, images, z):
    with torch.no_grad():
        return torch.stack([model.combined(images, z[:, k]) for k in range(z.shape[1])], 1)


def test_the_whole_comparison_is_made_once_for_a_shape(counted):
    model = _model()
    for size, expected in ((8, (1, 0)), (8, (1, 1)), (12, (2, 1)), (8, (2, 2)), (12, (2, 3)), (9, (3, 3)), (9, (3, 4))):
        fastpunet.sample(model, torch.rand(2, 1, size, 8), 2)
        assert tuple(counted.values()) == expected


def test_weights_of_now_are_confirmed(counted):
    model, images, z = _model(), torch.rand(2, 1, 8, 8), torch.randn(2, 3, L)
    fastpunet.sample(model, images, 2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.data.add_(0.1 * torch.randn_like(weight))
    sampler = fastpunet.Sampler(model, precision="ieee")
    got = sampler.decode(sampler.encode(images), z, output="logits")
    torch.testing.assert_close(got, _own(model, images, z), rtol=1e-4, atol=1e-5)
    assert counted == {"verify": 1, "confirm": 1}


def _replace(combiner):
    combiner.net[1] = nn.Tanh()


def _hook(combiner):
    combiner.net[1].register_forward_hook(lambda module, inputs, output: 2 * output)  # noqa: ARG005


def _hook_outside(combiner):
    combiner.register_forward_hook(lambda module, inputs, output: output.clamp(-1e4, 1e4))  # noqa: ARG005


def _method(combiner):
    combiner.joined = MethodType(lambda self, features, z: self.join(features, z).abs(), combiner)


CHANGES = {
    "a layer": lambda combiner, _: _replace(combiner),
    "a hook": lambda combiner, _: _hook(combiner),
    "a hook of the whole": lambda combiner, _: _hook_outside(combiner),
    "a number": lambda combiner, _: setattr(combiner, "slope", 0.5),
    "a number in a container": lambda combiner, _: combiner.settings["gains"].__setitem__(0, 2.0),
    "a number of the class": lambda _, patch: patch.setattr(Layered, "gain", 2.0),
    "a method": lambda combiner, _: _method(combiner),
    # From here on, only latents that are larger than those of the model's own call are changed.
    "a limit in an object": lambda combiner, _: setattr(combiner.noted, "limit", FAR),
    "a limit in another class": lambda _, patch: patch.setattr(Layered.settings_class, "limit", FAR),
    "a property of the class": lambda _, patch: patch.setattr(Layered, "of_property", property(lambda _: FAR)),
    "a function of the class": lambda _, patch: patch.setattr(Layered, "of_function", staticmethod(lambda: FAR)),
    "a global variable": lambda _, patch: patch.setattr(f"{__name__}.LIMIT", FAR),
    "a class of PyTorch": lambda _, patch: patch.setattr(
        nn.ReLU, "forward", lambda _, x: torch.nn.functional.hardtanh(x, 0, 50)
    ),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("through_sample", [True, False])
def test_whatever_else_changes_leads_to_the_models_own_logits(name, through_sample, monkeypatch):
    model, images, z = _model(), torch.rand(2, 1, 8, 8), torch.randn(2, 4, L)
    z[:, 1:] *= torch.tensor([5.0, 20.0, 100.0])[:, None]
    if not through_sample:
        model.sample = None
    sampler = fastpunet.Sampler(model, precision="ieee")
    assert isinstance(sampler.encode(images), VerifiedEncoding)
    CHANGES[name](model.fcomb, monkeypatch)
    encoding = sampler.encode(images)
    assert isinstance(encoding, OwnEncoding)
    got = sampler.decode(encoding, z, output="logits")
    torch.testing.assert_close(got, _own(model, images, z), rtol=1e-4, atol=1e-5)


class Bending(Combiner):
    """An activation that is none of its layers, and does nothing until its threshold is lowered."""

    def __init__(self, sign):
        super().__init__()
        self.sign, self.threshold = sign, nn.Parameter(torch.tensor(1e4))

    def forward(self, features, z):
        return super().forward(features, z) + (self.sign * z.mean(1)[:, None, None, None] - self.threshold).relu()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_weight_that_moves_an_activation_of_no_layer_is_seen_far_away(sign):
    model, images = _model(lambda: Bending(sign)), torch.rand(2, 1, 8, 8)
    sampler = fastpunet.Sampler(model)
    assert isinstance(sampler.encode(images), VerifiedEncoding)
    model.fcomb.threshold.data.fill_(FAR)
    assert isinstance(sampler.encode(images), OwnEncoding)


class Gaining(Combiner):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(L))

    def forward(self, features, z):
        return super().forward(features, z * self.gain)


LATENTS = {
    "the mean": lambda prior: prior.mean,
    "a constant": lambda prior: torch.zeros_like(prior.mean),
    "a draw with zeros": lambda prior: prior.sample() * torch.tensor([0.0, 1, 1]),
}


@pytest.mark.filterwarnings("ignore:the model's own code gives its combiner the same latents")
@pytest.mark.parametrize("name", LATENTS)
def test_latents_that_hide_a_factor_confirm_nothing(name):
    class Zero(Peer):
        def sample(self, testing=False):  # noqa: ARG002
            return self.fcomb(self.unet_features, LATENTS[name](self.prior_latent_space))

    model, images = Zero(combiner=Gaining()).eval(), torch.rand(2, 1, 8, 8)
    for weight in model.prior.parameters():
        weight.data.zero_()  # then the mean is 0
    sampler = fastpunet.Sampler(model)
    for _ in range(2):
        assert isinstance(sampler.encode(images), VerifiedEncoding)
    model.fcomb.gain.data[0] = 2
    assert isinstance(sampler.encode(images), OwnEncoding)


class Handed(Peer):
    """Hands an object to its combiner besides."""

    def sample(self, testing=False):  # noqa: ARG002
        return self.fcomb(self.unet_features, self.prior_latent_space.sample(), self.handed)


class Taking(Combiner):
    def forward(self, features, z, limits):
        return super().forward(features, _limited(z, limits[0]))


def test_an_argument_may_be_of_any_kind_and_change_in_place(counted):
    model, images = Handed(combiner=Taking()).eval(), torch.rand(2, 1, 8, 8)
    model.handed = np.array([None, 1, 2], dtype=object)
    sampler = fastpunet.Sampler(model)
    for _ in range(2):
        assert isinstance(sampler.encode(images), VerifiedEncoding)
    assert counted == {"verify": 1, "confirm": 1}
    model.handed[0] = FAR
    assert isinstance(sampler.encode(images), OwnEncoding)


def test_attributes_of_any_kind_cost_no_comparison_and_are_not_kept(counted):
    class Odd(Combiner):
        def __init__(self):
            super().__init__()
            self.cyclic, self.layers = [], [self.net[0]]
            self.cyclic.append(self.cyclic)
            trainer = type("Trainer", (), {})()
            self.trainer = weakref.proxy(trainer)  # which will be gone
            self.closed = lambda x: self.net(x)

        def forward(self, features, z):
            self.last = self.join(features, z)
            return self.closed(self.last)

    model, images = _model(Odd), torch.rand(2, 1, 24, 8)
    sampler = fastpunet.Sampler(model)
    for _ in range(3):
        sampler.sample(images, 2)
    assert counted == {"verify": 1, "confirm": 2}
    gc.collect()
    maps = [kept for kept in gc.get_objects() if type(kept) is torch.Tensor and kept.shape[2:] == (24, 8)]
    assert len(maps) == 1  # the images


def test_single_images_that_a_prior_is_read_from_leave_the_batch_confirmed(counted):
    torch.manual_seed(0)
    model = Tempered().eval()
    for _ in range(2):
        fastpunet.sample(model, torch.rand(2, 1, 8, 8), 2)
    assert counted == {"verify": 1, "confirm": 1}


def test_a_sampler_can_be_pickled_after_it_has_sampled():
    sampler, images = fastpunet.Sampler(Peer().eval()), torch.rand(2, 1, 8, 8)
    expected = sampler.sample(images, 3, seed=1)
    assert torch.equal(pickle.loads(pickle.dumps(sampler)).sample(images, 3, seed=1), expected)


class _Rarely(Peer):
    bound = 100.0

    def sample(self, testing=False):  # noqa: ARG002
        prior = self.prior_latent_space
        z = (prior.sample() - prior.mean) / prior.stddev
        return self.fcomb(self.unet_features, prior.mean + prior.stddev * z.clamp(-self.bound, self.bound))


def test_draws_are_compared_on_with_each_pass():
    torch.manual_seed(0)
    model, images = _Rarely().eval(), torch.rand(1, 1, 8, 8)
    fastpunet.sample(model, images, 2)
    model.bound = 1.8  # which one draw in five exceeds
    spread = []
    for _ in range(40):
        encoding = fastpunet.Sampler(model).encode(images)
        prior = model.prior(images)
        z = encoding.prior.latents(Noise(3, torch.arange(1), 0, 100))
        spread.append(((z - prior.mean[:, None]) / prior.stddev[:, None]).abs().max())
    assert spread[-1] < 1.81

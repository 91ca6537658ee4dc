"""A combiner that was verified is only confirmed afterwards, unless anything but its weights has changed."""

from types import MethodType

import pytest
import torch
from helpers.peers import Combiner, L, Peer
from torch import nn

import fastpunet
from fastpunet.latents import Noise
from fastpunet.models.adapters import adapted
from fastpunet.models.adapters.adapted import OwnEncoding, VerifiedEncoding
from fastpunet.models.confirmation import confirm
from fastpunet.models.structure import structure_of
from fastpunet.models.verification import verify

pytestmark = pytest.mark.filterwarnings("ignore:the model's combiner")
FACTOR = 1.0  # a global variable, which no structure shows


class Layered(Combiner):
    gain = 1.0  # of the class

    def __init__(self):
        super().__init__()
        self.slope, self.settings = 0.0, {"gains": [1.0, 1.0]}

    def joined(self, features, z):
        return self.join(features, z) * self.settings["gains"][0] * self.gain

    def forward(self, features, z):
        joined = self.joined(features, z)
        return self.net(joined) * FACTOR + self.slope * joined[:, :1] * joined[:, 1:2]


def _model():
    torch.manual_seed(0)
    return Peer(combiner=Layered()).eval()


@pytest.fixture
def counted(monkeypatch):
    """How often the whole comparison and the short one run."""
    counts = {"verify": 0, "confirm": 0}

    def count(name, function):
        def call(*args):
            counts[name] += 1
            return function(*args)

        return call

    monkeypatch.setattr(adapted, "verify", count("verify", verify))
    monkeypatch.setattr(adapted, "confirm", count("confirm", confirm))
    return counts


def test_the_whole_comparison_is_made_once_for_a_shape(counted):
    model = _model()
    for size, expected in ((8, (1, 0)), (8, (1, 1)), (12, (2, 1)), (8, (2, 2)), (12, (2, 3))):
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
    with torch.no_grad():
        own = torch.stack([model.combined(images, z[:, k]) for k in range(3)], 1)
    torch.testing.assert_close(got, own, rtol=1e-4, atol=1e-5)
    assert counted == {"verify": 1, "confirm": 1}


def _replace(combiner):
    combiner.net[1] = nn.Tanh()


def _hook(combiner):
    combiner.net[1].register_forward_hook(lambda module, inputs, output: 2 * output)  # noqa: ARG005


def _method(combiner):
    combiner.joined = MethodType(lambda self, features, z: self.join(features, z).abs(), combiner)


def _class_method(monkeypatch):
    monkeypatch.setattr(Layered, "joined", lambda self, features, z: self.join(features, z).clamp(-1e4, 1e4))


def _class_data(monkeypatch):
    monkeypatch.setattr(Layered, "gain", 2.0)


def _global(monkeypatch):
    monkeypatch.setattr(f"{__name__}.FACTOR", 3.0)


CHANGES = {
    "a layer": lambda combiner, _: _replace(combiner),
    "a hook": lambda combiner, _: _hook(combiner),
    "a number": lambda combiner, _: setattr(combiner, "slope", 0.5),
    "a number in a container": lambda combiner, _: combiner.settings["gains"].__setitem__(0, 2.0),
    "a method": lambda combiner, _: _method(combiner),
    "a method of the class": lambda _, monkeypatch: _class_method(monkeypatch),
    "a number of the class": lambda _, monkeypatch: _class_data(monkeypatch),
    "a global variable": lambda _, monkeypatch: _global(monkeypatch),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("through_sample", [True, False])
def test_whatever_else_changes_leads_to_the_models_own_logits(name, through_sample, monkeypatch):
    model, images, z = _model(), torch.rand(2, 1, 8, 8), torch.randn(2, 3, L)
    if not through_sample:
        model.sample = None
    sampler = fastpunet.Sampler(model, precision="ieee")
    assert isinstance(sampler.encode(images), VerifiedEncoding)
    CHANGES[name](model.fcomb, monkeypatch)
    encoding = sampler.encode(images)
    assert isinstance(encoding, OwnEncoding)
    with torch.no_grad():
        own = torch.stack([model.combined(images, z[:, k]) for k in range(3)], 1)
    torch.testing.assert_close(sampler.decode(encoding, z, output="logits"), own, rtol=1e-4, atol=1e-5)


def test_a_structure_is_the_same_for_equal_modules_and_none_for_what_cannot_be_compared():
    one, other = Layered(), Layered()
    assert structure_of(one) == structure_of(other)
    for change in ("a layer", "a number", "a number in a container"):
        changed = Layered()
        CHANGES[change](changed, None)
        assert structure_of(changed) not in (None, structure_of(one))
    one.helper = object()
    assert structure_of(one) is None
    _hook(other)
    assert structure_of(other) is None


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

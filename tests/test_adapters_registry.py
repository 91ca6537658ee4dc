"""adapt and register: models that are recognised, taught, described by hand, or refused with advice."""

import pytest
import torch
from helpers.peers import C, Combiner, L, Peer, Prior, Unet
from torch import nn
from torch.distributions import MultivariateNormal, Normal

import fastpunet
from fastpunet.models.adapters import registry


class _Other(nn.Module):
    """Has its parts under names that nobody knows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone, self.gaussian, self.mixer = Unet(), Prior(lambda m, s: (m, s)), Combiner()
        self.drop = nn.Dropout(0.5)

    def own(self, x, z):
        return self.mixer(self.backbone(x), z)


def _logits(method, x, z):
    sampler = fastpunet.Sampler(method)
    return sampler.decode(sampler.encode(x), z, output="logits")[:, 0]


def test_our_own_methods_are_handed_back():
    model = fastpunet.models.ProbabilisticUNet(channels=(4,), latent_dim=2)
    assert fastpunet.adapt(model) is model
    assert fastpunet.adapt(nn.DataParallel(model)) is model


def test_a_model_is_described_by_hand():
    model, x, z = _Other(), torch.rand(2, 1, 8, 8), torch.randn(2, 1, L)

    def encode(images):
        mu, log_sigma = model.gaussian(images)
        return model.backbone(model.drop(images)), (mu, log_sigma.exp())

    method = fastpunet.adapt(model, encode=encode, combiner=model.mixer)
    own = model.own(x, z[:, 0]).detach()
    model.train()  # the dropout in `encode`, which reaches the model by its closure, is in evaluation mode all the same
    torch.testing.assert_close(_logits(method, x, z), own)
    prior = fastpunet.Sampler(method).encode(x).prior
    torch.testing.assert_close(prior.sigma, model.gaussian(x)[1].exp().detach())


@pytest.mark.parametrize(
    ("prior", "sigma"),
    [
        (lambda *_: None, torch.ones(2, L)),
        (lambda m, _: Normal(m, torch.full_like(m, 3.0)), torch.full((2, L), 3.0)),
        (lambda m, _: {"mu": m, "log_sigma": torch.zeros_like(m)}, torch.ones(2, L)),
    ],
)
def test_priors_by_hand(prior, sigma):
    model, x = _Other(), torch.rand(2, 1, 8, 8)
    method = fastpunet.adapt(
        model, encode=lambda x: (model.backbone(x), prior(*model.gaussian(x))), combiner=model.mixer
    )
    encoding = fastpunet.Sampler(method).encode(x)
    torch.testing.assert_close(encoding.prior.sigma, sigma)


def test_a_full_covariance_by_hand():
    model, tril = _Other(), torch.tensor([[1.0, 0, 0], [0.95, 0.3, 0], [0, 0, 1]])
    method = fastpunet.adapt(
        model,
        encode=lambda x: (model.backbone(x), MultivariateNormal(model.gaussian(x)[0], scale_tril=tril)),
        combiner=model.mixer,
    )
    torch.testing.assert_close(fastpunet.Sampler(method).encode(torch.rand(2, 1, 8, 8)).prior.factor[0], tril)


@pytest.mark.parametrize(
    ("encode", "error", "message"),
    [
        (lambda x: x, TypeError, r"^encode: got a tensor \(1, 1, 8, 8\), expected a pair"),
        (lambda x: (x[..., :4], None), ValueError, r"^model: its features are \(1, 1, 8, 4\), expected"),
        (lambda x: ("features", (x, x)), ValueError, "^model: its features are str"),
        (lambda x: (x, (x.mean((2, 3)), "sigma")), TypeError, "^model: its prior gives"),
    ],
)
def test_what_encode_returns_is_checked(encode, error, message):
    model = _Other()
    with pytest.raises(error, match=message):
        fastpunet.sample(fastpunet.adapt(model, encode=encode, combiner=model.mixer), torch.rand(1, 1, 8, 8), 2)


def test_arguments_that_do_not_fit_are_named():
    model = _Other()
    with pytest.raises(TypeError, match="^encode, combiner: got one of them"):
        fastpunet.adapt(model, encode=lambda x: x)
    with pytest.raises(TypeError, match="^combiner: got function, expected a torch.nn.Module"):
        fastpunet.adapt(model, encode=lambda x: x, combiner=lambda f, _: f)
    with pytest.raises(TypeError, match="^encode: got int"):
        fastpunet.adapt(model, encode=1, combiner=model.mixer)
    for other in (None, 1, "model.pt"):
        with pytest.raises(TypeError, match=f"^model: got {type(other).__name__}, expected a fastpunet model"):
            fastpunet.adapt(other)
    with pytest.raises(TypeError, match="^model: got _Other without unet, prior, fcomb, expected .*fastpunet.adapt"):
        fastpunet.adapt(model)
    two = nn.ModuleDict({"a": Peer(), "b": Peer()})
    with pytest.raises(TypeError, match="^model: got ModuleDict without"):
        fastpunet.adapt(two)


def test_a_kind_of_model_is_registered(monkeypatch):
    monkeypatch.setattr(registry, "_registered", [])
    model, x, z = _Other(), torch.rand(1, 1, 8, 8), torch.randn(1, 1, L)

    def wrap(model):
        return fastpunet.adapt(model, encode=lambda x: (model.backbone(x), None), combiner=model.mixer)

    fastpunet.register(lambda model: isinstance(model, _Other), wrap)
    torch.testing.assert_close(_logits(model, x, z), model.own(x, z[:, 0]).detach())
    torch.testing.assert_close(_logits(nn.DataParallel(model), x, z), model.own(x, z[:, 0]).detach())
    fastpunet.register(lambda model: isinstance(model, _Other), lambda _: fastpunet.adapt(Peer()))
    assert isinstance(fastpunet.adapt(model).model, Peer)  # what was registered last is asked first


def test_too_many_classes_are_refused_at_the_door():
    net = nn.Conv2d(C + L, 300, 1)
    with pytest.raises(ValueError, match="^model: got 300 classes, expected at most 256"):
        fastpunet.adapt(Peer(combiner=Combiner(net)))


def test_changes_of_the_live_model_are_seen():
    model, x, z = Peer(), torch.rand(1, 1, 8, 8), torch.randn(1, 1, L)
    sampler = fastpunet.Sampler(model)
    sampler.encode(x)
    model.fcomb = Combiner()
    got = sampler.decode(sampler.encode(x), z, output="logits")[:, 0]
    torch.testing.assert_close(got, model.combined(x, z[:, 0]).detach())

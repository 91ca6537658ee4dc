"""Live models of other makes: drawn as they are, through the kernels where those agree, or refused with the reason."""

import copy
import warnings

import pytest
import torch
from helpers.peers import (
    Combiner,
    Functional,
    ImageOnly,
    K,
    L,
    NeedsAxes,
    Normalising,
    Peer,
    Prior,
    Rolled,
    Skip,
    Swapped,
    Unet,
    WithEnd,
    layers,
)
from torch import nn
from torch.distributions import Normal

import fastpunet
from benchmarks.port import PortModel
from fastpunet.models.adapters.adapted import OwnEncoding, VerifiedEncoding
from fastpunet.models.fcomb import FComb
from fastpunet.models.twin import evaluation_twin
from fastpunet.models.verification import verify

FUSED = {
    "the port's interface": lambda: Peer(),
    "BatchNorm before ReLU": lambda: Peer(combiner=Combiner(layers(norm="before"))),
    "BatchNorm after ReLU": lambda: Peer(combiner=Combiner(layers(norm="after"))),
    "LeakyReLU": lambda: Peer(combiner=Combiner(layers(lambda: nn.LeakyReLU(0.2)))),
    "z before the features": lambda: Peer(combiner=Combiner(latents_first=True)),
    "z with axes": lambda: Peer(combiner=NeedsAxes()),
    "log-softmax inside": lambda: Peer(combiner=WithEnd(lambda x: x.log_softmax(1))),
    "names of lightning-uq-box": lambda: Peer(names=("model", "prior", "fcomb")),
    "other names": lambda: Peer(names=("task_net", "prior_net", "output_net")),
    "private names": lambda: Peer(names=("_unet", "_prior", "_f_comb")),
    "prior beside its encoding": lambda: Peer(prior=Prior(lambda m, s: (m[:, 0], Normal(m, s.exp())))),
    "prior with its statistics": lambda: Peer(prior=Prior(lambda m, s: [Normal(m, s.exp()), m, s])),
    "prior of named statistics": lambda: Peer(prior=Prior(lambda m, s: {"mu": m, "log_var": 2 * s})),
    "prior with axes": lambda: Peer(prior=Prior(lambda m, s: Normal(m[..., None, None], s.exp()[..., None, None]))),
    "images normalised in forward": lambda: Normalising(),
    "images alone, normalised in forward": lambda: ImageOnly(),
    "weights in float64": lambda: Peer().double(),
}
UNFUSED = {
    "bounded activations": lambda: Peer(combiner=Combiner(layers(nn.Hardtanh))),
    "skip": lambda: Peer(combiner=Skip()),
    "z elsewhere": lambda: Peer(combiner=Rolled()),
    "GELU": lambda: Peer(combiner=Combiner(layers(nn.GELU))),
    "functional activations": lambda: Peer(combiner=Functional()),
    "3 x 3": lambda: Peer(combiner=Combiner(nn.Conv2d(8 + L, K, 3, padding=1))),
    "padding of a 1x1, cropped": lambda: Peer(combiner=Combiner(nn.Sequential(_Cropped(8 + L, K, 1, padding=1)))),
}


class _Cropped(nn.Conv2d):
    def forward(self, x):
        return super().forward(x)[..., 1:-1, 1:-1]


def _model(make):
    torch.manual_seed(0)
    return make().train()  # nobody has to call eval()


def _assert_equal_to_its_own(model, images, encoding_kind):
    """Given latents are decoded as by the model itself in evaluation mode, to 1e-6."""
    sampler = fastpunet.Sampler(model, precision="ieee")
    encoding = sampler.encode(images)
    assert type(encoding) is encoding_kind
    z = torch.randn(len(images), 4, L)
    got = sampler.decode(encoding, z, output="logits")
    model = copy.deepcopy(model).eval()
    dtype = next(model.parameters()).dtype
    with torch.no_grad():
        own = torch.stack([model.combined(images.to(dtype), z[:, k].to(dtype)) for k in range(4)], 1)
    assert got.shape == own.shape
    assert ((got - own).norm() / own.norm()).item() <= 1e-6


@pytest.mark.filterwarnings("ignore:the model's `sample`")  # which does not fit the parts
@pytest.mark.parametrize("variant", FUSED)
def test_the_kernels_decode_what_the_models_own_combiner_would(variant):
    model = _model(FUSED[variant])
    if variant == "z with axes":
        model.combined = lambda x, z, own=model.combined: own(x, z[..., None, None])
    _assert_equal_to_its_own(model, torch.rand(2, 1, 16, 24), VerifiedEncoding)


@pytest.mark.parametrize("variant", UNFUSED)
def test_what_the_kernels_cannot_decode_the_models_own_combiner_does(variant):
    with pytest.warns(UserWarning, match="combiner, a .*, decodes by its own forward pass, which is slower"):
        _assert_equal_to_its_own(_model(UNFUSED[variant]), torch.rand(2, 1, 16, 24), OwnEncoding)


@pytest.mark.parametrize(
    "combine",
    [
        lambda own, f, z: own(f.roll(1, 1), z),
        lambda own, f, z: own(f.square(), z),
        lambda own, f, z: own(f, z).clamp(-1, 1),
        lambda own, f, z: own(f.clamp(max=6), z),
    ],
    ids=["features in another order", "square", "bounded logits", "bounded features"],
)
def test_a_first_image_that_shows_nothing_of_the_combiner_proves_nothing(combine):
    class Odd(Combiner):
        def forward(self, features, z):
            return combine(super().forward, features, z)

    torch.manual_seed(0)
    unet = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.ReLU())
    model = Peer(unet=unet, combiner=Odd()).eval()
    images = torch.stack([torch.zeros(1, 8, 8), 50 * torch.rand(1, 8, 8)])  # features 0, then large ones
    sampler, z = fastpunet.Sampler(model, precision="ieee"), torch.randn(2, 1, L)
    with pytest.warns(UserWarning, match="decodes by its own forward pass"):
        decoded = sampler.decode(sampler.encode(images), z, output="logits")[:, 0]
    with torch.no_grad():
        torch.testing.assert_close(decoded, model.combined(images, z[:, 0]))


@pytest.mark.filterwarnings("ignore:the model's `sample`")  # which does not fit the parts
def test_arguments_in_the_other_order_are_found():
    model = _model(lambda: Peer(combiner=Swapped()))
    model.combined = lambda x, z: (Peer.forward(model, x), model.fcomb(z, model.unet_features))[1]
    sampler = fastpunet.Sampler(model)
    images, z = torch.rand(1, 1, 8, 8), torch.randn(1, 1, L)
    with torch.no_grad():
        own = model.combined(images, z[:, 0])
    torch.testing.assert_close(sampler.decode(sampler.encode(images), z, output="logits")[:, 0], own)


def test_a_model_of_volumes_is_drawn_like_one_of_images():
    model = _model(lambda: Peer(Unet(3), Prior(dims=3), Combiner(layers(dims=3, norm="before"))))
    _assert_equal_to_its_own(model, torch.rand(1, 1, 4, 8, 12), VerifiedEncoding)
    assert fastpunet.sample(model, torch.rand(1, 1, 5, 7, 9), 3, seed=0).shape == (1, 3, 5, 7, 9)


@pytest.mark.parametrize(("end", "name"), [(lambda x: x.softmax(1), "softmax"), (nn.Softmax(dim=1), "softmax")])
def test_a_softmax_inside_gives_the_models_own_probabilities_and_refuses_logits(end, name):
    model = _model(lambda: Peer(combiner=WithEnd(end)))
    images = torch.rand(1, 1, 8, 8)
    sampler = fastpunet.Sampler(model)
    encoding, z = sampler.encode(images), torch.randn(1, 1, L)
    with torch.no_grad():
        own = model.combined(images, z[:, 0])
    probs = sampler.decode(encoding, z, output="probs")[:, 0]
    torch.testing.assert_close(probs, own)
    assert torch.equal(sampler.decode(encoding, z)[:, 0].long(), own.argmax(1))
    with pytest.raises(ValueError, match=f'^output: got "logits", but .* ends in a {name}; use output="probs"'):
        sampler.draw(encoding, 2, output="logits")


@pytest.mark.parametrize("variant", [FUSED["BatchNorm before ReLU"], UNFUSED["GELU"]])
@pytest.mark.filterwarnings("ignore:the model's combiner")
def test_hypotheses_depend_on_neither_n_nor_batch_nor_chunk(variant):
    model, images = _model(variant), torch.rand(3, 1, 10, 11)
    many = fastpunet.sample(model, images, 20, seed=3, output="logits")
    torch.testing.assert_close(many[:, :4], fastpunet.sample(model, images, 4, seed=3, output="logits"))
    torch.testing.assert_close(many, fastpunet.sample(model, images, 20, seed=3, output="logits", chunk=3))
    alone = fastpunet.sample(model, images[2:], 20, seed=3, ids=torch.tensor([2]), output="logits")
    torch.testing.assert_close(many[2:], alone)
    summary = fastpunet.summarize(model, images, n=20, seed=3)
    expected = fastpunet.sample(model, images, 20, seed=3, output="probs").mean(1)
    torch.testing.assert_close(summary.mean, expected, rtol=1e-4, atol=1e-5)


def test_nothing_is_left_on_the_model():
    model = _model(lambda: Peer(combiner=Combiner(layers(norm="before")))).train()
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    values = copy.deepcopy(model.state_dict())
    fastpunet.sample(model, torch.rand(2, 1, 10, 10), 3, seed=0)
    for name, module in model.named_modules():
        assert vars(module).keys() == before[name].keys()
        assert all(vars(module)[key] is value for key, value in before[name].items())
    assert all(torch.equal(model.state_dict()[name], value) for name, value in values.items())


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_under_hooks_are_those_of_the_moment():
    model = _model(Peer)
    nn.utils.weight_norm(model.fcomb.net[0])
    model.combined(torch.rand(1, 1, 8, 8), torch.randn(1, L))
    model.load_state_dict({name: 2 * value for name, value in model.state_dict().items()})
    sampler, images, z = fastpunet.Sampler(model), torch.rand(1, 1, 8, 8), torch.randn(1, 1, L)
    got = sampler.decode(sampler.encode(images), z, output="logits")[:, 0]
    torch.testing.assert_close(got, model.combined(images, z[:, 0]).detach())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_layers_without_a_bias_work(dtype):
    net = nn.Sequential(nn.Conv2d(8 + L, 8, 1, bias=False), nn.ReLU(), nn.Conv2d(8, K, 1, bias=False))
    model, images = _model(lambda: Peer(combiner=Combiner(net))), torch.rand(1, 1, 8, 8)
    expected = fastpunet.sample(model, images, 3, seed=1, output="logits")
    half = fastpunet.sample(model.to(dtype), images, 3, seed=1, output="logits")
    assert half.dtype == torch.float32
    assert 0 < (half - expected).norm() / expected.norm() < 0.05


def test_a_default_dtype_of_float64_changes_nothing():
    model, images = _model(Peer), torch.rand(1, 1, 8, 8)
    expected = fastpunet.sample(model, images, 3, seed=1, output="logits")
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(fastpunet.sample(model, images, 3, seed=1, output="logits"), expected)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("size", [(16, 24), (17, 30)])
def test_the_port_is_drawn_without_a_warning(size):
    model = PortModel(1, 2, (8, 12), L).train()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastpunet.sample(model, torch.rand(2, 1, *size), 2, seed=0)


@pytest.mark.slow
def test_a_compiled_pass_gives_the_same_encoding():
    model, images = _model(lambda: Peer(combiner=Combiner(layers(norm="before")))), torch.rand(1, 1, 8, 8)
    method = fastpunet.adapt(model)
    with torch.no_grad():
        eager = evaluation_twin(method).encode(images)
        compiled = torch.compile(lambda twin, x: twin.encode(x), backend="eager", dynamic=False)
        got = compiled(evaluation_twin(method), images)
    torch.testing.assert_close(got.base, eager.base)
    torch.testing.assert_close(got.prior.mu, eager.prior.mu)


@pytest.mark.parametrize("seed", range(40))
def test_ordinary_combiners_are_verified_also_where_logits_cancel(seed):
    torch.manual_seed(seed)
    combiner, features = FComb(16, 6, 1, 4), torch.randn(1, 16, 8, 8).relu()
    assert verify(combiner, features, 6) is not None

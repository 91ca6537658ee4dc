"""Live models of other makes: drawn as they are, through the kernels where those agree, or refused with the reason."""

import copy
import warnings

import pytest
import torch
from helpers.peers import (
    Combiner,
    Finishing,
    Functional,
    HooksAround,
    ImageOnly,
    K,
    L,
    Lightning,
    NeedsAxes,
    Normalising,
    Peer,
    Prior,
    Rolled,
    Skip,
    Swapped,
    Tempered,
    Unet,
    WithEnd,
    layers,
)
from torch import nn
from torch.distributions import Normal
from torch.optim.swa_utils import AveragedModel

import fastpunet
from benchmarks.port import PortModel
from fastpunet.models.adapters.adapted import OwnEncoding, VerifiedEncoding
from fastpunet.models.twin import evaluation_twin

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
    with pytest.raises(ValueError, match=f'^output: got "logits", but .* ends in a {name}; take "probs"'):
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


def test_features_are_what_the_models_own_sample_hands_to_its_combiner():
    model, images, z = _model(Finishing), torch.rand(2, 1, 8, 8), torch.randn(2, 1, L)
    sampler = fastpunet.Sampler(model)
    for _ in range(2):
        encoding = sampler.encode(images)
        model.combined(images, z[:, 0])
        own = model.fcomb(2 * model.unet_features.tanh(), z[:, 0]).detach()
        torch.testing.assert_close(sampler.decode(encoding, z, output="logits")[:, 0], own)


def test_latents_that_the_models_own_sample_changes_are_said():
    with pytest.warns(UserWarning, match="own `sample` seems to change the latents of its prior"):
        fastpunet.sample(_model(Tempered), torch.rand(2, 1, 8, 8), 2)


def test_a_model_that_draws_in_its_forward_pass_leaves_the_global_generator_alone():
    model = _model(ImageOnly)
    before = torch.get_rng_state()
    first = fastpunet.sample(model, torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)), 3, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    second = fastpunet.sample(model, torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)), 3, seed=1)
    assert torch.equal(first, second)


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


@pytest.mark.parametrize(("part", "name"), [("unet", "the U-Net's features"), ("prior", "the prior's")])
def test_values_that_are_not_finite_name_the_part(part, name):
    model = _model(Peer)
    with torch.no_grad():
        (model.unet.head if part == "unet" else model.prior.conv).bias.fill_(float("inf") if part == "unet" else 100.0)
    with pytest.raises(ValueError, match=f"^model: NaN or infinity in {name}"):
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


@pytest.mark.parametrize("size", [(16, 24), (17, 30)])
def test_the_port_is_drawn_without_a_warning(size):
    model = PortModel(1, 2, (8, 12), L).train()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastpunet.sample(model, torch.rand(2, 1, *size), 2, seed=0)


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
    with pytest.raises(ValueError, match="^model: the forward pass of its combiner, a .*, gives something else"):
        fastpunet.sample(model, torch.rand(1, 1, 8, 8), 2)


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


def test_values_that_no_distribution_has_are_named():
    model = _model(lambda: Peer(prior=Prior(lambda m, s: Normal(m, s.exp() * float("nan")))))
    with pytest.raises(ValueError, match="^model: NaN or (impossible values of its prior|infinity in the prior)"):
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

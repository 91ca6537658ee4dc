"""State dicts of other people's networks: the loaded model computes what the network itself computes, or is refused."""

import copy
import json
import random

import pytest
import torch
from helpers.peer_networks import Generalized, Injection, Platipy, TorchEm, UqBox, Zoo, with_random_norms
from torch import nn

from fastpunet import Sampler, load, sample, save
from fastpunet.models import checkpoint

NETWORKS = {
    "GeneralizedProbabilisticUNet": (lambda: Generalized([4, 6, 8]), (16, 24)),
    "GeneralizedProbabilisticUNet, one scale": (lambda: Generalized([4]), (7, 9)),
    "UNet-Zoo": (lambda: Zoo([4, 6, 8]), (16, 24)),
    "torch-em": (lambda: TorchEm([4, 8]), (40, 48)),
    "platipy": (lambda: Platipy([4, 8, 16]), (16, 24)),
    "platipy, volumes": (lambda: Platipy([3, 6], dims=3), (8, 8, 8)),
    "jenspetersen": (lambda: Injection(norm_depth=2), (16, 24)),
    "jenspetersen, nothing normalised": (lambda: Injection(norm=None), (16, 24)),
    "jenspetersen, BatchNorm": (lambda: Injection(norm=nn.BatchNorm2d, norm_depth=3), (16, 24)),
    "jenspetersen, dropout": (lambda: Injection(dropout=True), (16, 24)),
    "PULASki, 2-D": (lambda: Injection(classes=1, depth=4), (32, 32)),
    "PULASki, 3-D": (lambda: Injection(classes=1, dims=3, norm=nn.InstanceNorm3d), (8, 8, 12)),
}


def _network(name):
    torch.manual_seed(0)
    make, size = NETWORKS[name]
    return with_random_norms(make()), torch.rand(2, 1, *size)


def _assert_same(model, network, images):
    """Features, prior, and logits of given latents agree to rounding."""
    with torch.no_grad():
        features, (mu, sigma) = network.features(images), network.prior_of(images)
        z = mu[:, None] + sigma[:, None] * torch.randn(2, 4, mu.shape[1])
        expected = torch.stack([network.combined(features, z[:, i]) for i in range(4)], dim=1)
    sampler = Sampler(model, precision="ieee")
    encoding = sampler.encode(images)
    for got, right in (
        (encoding.features, features),
        (encoding.prior.mu, mu),
        (encoding.prior.sigma, sigma),
        (sampler.decode(encoding, z, output="logits"), expected),
    ):
        torch.testing.assert_close(got, right, rtol=2e-5, atol=2e-6 * max(1.0, float(right.abs().max())))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_peers_state_dict_gives_what_the_peer_gives(name, tmp_path):
    network, images = _network(name)
    torch.save({"epoch": 1, "model_state_dict": nn.DataParallel(network).state_dict()}, tmp_path / "m.pt")
    model = load(tmp_path / "m.pt")
    _assert_same(model, network, images)
    save(model, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.config == model.config
    assert torch.equal(sample(again, images, 3, seed=0), sample(model, images, 3, seed=0))


def test_images_that_a_peers_network_does_not_take_are_padded():
    network, _ = _network("platipy")
    model, images = load(network.state_dict()), torch.rand(1, 1, 15, 18)
    padded = nn.functional.pad(images, (0, 2, 0, 1), mode="replicate")
    encoding = Sampler(model, precision="ieee").encode(images)
    with torch.no_grad():
        torch.testing.assert_close(encoding.features, network.features(padded)[..., :15, :18], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(encoding.prior.mu, network.prior_of(images)[0], rtol=1e-4, atol=1e-5)


def test_the_network_inside_of_lightning_uq_box_has_to_be_given(tmp_path):
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.SiLU(), nn.Conv2d(5, 2, 1))
    network, images = UqBox(inner, [4, 6]).eval(), torch.rand(2, 1, 12, 12)
    state = network.state_dict()
    with pytest.raises(ValueError, match=r"lightning-uq-box, whose U-Net may be any module.*load it with unet=MODULE"):
        load(state)
    other = copy.deepcopy(inner)
    with torch.no_grad():
        other[0].weight.zero_()
    model = load(state, unet=other)
    assert not other[0].weight.any()
    _assert_same(model, network, images)
    with pytest.raises(TypeError, match="its unet is a module of your own, which a file cannot describe"):
        save(model, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="does not fit"):
        load(state, unet=nn.Conv2d(1, 2, 1))
    with pytest.raises(ValueError, match="unet: got Sequential, but the U-Net of torch-em is built from the names"):
        load(_network("torch-em")[0].state_dict(), unet=inner)


PRIORS = {
    "full": dict(covariance="full"),
    "low rank": dict(covariance="low-rank"),
    "mixture": dict(components=3),
    "mixture of full": dict(covariance="full", components=2),
    "mixture of low ranks": dict(covariance="low-rank", components=3),
}


@pytest.mark.parametrize("prior", PRIORS)
def test_priors_of_a_generalized_network_are_read_off_its_layers(prior, tmp_path):
    torch.manual_seed(0)
    network, images = with_random_norms(Generalized([4, 6, 8], **PRIORS[prior])), torch.rand(2, 1, 16, 24)
    model = load(network.state_dict())
    save(model, tmp_path / "m.safetensors")
    z = torch.randn(2, 4, 3)
    with torch.no_grad():
        features, expected = network.features(images), network.distribution_of(images)
        logits = torch.stack([network.combined(features, z[:, i]) for i in range(4)], dim=1)
        density = torch.stack([expected.log_prob(z[:, i]) for i in range(4)], dim=1).double()
    for found in (model, load(tmp_path / "m.safetensors")):
        sampler = Sampler(found, precision="ieee")
        encoding = sampler.encode(images)
        torch.testing.assert_close(encoding.prior.log_density(z), density, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(sampler.decode(encoding, z, output="logits"), logits, rtol=2e-5, atol=1e-5)
        assert torch.equal(
            sampler.sample(images, 3, seed=0), Sampler(model, precision="ieee").sample(images, 3, seed=0)
        )


@pytest.mark.parametrize("odd", [10**9, 0, -1, "x", None, 1.5, True])
@pytest.mark.parametrize("key", ["components", "latent_dim", "rank", "covariance"])
def test_a_family_that_the_layers_do_not_have_is_refused(key, odd, tmp_path):
    model = load(with_random_norms(Generalized([4, 6], covariance="low-rank", components=2)).state_dict())
    model.config["family"] = {**model.config["family"], key: odd}
    save(model, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="^checkpoint: .* does not fit a DeclaredUNet: "):
        load(tmp_path / "m.safetensors")


REFUSED = {
    "z enters at the bottom": (lambda: Injection(bottom=True), "latents do not enter at the combiner"),
    "a prior without a U-Net's": (
        lambda: _without(Platipy([4, 6]), "prior"),
        "has no prior net, but takes a segmentation",
    ),
    "an extra layer": (
        lambda: _with(Zoo([4, 6]), "unet.last_layer", nn.Conv2d(4, 2, 1)),
        "unet.last_layer.weight has no place",
    ),
    "a layer at another place": (
        lambda: _moved(Generalized([4, 6]), "unet.contracting_path.0.layers", 4),
        "has no place|no unet",
    ),
    "two priors at once": (
        lambda: _with(Generalized([4, 6]), "prior.mean_log_sigma_op", nn.Conv2d(6, 6, 1)),
        "no prior.cov_factor_op.weight",
    ),
    "a covariance that fits no mean": (
        lambda: _with(Generalized([4, 6], covariance="full"), "prior.cov_tril_op", nn.Conv2d(6, 10, 1)),
        "numbers, which are of no full covariance together",
    ),
    "a mixture of more components than means": (
        lambda: _with(Generalized([4, 6]), "prior.mixture_weights_conv", nn.Conv2d(6, 7, 1)),
        "numbers, which are of no diagonal covariance together",
    ),
    "coordinates": (lambda: _moved(Injection(), "task_net.encode-0", 0), "so that the layers between cannot be told"),
    "one convolution a scale": (
        lambda: _without(Injection(norm=None), "prior_net.encode_0.2"),
        "has one convolution, so that names do not tell whether it is normalised",
    ),
}


def _with(network, name, layer):
    parent, _, leaf = name.rpartition(".")
    network.get_submodule(parent).add_module(leaf, layer)
    return network


def _without(network, name):
    parent, _, leaf = name.rpartition(".")
    delattr(network.get_submodule(parent), leaf)
    return network


def _moved(network, name, place):
    """A Sequential with one more layer without weights."""
    parent, _, leaf = name.rpartition(".")
    layers = list(network.get_submodule(name))
    network.get_submodule(parent)._modules[leaf] = nn.Sequential(*layers[:place], nn.Identity(), *layers[place:])
    return network


@pytest.mark.parametrize("name", REFUSED)
def test_what_names_and_shapes_do_not_tell_is_refused(name):
    make, reason = REFUSED[name]
    with pytest.raises(ValueError, match=f"^checkpoint: the state dict.*({reason})"):
        load(make().state_dict())


def test_what_was_assumed_is_said():
    found = checkpoint.read(_network("UNet-Zoo")[0].state_dict()).found
    assert (found.peer, found.assumed) == ("UNet-Zoo", ("BatchNorm's epsilon is 0.001",))
    with pytest.raises(ValueError, match="posterior_input: got 'mask', but UNet-Zoo has no such choice"):
        load(_network("UNet-Zoo")[0].state_dict(), posterior_input="mask")


def test_one_of_several_networks_is_chosen_by_name(tmp_path):
    (first, images), second = _network("platipy"), with_random_norms(Platipy([4, 8, 16]))
    held = {
        "state_dict": {f"net.{name}": t for name, t in first.state_dict().items()},
        "state_dict_ema": second.state_dict(),
    }
    torch.save(held, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="holds 2 networks, 'state_dict/net', 'state_dict_ema'; name one of them"):
        load(tmp_path / "m.pt")
    _assert_same(load(tmp_path / "m.pt", part="net"), first, images)
    _assert_same(load(tmp_path / "m.pt", part="state_dict_ema"), second, images)
    with pytest.raises(ValueError, match="part: got 'ema', which is in 0 of 'state_dict/net', 'state_dict_ema'"):
        load(tmp_path / "m.pt", part="ema")


def _refusal(source):
    try:
        load(source)
    except ValueError as error:
        return str(error)
    return None


def _changed(state, dice):
    """A state dict with one entry lost, renamed, or of another shape."""
    name = dice.choice([name for name in state if name.endswith(("weight", "bias"))])
    tensor = state.pop(name)
    changes = {
        name: (tensor[:0], tensor.unsqueeze(-1), torch.zeros(())),
        f"{name}.x": (tensor,),
        name.replace(".weight", ".w").replace(".bias", ".b"): (tensor,),
    }
    renamed = dice.choice([*changes, None])
    return state if renamed is None else {**state, renamed: dice.choice(changes[renamed])}


@pytest.mark.parametrize("name", ["GeneralizedProbabilisticUNet", "UNet-Zoo", "torch-em", "platipy", "jenspetersen"])
def test_changed_state_dicts_are_refused_in_one_line(name):
    state, dice = _network(name)[0].state_dict(), random.Random(0)
    drawn = {
        key: tensor for key, tensor in state.items() if tensor.ndim and not key.startswith(("posterior", "last_conv"))
    }
    refusals = [_refusal(_changed(dict(drawn), dice)) for _ in range(40)]
    said = [refusal for refusal in refusals if refusal is not None]
    assert len(said) == 40
    assert all(refusal.startswith("checkpoint: ") and "\n" not in refusal for refusal in said)


ODD = (None, 0, -1, 10**9, 1e9, "x", [], {}, [1], True, float("inf"), [["conv"]], [[]])


def test_declarations_that_lie_are_refused_in_one_line(tmp_path):
    save(load(_network("platipy")[0].state_dict()), tmp_path / "m.safetensors")
    content, dice = (tmp_path / "m.safetensors").read_bytes(), random.Random(0)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    said = json.loads(header["__metadata__"]["fastpunet"])
    refusals = []
    for _ in range(150):
        lie = copy.deepcopy(said)
        place = lie["config"]
        while True:  # walks to any entry
            key = dice.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], (dict, list)) or not place[key] or dice.random() < 0.2:
                break
            place = place[key]
        place[key] = dice.choice(ODD)
        header["__metadata__"]["fastpunet"] = json.dumps(lie)
        written = json.dumps(header).encode()
        (tmp_path / "m.safetensors").write_bytes(len(written).to_bytes(8, "little") + written + content[end:])
        refusals.append(_refusal(tmp_path / "m.safetensors"))
    told = [refusal for refusal in refusals if refusal is not None]
    assert len(told) > 100
    assert all(refusal.startswith("checkpoint: ") and "\n" not in refusal for refusal in told)

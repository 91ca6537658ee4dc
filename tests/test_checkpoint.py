"""Saving and loading: exact, safe, and clear about what is wrong with a file."""

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, Sampler, load, sample, save
from fastpunet.models.checkpoint import shipped
from fastpunet.models.peers.port import infer_config


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ProbabilisticUNet(
        2, 3, channels=(4, 6), latent_dim=2, convs_per_block=1, fcomb_layers=3, log_sigma_bound=4.0
    )


def test_save_and_load_give_the_same_model(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save(model, path)
    loaded = load(path)
    assert loaded.config == model.config
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_a_failed_save_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save(model, path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save(model, path)
    assert path.read_bytes() == before


def test_loading_leaves_the_global_generator_alone(model, tmp_path):
    save(model, tmp_path / "m.safetensors")
    before = torch.get_rng_state()
    load(tmp_path / "m.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("channels", "classes", "filters", "latent_dim", "convs"),
    [(1, 1, (8, 12, 16, 20), 6, 4), (3, 24, (4, 6), 2, 3), (2, 1, (5,), 3, 2)],
)
@pytest.mark.parametrize("form", ["mapping", "pt", "safetensors", "data_parallel"])
def test_architecture_is_inferred_from_the_ports_state_dict(
    channels, classes, filters, latent_dim, convs, form, tmp_path
):
    torch.manual_seed(0)
    port = PortModel(channels, classes, filters, latent_dim, convs).eval()
    state = port.state_dict()
    if form == "data_parallel":
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    source = state
    if form == "pt":
        source = tmp_path / "port.pt"
        torch.save(state, source)
    elif form == "safetensors":
        source = tmp_path / "port.safetensors"
        save_file(state, source)
    ours = load(source)
    assert ours.config == dict(
        in_channels=channels,
        num_classes=classes,
        channels=list(filters),
        latent_dim=latent_dim,
        convs_per_block=3,
        fcomb_layers=convs,
        kernel_sizes=None,
        pool_sizes=None,
        fcomb_channels=None,
        latent_maps=0,
        posterior_input="mask",
        log_sigma_bound=None,
        prior_scale=1.0,
        dims=2,
    )
    images = torch.rand(1, channels, 16, 24)
    port(images, None, training=False)
    logits = sample(ours, images, 3, seed=1, output="logits")
    torch.testing.assert_close(logits, sample(port, images, 3, seed=1, output="logits"), rtol=1e-4, atol=1e-5)
    encoding = Sampler(ours).encode(images)
    torch.testing.assert_close(encoding.features, port.unet_features)
    torch.testing.assert_close(encoding.prior.sigma, port.prior_latent_space.stddev)


def test_our_own_one_hot_posterior_is_inferred():
    model = ProbabilisticUNet(1, 4, channels=(4, 6), log_sigma_bound=None)
    assert infer_config(model.state_dict()) == model.config


def test_shipped_names_are_listed_for_an_unknown_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="no shipped weights of that name; shipped: lesions, lidc-tiny"):
        load("lidc-huge")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.pt")


@pytest.mark.parametrize("name", ["lesions", "lidc-tiny"])
def test_shipped_weights_load_and_are_small(name):
    assert shipped()[name].stat().st_size < 4_000_000
    assert sample(load(name), torch.rand(1, 1, 64, 64), 2, seed=0).shape == (1, 2, 64, 64)


class _Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (os.system, (f"touch {self.target}",))


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path):
    path, target = tmp_path / "model.pt", tmp_path / "ran"
    torch.save({"weight": torch.zeros(1), "payload": _Hostile(target)}, path)
    with pytest.raises(ValueError, match="holds more than tensors and was not opened"):
        load(path)
    path.write_bytes(pickle.dumps(_Hostile(target)))
    with pytest.raises(ValueError, match=r"checkpoint: .*model\.pt"):
        load(path)
    assert not target.exists()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_an_error(model, tmp_path, suffix, share):
    path = tmp_path / f"model.{suffix}"
    if suffix == "pt":
        torch.save(model.state_dict(), path)
    else:
        save(model, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="checkpoint: .*truncated"):
        load(path)


def test_foreign_files_are_errors(tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="is not a state dict"):
        load(tmp_path / "list.pt")
    with pytest.raises(ValueError, match="not a Probabilistic U-Net.*no unet.contracting_path.*found 0.weight"):
        load(torch.nn.Sequential(torch.nn.Linear(2, 2)).state_dict())
    with pytest.raises(ValueError, match="is not a state dict of names and tensors, and contains none"):
        load({})
    state = ProbabilisticUNet(1, 1, channels=(4, 6)).state_dict()
    with pytest.raises(ValueError, match="does not fit"):
        load({name: tensor for name, tensor in state.items() if name != "fcomb.layers.2.weight"})
    with pytest.raises(ValueError, match="does not fit"):
        load({**state, "unet.extra.weight": torch.zeros(1)})
    for method, message in (("ProbabilisticUNet", "does not fit.*depth"), ("VNet", "holds a VNet, expected one of")):
        header = json.dumps({"method": method, "config": {"depth": 3}})
        save_file(state, tmp_path / "bad.safetensors", metadata={"fastpunet": header})
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "bad.safetensors")
    save_file(state, tmp_path / "bad.safetensors", metadata={"fastpunet": "{"})
    with pytest.raises(ValueError, match="truncated or not"):
        load(tmp_path / "bad.safetensors")


def test_things_that_are_no_source_are_named(model, tmp_path):
    with pytest.raises(TypeError, match="source: got PortModel.*a live model needs no loading"):
        load(PortModel(1, 1, (4,), 2))
    for state in ({"a": 1}, {1: torch.zeros(1)}):
        with pytest.raises(ValueError, match="is not a state dict of names and tensors"):
            load(state)
    with pytest.raises(TypeError, match="model: got PortModel, expected one of ProbabilisticUNet"):
        save(PortModel(1, 1, (4,), 2), tmp_path / "port.safetensors")
    assert not any(tmp_path.iterdir())
    state = {**model.state_dict(), "unet.contracting_path.0.layers.x.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match="not a Probabilistic U-Net"):
        load(state)
    save_file(model.state_dict(), tmp_path / "bad.safetensors", metadata={"fastpunet": "[]"})
    with pytest.raises(ValueError, match="truncated or not"):
        load(tmp_path / "bad.safetensors")


def test_a_compiled_model_is_saved_as_itself(model, tmp_path):
    compiled = torch.compile(model, backend="eager")
    save(compiled, tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").config == model.config
    assert load(compiled.state_dict()).config["channels"] == [4, 6]


def test_weights_that_are_not_finite_are_an_error(model, tmp_path):
    with torch.no_grad():
        model.prior.conv_layer.bias[0] = torch.nan
    save(model, tmp_path / "nan.safetensors")
    with pytest.raises(ValueError, match=r"holds NaN or infinity in prior\.conv_layer\.bias"):
        load(tmp_path / "nan.safetensors")
    assert load_file(tmp_path / "nan.safetensors")  # the file itself is whole


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_weights_that_are_not_floating_point_are_an_error(dtype):
    state = {name: value.to(dtype) for name, value in PortModel(1, 2, (4, 6), 3, 3).state_dict().items()}
    with pytest.raises(ValueError, match=r"is torch\.\w+, expected floating-point weights"):
        load(state)


def test_a_small_file_of_expanded_weights_is_refused_before_it_fills_the_memory(tmp_path):
    state = PortModel(1, 2, (4, 6), 3, 3).state_dict()
    state["fcomb.last_layer.weight"] = torch.zeros(1).expand(2, 1 << 40, 1, 1)
    torch.save(state, tmp_path / "small.pt")
    with pytest.raises(ValueError, match=r"last_layer.weight has the shape .* are stored; save the weights without"):
        load(tmp_path / "small.pt")

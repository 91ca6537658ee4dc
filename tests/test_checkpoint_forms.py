"""Files by their content: prefixes, entries, folders, intensity rules, architectures that lie, damage."""

import json
import random
import warnings
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, load, sample, save
from fastpunet.intensity import Intensity
from fastpunet.models import METHODS, DropoutUNet, MHeads, UNetEnsemble


def _port():
    torch.manual_seed(0)
    return PortModel(1, 1, (4, 6), 2).eval()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ProbabilisticUNet(1, 1, channels=(4, 5), latent_dim=2)


def _prefixed(state, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


FORMS = {
    "torch.compile around DataParallel": lambda state: _prefixed(state, "_orig_mod.module."),
    "DataParallel around torch.compile": lambda state: _prefixed(state, "module._orig_mod."),
    "an attribute": lambda state: _prefixed(state, "net."),
    "averaged weights in wrappers": lambda state: _prefixed(state, "ema_model.module._orig_mod.net."),
    "an attribute of an attribute": lambda state: _prefixed(state, "model.network."),
    "a compiled part": lambda state: {name.replace("unet.", "unet._orig_mod.", 1): t for name, t in state.items()},
    "AveragedModel": lambda state: {"n_averaged": torch.tensor(3), **_prefixed(state, "module.")},
    "an entry": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "lr": 0.1}},
    "an entry of an entry": lambda state: {"model": {"model_state_dict": _prefixed(state, "module.")}, "best": 0.5},
    "a LightningModule's file": lambda state: {
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**_prefixed(state, "net."), "loss.weight": torch.ones(2)},
        "callbacks": {},
        "loops": {"state_dict": {}},
    },
    "half precision": lambda state: {name: tensor.half() for name, tensor in state.items()},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", ["pt", "bin"])
def test_networks_are_found_by_content(form, suffix, tmp_path):
    port, image = _port(), torch.rand(1, 1, 8, 8)
    torch.save(FORMS[form](port.state_dict()), tmp_path / f"file.{suffix}")
    got = sample(load(tmp_path / f"file.{suffix}"), image, 3, seed=1, output="logits")
    tolerance = 1e-2 if form == "half precision" else 1e-5
    torch.testing.assert_close(got, sample(port, image, 3, seed=1, output="logits"), rtol=tolerance, atol=tolerance)


def test_two_networks_in_a_file_are_not_guessed_at(tmp_path):
    state = _port().state_dict()
    for held in ({**_prefixed(state, "net."), **_prefixed(state, "ema.")}, {"net": state, "ema": state}):
        torch.save(held, tmp_path / "two.pt")
        with pytest.raises(ValueError, match="^checkpoint: .*holds 2 networks"):
            load(tmp_path / "two.pt")


def test_a_file_is_told_by_its_content_not_its_suffix(model, tmp_path):
    save(model, tmp_path / "m.pt")
    assert load(tmp_path / "m.pt").config == model.config
    torch.save(_port().state_dict(), tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").config["channels"] == [4, 6]
    (tmp_path / "m.txt").write_text("weights, honestly")
    with pytest.raises(ValueError, match=r"^checkpoint: .*m\.txt is truncated, or neither a safetensors file nor"):
        load(tmp_path / "m.txt")


def test_a_run_folder_means_its_model(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors in the folder .*found no \.safetensors file"):
        load(tmp_path)
    save(model, tmp_path / "best.safetensors")
    with pytest.raises(FileNotFoundError, match=r"found best\.safetensors"):
        load(tmp_path)
    save(model, tmp_path / "model.safetensors")
    assert load(tmp_path).config == model.config


def test_the_state_of_a_training_run_is_refused_with_the_right_advice(tmp_path):
    (tmp_path / "config.yaml").write_text("steps: 1")
    torch.save({"state_dict": _prefixed(_port().state_dict(), "model.")}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt is a checkpoint for fastpunet train --resume, .*load its folder"):
        load(tmp_path / "last.ckpt")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dims", [2, 3])
def test_every_method_is_stored_with_the_images_that_it_was_trained_on(method, dims, tmp_path):
    torch.manual_seed(0)
    model = METHODS[method](channels=(3, 4, 5), dims=dims)
    save(model, tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors")
    assert (loaded.intensity, loaded.spacing, loaded.image_size) == (None, None, None)
    model.intensity, model.spacing, model.image_size = Intensity.window(40, 400), (0.5,) * dims, (32, 48, 64)[:dims]
    save(model, tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors")
    assert (loaded.intensity, loaded.spacing, loaded.image_size) == (model.intensity, model.spacing, model.image_size)
    assert loaded.config == model.config
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad and not parameter.is_meta for parameter in loaded.parameters())


def test_a_loaded_model_shares_no_memory_with_its_state_dict():
    state = _port().state_dict()
    loaded = load(state)
    with torch.no_grad():
        loaded.fcomb.last_layer.weight.fill_(7)
    assert not (state["fcomb.last_layer.weight"] == 7).any()


def test_what_the_posterior_sees_can_be_said_and_changes_no_hypothesis():
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 3, channels=(4, 6), latent_dim=2, log_sigma_bound=None).eval()
    state, image = dict(model.state_dict()), torch.rand(1, 1, 8, 8)  # without metadata, as the port's
    labels = torch.randint(0, 3, (1, 8, 8))
    with pytest.warns(UserWarning, match='form its posterior net sees .* took "one-hot", which subtracts 0.5'):
        shifted = load(state)
    plain = load(state, posterior_input="plain-one-hot")
    assert torch.equal(sample(shifted, image, 4, seed=0), sample(plain, image, 4, seed=0))
    with torch.no_grad():
        planes = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
        for loaded, shift in ((shifted, 0.5), (plain, 0.0)):
            expected = model.posterior(torch.cat((image, planes - shift), 1)).mean
            torch.testing.assert_close(loaded.posterior_of(image, labels).mean, expected)
    with pytest.raises(ValueError, match="does not fit"):
        load(state, posterior_input="mask")
    with pytest.raises(ValueError, match="^posterior_input: got 'onehot', expected one of one-hot, plain-one-hot"):
        load(state, posterior_input="onehot")


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (ProbabilisticUNet, dict(fcomb_layers=10_000), "fcomb_layers: got 10000, but the file holds"),
        (ProbabilisticUNet, dict(convs_per_block=10_000), "convs_per_block: got 10000, but the file holds"),
        (ProbabilisticUNet, dict(channels=[4] * 10_000), "config: got at least 30000 layers"),
        (UNetEnsemble, dict(members=10_000), "members: got 10000, but the file holds"),
        (UNetEnsemble, dict(members=20, convs_per_block=20), "config: got at least 800 layers"),
        (MHeads, dict(heads=10**12), "does not fit a MHeads"),
        (DropoutUNet, dict(channels=[10**15, 4]), "does not fit a DropoutUNet"),
        (DropoutUNet, dict(num_classes=10**40), "does not fit a DropoutUNet: num_classes"),
        (ProbabilisticUNet, dict(latent_dim=10**10), "does not fit"),
        (ProbabilisticUNet, dict(channels={"a": 1}), "does not fit a ProbabilisticUNet: channels"),
        (ProbabilisticUNet, dict(dims=7), "does not fit a ProbabilisticUNet: dims"),
        (ProbabilisticUNet, dict(convs_per_block="3"), "does not fit a ProbabilisticUNet: convs_per_block"),
    ],
)
def test_an_architecture_that_the_tensors_contradict_is_refused_before_it_is_built(make, change, message, tmp_path):
    model = make(channels=(4, 5))
    header = json.dumps({"method": make.__name__, "config": {**model.config, **change}})
    save_file(model.state_dict(), tmp_path / "m.safetensors", metadata={"fastpunet": header})
    with pytest.raises(ValueError, match=f"^checkpoint: .*{message}") as refusal:
        load(tmp_path / "m.safetensors")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("intensity", 3),
        ("intensity", {"rule": "magic"}),
        ("intensity", {"rule": "range", "low": 2, "high": 1}),
        ("intensity", {"rule": "range"}),
        ("spacing", 0.5),
        ("spacing", [0.5]),
        ("spacing", [0.5, 0.0]),
        ("spacing", [0.5, "1"]),
        ("spacing", [0.5, float("nan")]),
        ("image_size", [64, 64, 64]),
        ("image_size", [64, 64.5]),
        ("image_size", [64, -64]),
        ("image_size", "64"),
    ],
)
def test_images_that_nothing_could_be_trained_on_are_refused(entry, value, model, tmp_path):
    header = json.dumps({"method": "ProbabilisticUNet", "config": model.config, entry: value})
    save_file(model.state_dict(), tmp_path / "m.safetensors", metadata={"fastpunet": header})
    with pytest.raises(ValueError, match=rf"^checkpoint: .*m\.safetensors: {entry}"):
        load(tmp_path / "m.safetensors")


def test_a_compressed_record_is_refused_before_it_fills_the_memory(tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as bomb:
        for item in plain.infolist():
            bomb.writestr(item.filename, plain.read(item), compress_type=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"bomb\.pt .*is compressed"):
        load(tmp_path / "bomb.pt")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("legacy", [False, True])
def test_damaged_files_of_torch_save_are_refused_in_one_line(legacy, tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"state_dict": _port().state_dict()}, path, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    dice = random.Random(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(dice.choice((1, 3, 30))):
            damaged[dice.randrange(min(len(damaged), 3000))] = dice.randrange(256)
        path.write_bytes(damaged)
        refused += _is_refused(path)
    assert refused > 30


def _is_refused(path):
    try:
        load(path)
    except ValueError as error:
        return (str(error).startswith("checkpoint: ") and "\n" not in str(error)) or pytest.fail(str(error))
    return False


def test_odd_tensors_are_refused(tmp_path):
    state = _port().state_dict()
    name = "fcomb.last_layer.weight"
    for odd in (state[name].to_sparse(), state[name].to("meta"), state[name].to(torch.complex64)):
        torch.save({**state, name: odd}, tmp_path / "m.pt")
        with pytest.raises(ValueError, match="^checkpoint: "):
            load(tmp_path / "m.pt")


def _in_a_lightning_file(model):
    around = torch.nn.Module()
    around.net, around.loss = torch.nn.DataParallel(model), torch.nn.Conv2d(1, 1, 1)
    return {"epoch": 3, "state_dict": around.state_dict()}


@pytest.mark.parametrize("form", [torch.nn.Module.state_dict, _in_a_lightning_file])
@pytest.mark.parametrize("bound", [5.0, 0.3, None])
def test_our_own_state_dicts_say_what_shapes_do_not_tell(tmp_path, form, bound):
    torch.manual_seed(0)
    choices = {"posterior_input": "plain-one-hot", "log_sigma_bound": bound}
    model = ProbabilisticUNet(1, 3, channels=(4, 5), latent_dim=2, **choices).eval()
    torch.save(form(model), tmp_path / "m.pt")
    images = torch.rand(1, 1, 8, 8)
    with warnings.catch_warnings(action="error"):
        loaded = [load(form(model)), load(tmp_path / "m.pt")]
    for other in loaded:
        assert other.config == model.config
        assert torch.equal(sample(other, images, 2, seed=0), sample(model, images, 2, seed=0))
    assert load(form(model), posterior_input="one-hot").config["posterior_input"] == "one-hot"


def test_metadata_of_any_kind_is_read_or_refused(model):
    for said in (3, {"prior": 3}, {"": {"fastpunet": 3}}, {"": {"fastpunet": {"dims": 3}}}):
        state = model.state_dict()
        state._metadata = said
        assert load(state).config["log_sigma_bound"] is None
    for wrong in ("x", -1.0, [3]):
        state = model.state_dict()
        state._metadata[""]["fastpunet"]["log_sigma_bound"] = wrong
        with pytest.raises(ValueError, match="^checkpoint: .*log_sigma_bound"):
            load(state)

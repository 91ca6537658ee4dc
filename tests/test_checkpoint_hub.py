"""Repositories and folders in the layout of the Hugging Face hub: their weights, never their code."""

import json

import pytest
import torch
from helpers.peer_networks import Injection
from safetensors.torch import save_file

from fastpunet import load, sample

hub = pytest.importorskip("huggingface_hub")

CONFIG = {
    "model_type": "ProbUNet",
    "latent_distribution": "normal",
    "latent_size": 3,
    "auto_map": {"AutoModel": "run.It"},
}


def _layout(folder, network, name="model.safetensors"):
    """The files of such a repository; its code would fail if it ran."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "run.py").write_text("raise SystemExit('the code of the repository ran')")
    state = {f"model.{key}": tensor for key, tensor in network.state_dict().items()}
    save_file(state, folder / name) if name.endswith("safetensors") else torch.save(state, folder / name)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Injection(classes=1).eval()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub" / "models--somebody--PULASki_2D"


def _assert_is(model, network):
    image = torch.rand(1, 1, 16, 16)
    assert torch.equal(sample(model, image, 3, seed=0), sample(load(network.state_dict()), image, 3, seed=0))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_in_the_hubs_layout_is_loaded(network, tmp_path, name):
    _layout(tmp_path / "repository", network, name)
    _assert_is(load(tmp_path / "repository"), network)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_repository_is_loaded_by_its_id_and_revision(network, cache, name):
    first, second = "a" * 40, "b" * 40
    _layout(cache / "snapshots" / first, network, name)
    other = Injection(classes=1).eval()
    _layout(cache / "snapshots" / second, other, name)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(first)
    (cache / "refs" / "v2").write_text(second)
    if name != "model.safetensors":
        for commit in (first, second):  # how the cache remembers that a repository has no such file
            (cache / ".no_exist" / commit).mkdir(parents=True)
            (cache / ".no_exist" / commit / "model.safetensors").touch()
    _assert_is(load("somebody/PULASki_2D"), network)
    _assert_is(load("somebody/PULASki_2D@v2"), other)
    _assert_is(load(f"somebody/PULASki_2D@{second}"), other)


@pytest.mark.usefixtures("cache")
def test_what_cannot_be_had_is_refused_in_one_line(tmp_path):
    for source in ("somebody/nothing", "somebody/PULASki_2D@v3"):
        with pytest.raises(
            FileNotFoundError, match=r"^source: '[^\n]*' is not a file, and could not be downloaded from the"
        ) as e:
            load(source)
        assert "\n" not in str(e.value)
    (tmp_path / "runs").mkdir()
    with pytest.raises(FileNotFoundError, match="no file .*and no shipped weights of that name"):
        load(tmp_path / "runs" / "model")  # the folder is there, so that it is a path


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"pip install 'fastpunet\[hub\]' first"):
        load("somebody/PULASki_2D")

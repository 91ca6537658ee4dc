"""`fastpunet convert`: weights of others become a checkpoint that draws the same, or nothing is written."""

from pathlib import Path

import pytest
import torch
from helpers.peer_networks import TorchEm, Zoo, with_random_norms

from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, load, sample, save
from fastpunet.cli import main

pytest.importorskip("jsonargparse")

RELEASE = Path(__file__).parent / "data" / "tensorflow_release"


def _port(classes=1):
    torch.manual_seed(0)
    return PortModel(1, classes, (4, 6), 2, 3).eval()


def _convert(capsys, *arguments):
    status = main(["convert", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out.splitlines(), said.err


def test_the_release_becomes_a_checkpoint(tmp_path, capsys):
    status, said, _ = _convert(capsys, RELEASE, tmp_path / "new" / "m.safetensors")
    assert status == 0
    assert said == [
        "found    the authors' TensorFlow release",
        "built    ProbabilisticUNet, in_channels=3, num_classes=5, latent_dim=3, convs_per_block=3, fcomb_layers=4, "
        "fcomb_channels=None, latent_maps=0, posterior_input=one-hot, log_sigma_bound=None, prior_scale=1.0, dims=2, "
        "kernel_sizes=None, pool_sizes=None, channels=[4, 6, 8]",
        "checked  two hypotheses of an image of 32 x 32 are the same after loading it again",
        str(tmp_path / "new" / "m.safetensors"),
    ]
    images = torch.rand(1, 3, 20, 20)
    converted = sample(load(tmp_path / "new" / "m.safetensors"), images, 3, seed=0, output="logits")
    assert torch.equal(converted, sample(load(RELEASE), images, 3, seed=0, output="logits"))


def test_what_was_told_and_assumed_is_said(tmp_path, capsys):
    state = {**{f"net.{n}": t for n, t in _port(3).state_dict().items()}}
    torch.save({"raw": state, "ema": _port(3).state_dict()}, tmp_path / "m.ckpt")
    status, said, _ = _convert(capsys, tmp_path / "m.ckpt", tmp_path / "m.safetensors", "--part", "ema")
    assert status == 0
    assert said[0] == "found    the PyTorch port"
    assert said[2] == "told     part: ema"
    assert [line for line in said if line.startswith("assumed")] == [
        "assumed  blocks begin with average pooling and consist of 3x3 convolutions with a ReLU behind each",
        "assumed  up-sampling is linear with align_corners, and comes before the skip in the concatenation",
        "assumed  f_comb concatenates the features before the latents, and has a ReLU between its layers",
    ]
    torch.save(with_random_norms(Zoo([4, 6])).state_dict(), tmp_path / "zoo.pt")
    status, said, _ = _convert(capsys, tmp_path / "zoo.pt", tmp_path / "zoo.safetensors")
    assert status == 0
    assert said[1].startswith("built    DeclaredUNet, in_channels=1, features=4, spread=log-sigma")
    assert "assumed  BatchNorm's epsilon is 0.001" in said
    assert "left out its posterior net, on which hypotheses do not depend" in said


def test_networks_that_take_no_small_images(tmp_path, capsys):
    torch.manual_seed(0)
    torch.save(TorchEm([2, 4, 8]).state_dict(), tmp_path / "m.pt")
    status, said, _ = _convert(capsys, tmp_path / "m.pt", tmp_path / "m.safetensors")
    assert status == 0
    assert "checked  two hypotheses of an image of 64 x 64 are the same after loading it again" in said


def test_the_ports_state_dict(tmp_path, capsys):
    port, image = _port(), torch.rand(1, 1, 16, 16)
    save(load(port.state_dict()), tmp_path / "m.safetensors")
    status, said, _ = _convert(capsys, tmp_path / "m.safetensors", tmp_path / "port.pt", "--state-dict")
    assert (status, said[0]) == (0, "found    a checkpoint of fastpunet")
    other = PortModel(1, 1, (4, 6), 2, 3).eval()
    other.load_state_dict(torch.load(tmp_path / "port.pt", weights_only=True))
    for model in (port, other):
        model(image, None, training=False)
    assert torch.equal(port.unet_features, other.unet_features)
    for options, reason in (
        (dict(log_sigma_bound=5.0), "its log_sigma_bound is 5.0, but that of the PyTorch port is None"),
        (dict(log_sigma_bound=None, num_classes=3), "its posterior net sees 3 channels of a segmentation"),
    ):
        save(ProbabilisticUNet(1, channels=(4, 6), **options), tmp_path / "own.safetensors")
        status, _, error = _convert(capsys, tmp_path / "own.safetensors", tmp_path / "no.pt", "--state-dict")
        assert (status, (tmp_path / "no.pt").exists()) == (2, False)
        assert reason in error


def test_nothing_is_written_of_what_cannot_be_read_or_is_not_the_same(tmp_path, capsys, monkeypatch):
    (tmp_path / "bad.pt").write_bytes(b"PK nothing")
    status, _, error = _convert(capsys, tmp_path / "bad.pt", tmp_path / "m.safetensors")
    assert (status, error.count("\n")) == (2, 1)
    torch.save(_port().state_dict(), tmp_path / "m.pt")
    monkeypatch.setattr("fastpunet.reports.converting._drawn", lambda *_: torch.rand(3))
    status, _, error = _convert(capsys, tmp_path / "m.pt", tmp_path / "m.safetensors")
    assert status == 2
    assert "draws other hypotheses than the model that was read, so it was not kept" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.pt", "m.pt"]

"""Exported files: the labels of `sample`, for any size, and facts that are enough to draw without fastpunet."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.peer_networks import Zoo, with_random_norms
from torch import nn

import fastpunet
from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, adapt, export, load, sample, windowed
from fastpunet.cli import main
from fastpunet.exporting.comparing import AGREEMENT, agreement
from fastpunet.exporting.running import opened
from fastpunet.intensity import Intensity
from fastpunet.models import SSN, DropoutUNet, Image2ImageVAE, MHeads, UNetEnsemble

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = dict(channels=(4, 6), convs_per_block=1)
FLAT, SOLID = ((1, 1), (3, 2), (33, 18), (40, 64)), ((1, 1, 1), (1, 6, 5), (9, 7, 12))


def _widened(model):
    """Weights that make hypotheses differ from each other, and logits far from 0."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def _maps():
    model = _widened(ProbabilisticUNet(2, 1, latent_dim=2, fcomb_layers=3, latent_maps=2, prior_scale=1.5, **SMALL))
    model.intensity, model.spacing = Intensity.range(0, 255), (0.5, 0.5)
    return model


def _many_classes():
    return _widened(ProbabilisticUNet(1, 24, latent_dim=3, fcomb_layers=2, log_sigma_bound=None, **SMALL))


def _volumes():
    return _widened(ProbabilisticUNet(1, 3, latent_dim=2, fcomb_layers=3, dims=3, **SMALL))


def _thick_slices():
    sides = dict(kernel_sizes=[[1, 3, 3], [3, 3, 3]], pool_sizes=[[1, 3, 2]])
    return _widened(ProbabilisticUNet(1, 1, latent_dim=2, fcomb_layers=3, latent_maps=1, dims=3, **sides, **SMALL))


def _prior_of_kind(prior):
    return _widened(ProbabilisticUNet(1, 1, latent_dim=2, fcomb_layers=3, prior=prior, **SMALL))


def _own_unet():
    network = nn.Sequential(nn.Conv2d(1, 3, 2, stride=2), nn.ConvTranspose2d(3, 3, 2, stride=2))
    return _widened(ProbabilisticUNet(1, 1, latent_dim=2, unet=network, **SMALL))


def _by_hand():
    """A combiner that the kernels do not know, so that its own forward pass decodes."""
    torch.manual_seed(0)
    features, combiner = nn.Conv2d(1, 3, 3, padding=1), nn.Sequential(nn.Conv2d(5, 4, 1), nn.Tanh(), nn.Conv2d(4, 2, 1))
    model = nn.ModuleList([features, combiner])
    joined = _Joined(combiner)
    return adapt(model, lambda images: (features(images), _prior(images)), joined)


class _Joined(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, features, z):
        return self.layers(torch.cat((features, z[:, :, None, None].expand(-1, -1, *features.shape[2:])), 1))


def _prior(images):
    mean = images.mean((2, 3)).expand(-1, 2)
    return mean, torch.ones_like(mean)


def _zoo():
    torch.manual_seed(0)
    return load(with_random_norms(Zoo([4, 6, 8])).state_dict())


CASES = {
    "maps": (_maps, "onnx"),
    "many-classes": (_many_classes, "onnx"),
    "thick-slices": (_thick_slices, "onnx"),
    "ssn": (lambda: _widened(SSN(1, 2, rank=3, **SMALL)), "onnx"),
    "volumes-program": (_volumes, "pt2"),
    "full-covariance": (lambda: _prior_of_kind("full"), "onnx"),
    "raters": (lambda: _prior_of_kind("raters:ann,bob"), "pt2"),
    "heads": (lambda: _widened(MHeads(1, 2, heads=3, **SMALL)), "onnx"),
    "ensemble": (lambda: _widened(UNetEnsemble(1, 1, members=2, **SMALL)), "pt2"),
    "image2image": (lambda: _widened(Image2ImageVAE(1, 1, latent_dim=2, **SMALL)), "onnx"),
    "port": (lambda: PortModel(1, 3, (4, 6), 2, 3).eval(), "pt2"),
    "zoo": (_zoo, "onnx"),
    "own-unet": (_own_unet, "pt2"),
    "own-combiner": (_by_hand, "pt2"),
}
QUICK_CASES = ("heads", "port")  # each of the others takes seconds, and ONNX with a decoder is tested below too


def _opened(paths):
    return {path.name.split(".")[-2]: opened(path) for path in paths}


@pytest.mark.filterwarnings("ignore:the model's combiner")
@pytest.mark.parametrize("case", [c if c in QUICK_CASES else pytest.param(c, marks=pytest.mark.slow) for c in CASES])
def test_the_files_give_the_labels_of_sample_for_images_of_any_size(case, tmp_path):
    make, suffix = CASES[case]
    model = make()
    files = _opened(export(model, tmp_path / f"m.{suffix}"))
    method = adapt(model)
    alone = method.latent_dim == 0 and not hasattr(method, "combiner")
    assert set(files) == ({"encode"} if alone else {"encode", "decode"})
    generator = torch.Generator().manual_seed(2)
    for size in FLAT if method.dims == 2 else SOLID:
        for images, n in ((1, 1), (3, 2)):
            pixels = torch.rand(images, method.in_channels or 1, *size, generator=generator)
            assert agreement(model, files, pixels, n, seed=5) >= AGREEMENT, (size, images, n)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """A model and the name of its two ONNX files."""
    torch.manual_seed(3)  # with some weights all hypotheses are empty, or full
    model, folder = _maps(), tmp_path_factory.mktemp("maps")
    export(model, folder / "m.onnx")
    return model, folder / "m"


def test_agreement_is_low_for_the_files_of_another_model(maps):
    other = _maps()
    with torch.no_grad():
        other.fcomb.last_layer.bias.add_(0.5)
    files = _opened(Path(f"{maps[1]}.{name}.onnx") for name in ("encode", "decode"))
    assert agreement(other, files, torch.rand(2, 2, 20, 20), 8) < AGREEMENT


def test_what_does_not_agree_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("fastpunet.exporting.comparing.agreement", lambda *_: 0.5)
    with pytest.raises(
        ValueError, match=r"give the model's label in 50.000 % of pixels, expected 99.99 %, so they were"
    ):
        export(MHeads(1, 1, heads=2, **SMALL).eval(), tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []


def test_the_example_draws_the_same_with_numpy_alone(maps, tmp_path):
    model, name = maps
    images = torch.rand(2, 2, 21, 34, generator=torch.Generator().manual_seed(3))
    np.save(tmp_path / "images.npy", images.numpy())
    code = (
        "import sys, numpy as np\n"
        "sys.modules['torch'] = sys.modules['fastpunet'] = None\n"
        f"sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "from onnx_sampling import sample\n"
        f"np.save('masks.npy', sample({str(name)!r}, np.load('images.npy'), 40, seed=2**40 + 7))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    masks = torch.from_numpy(np.load(tmp_path / "masks.npy"))
    own = sample(model, images, 40, seed=2**40 + 7, precision="ieee")
    assert own.float().mean(1).var() > 0
    assert (masks == own).double().mean() >= AGREEMENT


def test_the_files_say_what_whoever_draws_must_know(maps, tmp_path):
    onnx_file = onnx.load(f"{maps[1]}.decode.onnx")
    facts = json.loads({entry.key: entry.value for entry in onnx_file.metadata_props}["fastpunet"])
    expected = {
        "format": 1,
        "fastpunet": fastpunet.__version__,
        "program": "decode",
        "method": "ProbabilisticUNet",
        "in_channels": 2,
        "num_classes": 1,
        "dims": 2,
        "latent_dim": 2,
        "latent_maps": 2,
        "prior": "AxisAligned",
        "label": "1 where the logit is above 0",
        "intensity": {"rule": "range", "low": 0.0, "high": 255.0},
        "spacing": [0.5, 0.5],
    }
    assert facts == expected
    axes = [dim.dim_param or dim.dim_value for dim in onnx_file.graph.output[0].type.tensor_type.shape.dim]
    assert (onnx_file.graph.output[0].name, axes) == ("logits", ["batch", "n", 1, "height", "width"])
    (path,) = export(MHeads(1, 2, heads=2, **SMALL).eval(), tmp_path / "m.pt2")
    extra = {"fastpunet": ""}
    torch.export.load(path, extra_files=extra)
    assert json.loads(extra["fastpunet"])["method"] == "MHeads"


def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path):
    small = ProbabilisticUNet(1, **SMALL)
    for model, path, kind, reason in (
        (small, "m.safetensors", ValueError, r"path: got '.*', expected a name that ends in .onnx or .pt2"),
        (small.half(), "m.onnx", ValueError, "model: got torch.float16 on cpu, expected float32 on the CPU; use"),
        (DropoutUNet(1, **SMALL), "m.onnx", TypeError, "model: a Dropout U-Net cannot be exported: which units"),
        (
            _prior_of_kind("flow:1"),
            "m.pt2",
            TypeError,
            "model: its prior, of the kind Flow, cannot be exported, because",
        ),
        (_Branching.adapted(), "m.pt2", TypeError, "model: PyTorch cannot trace its networks for images of any size: "),
        (
            windowed(ProbabilisticUNet(1, **SMALL), 16),
            "m.pt2",
            TypeError,
            "model: a windowed model cannot be exported; export the",
        ),
    ):
        with pytest.raises(kind, match=reason) as error:
            export(model, tmp_path / path)
        assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_logged_about_torchvision(tmp_path, monkeypatch, caplog):
    """PyTorch's exporter says at every export that it is not installed, which no network here needs."""
    logger, export_onnx = logging.getLogger("torch.onnx._internal.exporter._registration"), torch.onnx.export

    def logging_export(*args, **options):
        logger.warning("torchvision is not installed")
        return export_onnx(*args, **options)

    monkeypatch.setattr("torch.onnx.export", logging_export)
    export(MHeads(1, 1, heads=2, **SMALL).eval(), tmp_path / "m.onnx")
    assert "torchvision" not in caplog.text
    logger.warning("torchvision is missing")
    assert "torchvision" in caplog.text


def test_both_files_are_written_or_none(tmp_path):
    heads, model = MHeads(1, 1, heads=2, **SMALL).eval(), ProbabilisticUNet(1, **SMALL).eval()
    assert export(heads, tmp_path / "new" / "m.pt2") == [tmp_path / "new" / "m.encode.pt2"]
    (tmp_path / "m.decode.pt2").write_text("old")
    (tmp_path / "m.encode.pt2").mkdir()
    with pytest.raises(ValueError, match=r"^path: got '.*m.pt2', but .*m.encode.pt2 is a folder; name another file$"):
        export(model, tmp_path / "m.pt2")
    assert (tmp_path / "m.decode.pt2").read_text() == "old"
    with pytest.raises(ValueError, match=r"^path: got '.*', where nothing can be written .*m.decode.pt2: Not a dir"):
        export(model, tmp_path / "m.decode.pt2" / "m.pt2")


class _Branching(nn.Module):
    """A network that looks at the values of its images, which a trace cannot hold."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 1)

    def forward(self, images):
        return self.conv(images) if images.mean() > 0.2 else self.conv(images) + 1

    @classmethod
    def adapted(cls):
        features, combiner = cls(), nn.Sequential(nn.Conv2d(5, 4, 1), nn.ReLU(), nn.Conv2d(4, 1, 1))
        model = nn.ModuleList([features, combiner])
        return adapt(model, lambda images: (features(images), _prior(images)), _Joined(combiner))


def test_the_command_line(tmp_path, capsys):
    fastpunet.save(MHeads(1, 1, heads=2, **SMALL), tmp_path / "m.safetensors")
    assert main(["convert", str(tmp_path / "m.safetensors"), str(tmp_path / "new" / "m.pt2")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [
        "checked  the files give the model's labels in 99.99% of pixels or more",
        str(tmp_path / "new" / "m.encode.pt2"),
    ]
    assert (tmp_path / "new" / "m.encode.pt2").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "suffix"), [("lesions", "pt2"), ("lidc-tiny", "onnx")])
def test_the_shipped_models(name, suffix, tmp_path):
    model = load(name)
    files = _opened(export(model, tmp_path / f"m.{suffix}"))
    generator = torch.Generator().manual_seed(4)
    for size, images, n in (((64, 64), 2, 20), ((1, 9), 1, 1), ((77, 131), 1, 3), ((128, 128), 1, 8)):
        share = agreement(model, files, torch.rand(images, 1, *size, generator=generator), n)
        assert share >= AGREEMENT, (size, share)

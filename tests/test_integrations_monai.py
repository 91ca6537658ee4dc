"""Hypotheses inside MONAI: the inferer alone, in an evaluator with transforms that are inverted, and the example."""

import importlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, EnsureChannelFirstd, Invertd, LoadImaged, Orientationd, SaveImaged, Spacingd
from torch import nn

import fastpunet
from fastpunet.integrations.monai import MAPS, HypothesisInferer
from fastpunet.models import ProbabilisticUNet
from fastpunet.prediction.planning import id_of

SMALL = dict(channels=(4, 6), latent_dim=2)
AFFINE = np.array([[0, -0.8, 0, 10], [1.1, 0, 0, -5], [0, 0, 2.5, 7], [0, 0, 0, 1.0]])  # axes: to P, to R, to S


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def _bright_is_foreground(dims):
    """A model whose foreground is what is brighter than about 0.5, with a border that the latent moves."""
    model = ProbabilisticUNet(channels=(2,), latent_dim=1, fcomb_layers=2, dims=dims, unet=nn.Identity())
    first, last = model.fcomb.layers[0], model.fcomb.last_layer
    with torch.no_grad():
        for layer in (first, last):
            layer.weight.zero_()
            layer.bias.zero_()
        first.weight.view(1, 2)[:] = torch.tensor([[1.0, 0.1]])
        last.weight.fill_(10)
        last.bias.fill_(-5)
    return model


@pytest.mark.parametrize("output", ["labels", "probs", "logits", *MAPS])
@pytest.mark.parametrize("classes", [1, 3])
def test_channels_are_those_of_sample_and_summarize(output, classes):
    model, images = ProbabilisticUNet(num_classes=classes, **SMALL), torch.rand(2, 1, 11, 13)
    got = HypothesisInferer(5, output, seed=3)(images, model)
    if output in MAPS:
        expected = getattr(fastpunet.summarize(model, images, 5, seed=3), output).reshape(2, -1, 11, 13)
        assert expected.shape[1] == (classes if output == "mean" else 1)
    else:
        expected = fastpunet.sample(model, images, 5, seed=3, output=output).reshape(2, -1, 11, 13)
        assert expected.shape[1] == (5 if output == "labels" else 5 * classes)
    assert type(got) is torch.Tensor
    assert got.dtype == expected.dtype
    assert torch.equal(got, expected)


def test_a_summary_and_bits_are_those_of_fastpunet():
    model, images = ProbabilisticUNet(**SMALL), torch.rand(2, 1, 11, 13)
    summary = HypothesisInferer(5, "summary", seed=3)(MetaTensor(images), model)
    assert torch.equal(summary.volume, fastpunet.summarize(model, images, 5, seed=3).volume)
    bits = HypothesisInferer(5, "bits", seed=3)(MetaTensor(images), model)
    assert torch.equal(bits.words, fastpunet.sample(model, images, 5, seed=3, output="bits").words)


@pytest.mark.parametrize("dims", [2, 3])
def test_windows_share_a_latent(dims):
    model, images = ProbabilisticUNet(dims=dims, **SMALL), torch.rand(1, 1, *(9, 21, 19)[-dims:])
    options = dict(sampler="sobol", chunk=2, backend="reference")
    roi = (8,) * dims
    got = HypothesisInferer(5, roi_size=roi, overlap=0.25, seed=3, **options)(images, model)
    windowed = fastpunet.windowed(model, roi, 0.25)
    sampler = fastpunet.Sampler(windowed, backend="reference", sampler="sobol")
    assert torch.equal(got, sampler.sample(images, 5, seed=3, chunk=2))


def test_metadata_stay_and_the_name_of_the_file_decides_the_noise():
    model, images = ProbabilisticUNet(**SMALL), torch.rand(2, 1, 11, 13)
    affines = torch.eye(4).repeat(2, 1, 1) * torch.tensor([1.0, 2.0])[:, None, None]
    batch = MetaTensor(images, meta={"filename_or_obj": ["/a/x.nii.gz", "/b/y.nii.gz"], "affine": affines})
    inferer = HypothesisInferer(5, seed=3)
    got = inferer(batch, model)
    assert isinstance(got, MetaTensor)
    assert torch.equal(got.affine, affines)
    ids = torch.tensor([id_of("x.nii.gz"), id_of("y.nii.gz")])
    assert torch.equal(got.as_tensor(), fastpunet.sample(model, images, 5, seed=3, ids=ids))
    alone = inferer(MetaTensor(images[1:], meta={"filename_or_obj": "/elsewhere/y.nii.gz"}), model)
    assert torch.equal(alone.as_tensor(), got[1:].as_tensor())
    assert not torch.equal(inferer(images, model), got.as_tensor())


@pytest.mark.parametrize(("dims", "batch"), [(2, 2), (3, 1)])
def test_an_evaluator_brings_hypotheses_back_to_the_files_grid(tmp_path, dims, batch):
    size, box = (21, 27, 9)[:dims], (slice(3, 12), slice(5, 20), slice(1, 5))[:dims]
    files = []
    for number in range(2):
        image = np.zeros(size, np.float32)
        image[(slice(2, 13), *box[1:])] = 0.5  # one pixel more along the first axis, in some hypotheses
        image[box] = 1
        path = tmp_path / f"case{number}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(image, AFFINE), path)
        files.append({"image": str(path)})
    before = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", "RAS"[:dims], labels=None),
            Spacingd("image", (0.7, 0.9, 1.3)[:dims]),
        ]
    )
    names = dict(output_dir=tmp_path / "out", output_postfix="hypotheses", separate_folder=False)
    save = SaveImaged("pred", **names, resample=False, output_dtype=np.uint8, print_log=False)
    model = _bright_is_foreground(dims).train()
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(files, before), batch_size=batch),
        network=model,
        inferer=HypothesisInferer(6, roi_size=16, seed=0),
        postprocessing=Compose([Invertd("pred", before, orig_keys="image", nearest_interp=True), save]),
    )
    evaluator.run()
    written = [nibabel.load(tmp_path / "out" / f"case{number}_hypotheses.nii.gz") for number in range(2)]
    for file in written:
        hypotheses = np.asarray(file.dataobj)
        assert hypotheses.dtype == np.uint8
        assert hypotheses.shape == (*size, *(1,) * (3 - dims), 6)
        np.testing.assert_allclose(file.affine, AFFINE, atol=1e-6)
        truth = np.zeros(size, bool)
        truth[box] = True
        for found in np.moveaxis(hypotheses.reshape(*size, 6), -1, 0).astype(bool):
            assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.85
    assert not np.array_equal(*(np.asarray(file.dataobj) for file in written))  # noise of their own


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(n=0), "n: got 0"),
        (dict(output="mask"), "output: got 'mask', expected one of labels, logits"),
        (dict(seed=-1), "seed: got -1"),
    ],
)
def test_errors_when_made(arguments, message):
    with pytest.raises(ValueError, match=message):
        HypothesisInferer(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(roi_size=(8, 8, 8)), "size: got"),
        (dict(roi_size=8, overlap=1), "overlap: got 1"),
        (dict(sampler="halton"), "sampler: got 'halton'"),
        (dict(precision="half"), "precision: got 'half'"),
    ],
)
def test_errors_when_called(arguments, message):
    with pytest.raises(ValueError, match=message):
        HypothesisInferer(4, **arguments)(torch.rand(1, 1, 16, 16), ProbabilisticUNet(**SMALL))


def test_the_example_writes_hypotheses_on_the_grid_of_its_images(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "examples" / "integrations")
    files = importlib.import_module("monai_pipeline").main(tmp_path, n=8)
    assert [file.name for file in files] == ["lesion0_hypotheses.nii.gz", "lesion1_hypotheses.nii.gz"]
    for file in files:
        image = nibabel.load(tmp_path / file.name.replace("_hypotheses", ""))
        saved = nibabel.load(file)
        hypotheses = np.asarray(saved.dataobj).reshape(*image.shape, 8)
        np.testing.assert_allclose(saved.affine, image.affine)
        marked = hypotheses.any(-1)
        values = np.asarray(image.dataobj)
        assert values[marked].mean() > values[~marked].mean() + 0.1

"""The nnU-Net v2 example, end to end on ten synthetic cases, where nnunetv2 is installed (docs/integrations.md)."""

import importlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

import fastpunet

pytest.importorskip("nnunetv2")
EXAMPLE = Path(__file__).parents[1] / "examples" / "integrations" / "nnunet"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE)
    return importlib.import_module


@pytest.mark.slow
@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_it_plans_trains_predicts_and_draws(tmp_path, monkeypatch, example, configuration):
    for name, value in example("toy").environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    example("toy").main(tmp_path, configuration, n=3, epochs=1, iterations=2)
    image = nibabel.load(tmp_path / "raw" / "Dataset900_Toy" / "imagesTs" / "new_0000.nii.gz")
    files = [tmp_path / "predicted" / "new.nii.gz", *sorted((tmp_path / "hypotheses").iterdir())]
    assert [file.name for file in files[1:]] == [f"new_hyp000{k}.nii.gz" for k in range(3)]
    for file in map(nibabel.load, files):
        assert file.shape == image.shape
        np.testing.assert_allclose(file.affine, image.affine, atol=1e-5)
        assert set(np.unique(np.asarray(file.dataobj))) <= {0, 1}
    folds = json.loads((tmp_path / "preprocessed" / "Dataset900_Toy" / "splits_final.json").read_text())
    for fold in folds:
        images = [{case.split("__")[0] for case in fold[side]} for side in ("train", "val")]
        assert not images[0] & images[1]
        assert len(fold["train"]) + len(fold["val"]) == 10


def test_the_network_gives_nnunet_the_mean_over_hypotheses_and_learns_by_the_bound(example):
    trainer = example("nnUNetTrainerProbabilistic")
    torch.manual_seed(0)
    network = trainer.PlannedProbabilisticUNet(num_classes=3, channels=(4, 6), latent_dim=2)
    images, labels = torch.rand(2, 1, 12, 16), torch.randint(3, (2, 1, 12, 16))
    mean = fastpunet.summarize(network, images, trainer.HYPOTHESES, seed=0, sampler="sobol").mean
    torch.testing.assert_close(network(images).softmax(1), mean)
    torch.manual_seed(1)
    loss = network(images, labels)
    torch.manual_seed(1)
    terms = network.elbo(images, labels)
    torch.testing.assert_close(loss, (terms.reconstruction + terms.kl.sum(-1)).mean() / (12 * 16))
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())

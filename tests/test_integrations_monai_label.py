"""The MONAI Label app, asked as its server would ask it, where monailabel is installed (docs/integrations.md)."""

import importlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

import fastpunet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.prediction.planning import id_of

pytest.importorskip("monailabel")
EXAMPLE = Path(__file__).parents[1] / "examples" / "integrations" / "monai_label"


@pytest.fixture
def app(tmp_path, monkeypatch):
    for number, record in enumerate(SyntheticLesions(3, seed=1)):
        nibabel.save(
            nibabel.Nifti1Image(record.image[0], np.diag([-0.8, 0.9, 1, 1])), tmp_path / f"case{number}.nii.gz"
        )
    monkeypatch.setenv("MONAI_LABEL_AUTO_UPDATE_SCORING", "false")  # which asks a running server
    monkeypatch.syspath_prepend(EXAMPLE)
    return importlib.import_module("main").App(str(EXAMPLE), str(tmp_path), {})


def test_the_outline_is_where_most_hypotheses_are_foreground(app, tmp_path):
    answer = app.infer({"model": "hypotheses", "image": "case1", "device": "cpu", "n": 100, "probability": 0.3})
    image, label = nibabel.load(tmp_path / "case1.nii.gz"), nibabel.load(answer["file"])
    pixels = torch.tensor(np.asarray(image.dataobj))[None, None]
    ids = torch.tensor([id_of("case1.nii.gz")])
    mean = fastpunet.summarize(fastpunet.load("lesions"), pixels, 100, seed=0, ids=ids).mean[0, 0]
    found = np.asarray(label.dataobj).squeeze()
    assert found.any()
    assert np.array_equal(found, (mean >= 0.3).numpy())


def test_the_next_image_is_the_one_on_which_hypotheses_disagree_most(app, tmp_path):
    scores = app.scoring({"method": "disagreement", "n": 50})
    for case, score in scores.items():
        pixels = torch.tensor(np.asarray(nibabel.load(tmp_path / f"{case}.nii.gz").dataobj))[None, None]
        ids = torch.tensor([id_of(f"{case}.nii.gz")])
        masks = fastpunet.sample(fastpunet.load("lesions"), pixels, 50, seed=0, ids=ids)
        pairs = 1 - fastpunet.pairwise_iou(masks, masks)[0]
        assert score == pytest.approx(float((pairs.sum() - pairs.diagonal().sum()) / (50 * 49)), abs=1e-6)
    assert len(scores) == 3
    assert app.next_sample({"strategy": "disagreement"})["id"] == max(scores, key=scores.get)

"""The model of synthetic volumes in checkpoints/: the modes that are known, and windows."""

from pathlib import Path

import pytest
import torch

import fastpunet
from benchmarks.known_modes import HELD_OUT_SEED, score
from fastpunet.data.lesion_volumes import SyntheticLesionVolumes
from fastpunet.scoring.sources import ModelSource

FILE = Path(__file__).parents[1] / "checkpoints" / "lesions-3d.safetensors"


@pytest.mark.slow
def test_known_modes_are_found_with_their_probabilities():
    """On volumes that nothing was trained on. Numbers: docs/results/volumes.md."""
    model = fastpunet.load(FILE)
    assert (model.spacing, model.image_size) == ((2.0, 1.0, 1.0), (12, 24, 24))
    found = score(ModelSource(model), SyntheticLesionVolumes(60, HELD_OUT_SEED, 24), 1000).summary()
    assert found["probability of a likely mode: mean error, points"] < 5
    assert found["share of a mode: mean error, points"] < 5
    assert found["presence: mean error, points"] < 5
    assert found["images whose likely modes are all found, %"] > 95


def test_a_row_of_volumes_slab_by_slab():
    model = fastpunet.load(FILE)
    records = SyntheticLesionVolumes(3, HELD_OUT_SEED, 24)
    row = torch.cat([torch.from_numpy(record.image)[None] for record in records[:]], dim=2)
    ours, kept = (
        fastpunet.sample(fastpunet.windowed(model, (12, 24, 24), by_slab=slabs), row, 8, seed=0, precision="ieee")
        for slabs in (True, False)
    )
    assert torch.equal(ours, kept)
    assert 0 < ours.float().mean() < 0.5
